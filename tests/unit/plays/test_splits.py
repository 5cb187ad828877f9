"""The temporal split of plays."""

from datetime import UTC, datetime, timedelta

from jobs.plays import splits
from jobs.plays.events import PlayEvent

NOW = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def test_split_keeps_time_order():
    plays = [
        PlayEvent(
            event_id=str(minute),
            user_id="u",
            track_id="t",
            event="finished",
            played_at=NOW + timedelta(minutes=minute),
        )
        for minute in (3, 1, 2, 0, 4)
    ]
    before, after = splits.temporal_split(plays)
    assert [play.event_id for play in before] == ["0", "1", "2", "3"]
    assert [play.event_id for play in after] == ["4"]
