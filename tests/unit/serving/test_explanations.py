"""Reasons over the synthetic collection: eight artists, whose tracks sound alike."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from starlette.testclient import TestClient

from jobs.recommender import profiles
from serving import app
from tests import synthetic_lake
from tests.unit.recommender.conftest import make_event


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    lake = synthetic_lake.make(tmp_path_factory.mktemp("explanations") / "lake")
    created = app.create_app(lake.root, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    with TestClient(created, base_url="http://127.0.0.1") as client:
        client.state = client.app.app.state.app_state
        yield client


@pytest.fixture
def profile(client, monkeypatch):
    """A profile that finished two tracks of Artist 3, liked one of Artist 5 and disliked one of Artist 3."""
    profile = profiles.new_profile("local")
    for event, track_id in (
        ("finished", "t15"),
        ("finished", "t15"),
        ("finished", "t16"),
        ("liked", "t25"),
        ("disliked", "t17"),
    ):
        profiles.add_play(profile, make_event(event, track_id))
    documents = {("profiles", "local"): profiles.to_document(profile)}
    read = client.state.online_store.read
    monkeypatch.setattr(client.state.online_store, "read", lambda *key: documents.get(key) or read(*key))


def test_sound_of_the_users_tracks_explains_a_track(client, profile):
    found = client.get("/api/tracks/t18/why").json()
    assert {each["track"]["id"]: each["finished"] for each in found["sound"]} == {"t15": 2, "t16": 1}
    assert all(each["similarity"] > 0.8 for each in found["sound"])
    assert found["listeners"] == []


def test_listeners_of_the_users_tracks_explain_a_track(client, profile, monkeypatch):
    items = client.state.radio.item_catalog(client.state.catalog, None)
    similar = np.zeros((40, 40), dtype=np.float32)
    similar[items.index_of["t25"], items.index_of["t02"]] = 0.7
    similar[items.index_of["t30"], items.index_of["t02"]] = 0.9  # of nobody's profile
    other = items.with_weights(items.weights, csr_array(similar))
    monkeypatch.setattr(client.state.radio, "item_catalog", lambda *_: other)
    found = client.get("/api/tracks/t02/why").json()
    assert [(each["track"]["id"], each["similarity"]) for each in found["listeners"]] == [("t25", 0.7)]
    assert found["sound"] == []


def test_words_name_the_sound_of_a_track_and_what_two_share(client, profile):
    loud = client.get("/api/tracks/t39/why").json()
    assert "energetic" in loud["words"] and loud["sound"] == []
    # t15 and t18 lie in the middle of the collection.
    assert all(each["words"] == [] for each in client.get("/api/tracks/t18/why").json()["sound"])


def test_user_without_plays_gets_no_own_tracks(client):
    found = client.get("/api/tracks/t18/why").json()
    assert found["sound"] == found["listeners"] == []


def test_tracks_of_ids_keep_their_order(client):
    found = client.post("/api/tracks/list", json={"tracks": ["t07", "gone", "t03"]}).json()
    assert [each["id"] for each in found["items"]] == ["t07", "t03"] and found["total"] == 2
