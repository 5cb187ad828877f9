"""What is playing now: of every user, until the end of the track."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture(autouse=True)
def long_tracks(state, monkeypatch):
    """Tracks of 100 s."""
    catalog = state.catalog
    tracks = tuple(dataclasses.replace(track, duration_s=100.0) for track in catalog.tracks)
    monkeypatch.setattr(state, "catalog", type(catalog)(catalog.version, tracks, catalog.roots))


def start(state, user, track_id, seconds_ago, event="started"):
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    state.feedback.record_play(
        {
            "event_id": f"{user} {at}",
            "user_id": user,
            "track_id": track_id,
            "event": event,
            "position_s": 0.0,
            "played_at": at.isoformat(),
        }
    )


def test_now_playing_has_every_user_until_the_end(call, state):
    start(state, "anna", "t00", 400)
    start(state, "anna", "t01", 90)
    start(state, "bert", "t02", 300)
    start(state, "clara", "t03", 20)
    start(state, "clara", "t03", 10, "finished")
    start(state, "dora", "gone", 10)
    entries = [each for each in call("getNowPlaying")["nowPlaying"]["entry"] if each["username"] != "local"]
    assert [(entry["username"], entry["id"], entry["minutesAgo"]) for entry in entries] == [
        ("anna", "t01", 1)
    ]
