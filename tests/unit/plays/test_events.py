"""What is a valid play event; every invalid message gives one line that names what is wrong with it."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.plays import events

NOW = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
FIELDS = {
    "event_id": "e1",
    "user_id": "ünal",
    "track_id": "2",
    "event": "finished",
    "position_s": 29.5,
    "duration_s": 30,
    "played_at": "2026-11-21T21:14:00+01:00",
    "session_id": "s1",
}
EVENT = events.PlayEvent(**{**FIELDS, "played_at": datetime(2026, 11, 21, 20, 14, tzinfo=UTC)})


def message(**changed):
    return json.dumps({**FIELDS, **changed}).encode()


def test_event_is_parsed_with_time_in_utc():
    event = events.parse(message(player="later versions send more"), NOW)
    assert event == EVENT
    assert events.to_dict(event) == {**FIELDS, "played_at": EVENT.played_at}
    assert set(events.to_dict(event)) == set(events.FIELDS)
    assert events.parse(events.encode(event), NOW) == event


def test_times_are_cut_to_milliseconds_as_mongodb_stores_them():
    event = events.parse(message(played_at="2026-11-21T20:14:00.123987Z"), NOW)
    assert event.played_at == EVENT.played_at + timedelta(milliseconds=123)


def test_optional_fields_may_be_missing():
    required = {name: FIELDS[name] for name in ("event_id", "user_id", "track_id", "event", "played_at")}
    event = events.parse(json.dumps(required).encode(), NOW)
    assert event.position_s is event.duration_s is event.session_id is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"not json", "expected a JSON object, found b'not json'"),
        (b"", "expected a JSON object, found b''"),
        (b"\xff\xfe{}", "expected a JSON object"),
        (b"[1]", "expected an object, found [1]"),
        (b"[" * 9000, "expected a JSON object"),
        (
            message(event="eaten"),
            "event: expected 'started', 'finished', 'skipped', 'liked', 'disliked' or 'unrated', "
            "found 'eaten'",
        ),
        (message(position_s="3"), "position_s: expected a valid number, found '3'"),
        (message(position_s=float("nan")), "position_s: expected a finite number, found nan"),
        (message(position_s=-1), "position_s: expected greater than or equal to 0, found -1"),
        (message(user_id=7), "user_id: expected a valid string, found 7"),
        (message(user_id=""), "user_id: expected have at least 1 character, found ''"),
        (message(user_id="a\x00b"), "user_id: expected match pattern"),
        (message(event_id="\ud800"), "expected a JSON object"),
        (message(played_at=5), "played_at: expected a time as in 2026-11-21T20:15:00Z, found 5"),
        (message(played_at="2026-11-21T20:15:00"), "played_at: expected have timezone info"),
        (
            message(played_at="9999-12-31T23:59:59-23:00"),
            "played_at: expected a time between the years 1 and 9999",
        ),
        (
            message(played_at="2026-11-21T23:15:00Z"),
            "played_at: expected a time in the past, found 2026-11-21T23:15:00Z, 3.0 h ahead",
        ),
        (
            json.dumps({k: v for k, v in FIELDS.items() if k != "event"}).encode(),
            "event: expected this field, found none",
        ),
        (b"x" * (2 << 20), "expected at most 16384 bytes, found 2097152"),
    ],
)
def test_invalid_message_is_described_in_one_line(raw, expected):
    with pytest.raises(events.InvalidEvent) as error:
        events.parse(raw, NOW)
    assert str(error.value).startswith(expected) and "\n" not in str(error.value)


def test_size_of_a_cut_message_is_checked():
    with pytest.raises(events.InvalidEvent, match="expected at most 16384 bytes, found 16385"):
        events.parse(message(), NOW, size=16_385)


def test_clock_may_be_slightly_ahead():
    events.parse(message(played_at=(NOW + events.MAX_CLOCK_SKEW).isoformat()), NOW)


def test_encode_refuses_what_the_stream_would_reject():
    with pytest.raises(events.InvalidEvent, match="event: expected"):
        events.encode(dataclasses.replace(EVENT, event="eaten"))


def test_event_is_made_from_fields_with_text_or_datetime():
    for played_at in (FIELDS["played_at"], EVENT.played_at):
        assert events.from_fields({**FIELDS, "played_at": played_at, "other": object()}, NOW) == EVENT
    with pytest.raises(events.InvalidEvent, match="played_at: expected this field, found none"):
        events.from_fields({**FIELDS, "played_at": None}, NOW)


@pytest.mark.parametrize("time", ["1700000000", "1700000000.5", "-5", "20261121", "2026-11-21"])
def test_number_or_date_is_no_time(time):
    """They pass for seconds since 1970, and later readers of the message could not parse them."""
    with pytest.raises(events.InvalidEvent, match="played_at: expected a time as in"):
        events.from_fields({**FIELDS, "played_at": time}, NOW)


@pytest.mark.parametrize(
    "time", ["2026-11-21t20:15:00z", "2026-11-21 21:15:00+01:00", "2026-11-21T15:15:00\u221205:00"]
)
def test_time_is_encoded_in_one_form(time):
    event = events.from_fields({**FIELDS, "played_at": time}, NOW)
    assert json.loads(events.encode(event))["played_at"] == "2026-11-21T20:15:00Z"


def test_event_id_is_of_user_track_and_second():
    listen = events.event_id("ann", NOW, "2")
    assert listen == events.event_id("ann", NOW + timedelta(milliseconds=900), "2") and len(listen) == 32
    assert listen == events.event_id("ann", datetime.fromisoformat("2026-11-21T21:15:00+01:00"), "2")
    others = {
        events.event_id("bob", NOW, "2"),
        events.event_id("ann", NOW, "3"),
        events.event_id("ann", NOW + timedelta(seconds=1), "2"),
    }
    assert len(others | {listen}) == 4
