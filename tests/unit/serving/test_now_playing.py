"""Sessions of clients: positions move while they play, and end."""

from datetime import UTC, datetime, timedelta

from serving.now_playing import NowPlaying, Playback

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def playback(state="playing", position_s=10.0, after_s=0.0, track="t", rate=1.0):
    at = NOW + timedelta(seconds=after_s)
    return Playback("anna", "phone", track, 100.0, state, position_s, rate, at, at)


def test_position_moves_at_its_rate_until_the_end():
    assert playback(rate=2.0).position_at(NOW + timedelta(seconds=20)) == 50.0
    assert playback().position_at(NOW + timedelta(hours=1)) == 100.0
    assert playback("paused").position_at(NOW + timedelta(hours=1)) == 10.0


def test_session_ends_half_an_hour_after_its_planned_end():
    store = NowPlaying()
    store.report(playback())
    assert store.latest(NOW + timedelta(minutes=30, seconds=89))
    assert not store.latest(NOW + timedelta(minutes=30, seconds=91))


def test_report_continues_a_session_of_the_same_track():
    store = NowPlaying()
    assert store.report(playback()) is None
    assert store.report(playback(after_s=5)).at == NOW
    assert store.report(playback(track="other", after_s=6)) is None
    assert store.report(playback("stopped", after_s=7, track="other")) is not None
    assert store.latest(NOW) == []
