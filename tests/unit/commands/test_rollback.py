"""Back to the version before, with a registry of the lake's own and MongoDB played by a dict: stopped anywhere, again."""

from contextlib import contextmanager

import pytest
from mlflow import MlflowClient

from jobs.cli import parse
from jobs.commands import rollback
from jobs.errors import StepError
from jobs.model import registry
from jobs.online import mongo

# Whatever changes something, in MLflow and in MongoDB.
CHANGES = (
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "delete_registered_model_alias"),
    (MlflowClient, "set_model_version_tag"),
    (mongo, "upsert"),
)


class Settings(dict):
    """The collection, documents by id."""

    def find_one(self, wanted):
        return self.get(wanted["_id"])


def pointer(version, **more):
    return {
        "_id": "champion",
        "model_version": version,
        "feature_version": "f",
        "tracks": 1,
        "digest": version,
        **more,
    }


@pytest.fixture
def settings(models, monkeypatch):
    """Have version 2 online, and 1 before it."""
    registry.set_champion("1")
    registry.set_champion("2")
    settings = Settings(champion=pointer("2", previous=pointer("1")))

    @contextmanager
    def database(uri):
        yield {"state": settings}

    def upsert(collection, documents):
        collection.update({document["_id"]: document for document in documents})

    monkeypatch.setattr(mongo, "database", database)
    monkeypatch.setattr(mongo, "upsert", upsert)
    return settings


def back(models):
    return rollback.main(parse(["rollback", "--lake", str(models), "--mongo", "mongodb://127.0.0.1:9"]))


@pytest.mark.parametrize("at", range(6))
def test_stopped_before_any_change_the_same_command_goes_on(models, settings, monkeypatch, at):
    done = []

    def counted(change):
        def changed(*given):
            if len(done) == at:
                raise KeyboardInterrupt
            done.append(change)
            return change(*given)

        return changed

    with monkeypatch.context() as patched:
        for owner, name in CHANGES:
            patched.setattr(owner, name, counted(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            back(models)
    found = back(models)
    assert (found["model version"], found["instead of"]) == ("1", "2")
    assert registry.aliases() == {"champion": "1", "previous": "2"}
    assert [each.version for each in registry.versions() if "rolled_back" in each.tags] == [2]
    assert (
        settings["champion"]["model_version"] == "1"
        and settings["champion"]["previous"]["model_version"] == "2"
    )


def test_a_store_that_is_away_changes_nothing(models, settings, monkeypatch):
    before = registry.aliases()

    def away(uri):
        raise StepError("--mongo: expected MongoDB to answer")

    monkeypatch.setattr(mongo, "database", away)
    with pytest.raises(StepError, match="--mongo"):
        back(models)
    assert registry.aliases() == before and not any(
        "rolled_back" in each.tags for each in registry.versions()
    )
