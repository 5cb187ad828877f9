"""reportPlayback: what plays now, and a play once enough of the track was played."""

import dataclasses

import pytest


@pytest.fixture
def report(call, sent):
    def report(state, position_ms, track="t20", **values):
        given = {"mediaId": track, "mediaType": "song", "positionMs": position_ms, "state": state, **values}
        return call("reportPlayback", **given)

    return report


@pytest.fixture(autouse=True)
def long_tracks(state, monkeypatch):
    """Tracks of 100 s."""
    catalog = state.catalog
    tracks = tuple(dataclasses.replace(track, duration_s=100.0) for track in catalog.tracks)
    monkeypatch.setattr(state, "catalog", type(catalog)(catalog.version, tracks, catalog.roots))
    yield
    state.now_playing._sessions.clear()


def playing(call):
    return {entry["username"]: entry for entry in call("getNowPlaying")["nowPlaying"]["entry"]}


def test_session_is_one_start_and_one_play(report, sent, call):
    for state, position in (("starting", 0), ("playing", 0), ("playing", 30_000), ("paused", 60_000)):
        assert report(state, position, c="phone")["status"] == "ok"
    entry = playing(call)["local"]
    assert (entry["id"], entry["state"], entry["positionMs"], entry["playerName"]) == (
        "t20",
        "paused",
        60_000,
        "phone",
    )
    report("stopped", 61_000, c="phone")
    report("stopped", 61_000, c="phone")
    assert [(e.event, e.track_id, e.position_s) for e in sent] == [
        ("started", "t20", None),
        ("finished", "t20", 61.0),
    ]
    assert sent[0].event_id == f"{sent[1].event_id}-started"


def test_short_play_is_no_play(report, sent):
    report("playing", 0)
    report("stopped", 49_000)
    assert [event.event for event in sent] == ["started"]


def test_ignored_scrobble_shows_and_counts_nothing(report, sent, call):
    report("playing", 1000, ignoreScrobble="true")
    assert 1000 <= playing(call)["local"]["positionMs"] < 60_000
    report("stopped", 90_000, ignoreScrobble="true")
    assert sent == []


def test_the_same_track_started_again_is_another_session(report, sent):
    for state in ("starting", "playing", "starting", "playing"):
        report(state, 0, c="x")
    assert [event.event for event in sent] == ["started", "started"]


@pytest.mark.parametrize(
    "values",
    [
        {"state": "dancing"},
        {"positionMs": "-1"},
        {"mediaId": "nothing"},
        {"playbackRate": "nan"},
        {"playbackRate": "0"},
    ],
)
def test_invalid_report_is_refused(call, sent, values):
    given = {"mediaId": "t20", "mediaType": "song", "positionMs": 0, "state": "playing", **values}
    assert call("reportPlayback", **given)["status"] == "failed" and sent == []
