"""Rollback with the lake's own registry and MongoDB replaced by a dict.

Interrupted anywhere, then repeated.
"""

from contextlib import contextmanager

import pytest
from mlflow import MlflowClient

from jobs.cli import parse
from jobs.commands import rollback
from jobs.errors import StepError
from jobs.model import registry
from jobs.online import mongo

# Every call that changes something, in MLflow and in MongoDB.
CHANGES = (
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "delete_registered_model_alias"),
    (MlflowClient, "set_model_version_tag"),
    (mongo, "upsert"),
)


class FakeState(dict):
    """The collection `state`: documents by id."""

    def find_one(self, query):
        return self.get(query["_id"])


def champion_document(version, **fields):
    return {
        "_id": "champion",
        "model_version": version,
        "feature_version": "f",
        "tracks": 1,
        "digest": version,
        **fields,
    }


@pytest.fixture
def state(models, monkeypatch):
    """Put version 2 online, with 1 as the previous champion; return the collection `state`."""
    registry.set_champion("1")
    registry.set_champion("2")
    state = FakeState(champion=champion_document("2", previous=champion_document("1")))

    @contextmanager
    def database(uri, **options):
        yield {"state": state}

    def upsert(collection, documents):
        collection.update({document["_id"]: document for document in documents})

    monkeypatch.setattr(mongo, "database", database)
    monkeypatch.setattr(mongo, "upsert", upsert)
    return state


def roll_back(models):
    return rollback.main(parse(["rollback", "--lake", str(models), "--mongo", "mongodb://127.0.0.1:9"]))


@pytest.mark.parametrize("n_changes", range(6))
def test_interrupted_rollback_completes_when_repeated(models, state, monkeypatch, n_changes):
    """The rollback is interrupted after `n_changes` of its six changes."""
    changes = []

    def interrupt_later(change):
        def changed(*args):
            if len(changes) == n_changes:
                raise KeyboardInterrupt
            changes.append(change)
            return change(*args)

        return changed

    with monkeypatch.context() as patched:
        for owner, name in CHANGES:
            patched.setattr(owner, name, interrupt_later(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            roll_back(models)
    result = roll_back(models)
    assert (result.model_version, result.counts["previous"]) == ("1", "2")
    assert registry.aliases() == {"champion": "1", "previous": "2"}
    rolled_back = [version.version for version in registry.versions() if "rolled_back" in version.tags]
    assert rolled_back == [2]
    assert state["champion"]["model_version"] == "1"
    assert state["champion"]["previous"]["model_version"] == "2"


def test_unreachable_store_leaves_the_registry_unchanged(models, state, monkeypatch):
    aliases = registry.aliases()

    def refuse(uri, **options):
        raise StepError("--mongo: expected MongoDB to answer")

    monkeypatch.setattr(mongo, "database", refuse)
    with pytest.raises(StepError, match="--mongo"):
        roll_back(models)
    assert registry.aliases() == aliases
    assert not any("rolled_back" in version.tags for version in registry.versions())
