"""What is a play event and what is not; each message that is none says in one line what is wrong with it."""

import json
from datetime import UTC, datetime

import pytest

from jobs.plays import events

NOW = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
GOOD = {
    "event_id": "e1",
    "user_id": "ünal",
    "track_id": "2",
    "event": "finished",
    "position_s": 29.5,
    "duration_s": 30,
    "played_at": "2026-11-21T21:14:00+01:00",
    "session_id": "s1",
}


def raw(**changed):
    return json.dumps({**GOOD, **changed}).encode()


def test_an_event_comes_back_with_its_time_in_utc():
    event = events.parse(raw(player="later versions send more"), NOW)
    assert event == {**GOOD, "played_at": datetime(2026, 11, 21, 20, 14, tzinfo=UTC)}
    assert set(event) == set(events.FIELDS)
    assert events.parse(events.encode(event), NOW) == event


def test_only_what_is_needed_is_needed():
    event = events.parse(
        json.dumps({k: GOOD[k] for k in ("event_id", "user_id", "track_id", "event", "played_at")}).encode(),
        NOW,
    )
    assert event["position_s"] is event["duration_s"] is event["session_id"] is None


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"not json", "expected a JSON object, found b'not json'"),
        (b"", "expected a JSON object, found b''"),
        (b"\xff\xfe{}", "expected a JSON object"),
        (b"[1]", "expected an object, found [1]"),
        (b"[" * 9000, "expected a JSON object"),
        (
            raw(event="eaten"),
            "event: expected 'started', 'finished', 'skipped', 'liked', 'disliked' or 'unrated', found 'eaten'",
        ),
        (raw(position_s="3"), "position_s: expected a valid number, found '3'"),
        (raw(position_s=float("nan")), "position_s: expected a finite number, found nan"),
        (raw(position_s=-1), "position_s: expected greater than or equal to 0, found -1"),
        (raw(user_id=7), "user_id: expected a valid string, found 7"),
        (raw(user_id=""), "user_id: expected have at least 1 character, found ''"),
        (raw(user_id="a\x00b"), "user_id: expected match pattern"),
        (raw(event_id="\ud800"), "expected a JSON object"),
        (raw(played_at=5), "played_at: expected a time as in 2026-11-21T20:15:00Z, found 5"),
        (raw(played_at="2026-11-21T20:15:00"), "played_at: expected have timezone info"),
        (raw(played_at="9999-12-31T23:59:59-23:00"), "played_at: expected a time of this age"),
        (
            raw(played_at="2026-11-21T23:15:00Z"),
            "played_at: expected a time that has been, found 2026-11-21T23:15:00Z, 3.0 h ahead",
        ),
        (
            json.dumps({k: v for k, v in GOOD.items() if k != "event"}).encode(),
            "event: expected this field, found none",
        ),
        (b"x" * (2 << 20), "expected at most 16384 bytes, found 2097152"),
    ],
)
def test_what_is_no_event_is_told_in_one_line(message, told):
    with pytest.raises(events.InvalidEvent) as error:
        events.parse(message, NOW)
    assert str(error.value).startswith(told) and "\n" not in str(error.value)


def test_a_clock_a_little_ahead_is_fine():
    events.parse(raw(played_at=(NOW + events.MAX_CLOCK_SKEW).isoformat()), NOW)


def test_nobody_encodes_what_the_stream_would_reject():
    with pytest.raises(events.InvalidEvent, match="event: expected"):
        events.encode({**GOOD, "event": "eaten"})


@pytest.mark.parametrize("time", ["1700000000", "1700000000.5", "-5", "20261121", "2026-11-21"])
def test_a_number_or_a_day_is_no_time(time):
    """They pass for seconds since 1970, and what reads the message later cannot read them."""
    with pytest.raises(events.InvalidEvent, match="played_at: expected a time as in"):
        events.encode({**GOOD, "played_at": time})


@pytest.mark.parametrize(
    "time", ["2026-11-21t20:15:00z", "2026-11-21 21:15:00+01:00", "2026-11-21T15:15:00\u221205:00"]
)
def test_a_time_is_sent_in_the_one_form_that_all_read(time):
    assert json.loads(events.encode({**GOOD, "played_at": time}))["played_at"] == "2026-11-21T20:15:00Z"
