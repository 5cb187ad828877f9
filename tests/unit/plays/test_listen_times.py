"""Times of listens in the forms of other services; times without a zone, and the hours of clock changes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.plays.listen_times import from_local_seconds, is_of_a_minute, parse_time

NOW = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        *(SECONDS, float(SECONDS), str(SECONDS), f"{SECONDS}.0"),
        *(1000 * SECONDS, str(1000 * SECONDS), 1_000_000 * SECONDS),
        *(
            "21 Nov 2026 20:15",
            "21 Nov 2026, 20:15",
            "21 November 2026 20:15:00",
            "Sat, 21 Nov 2026 20:15:00 GMT",
        ),
        *(
            "Nov 21, 2026, 8:15:00\u202fPM UTC",
            "Saturday 21 Nov 2026, 8:15pm",
            "November 21, 2026 at 08:15 PM",
        ),
        *("2026-11-21 20:15:00", "2026-11-21 20:15", "2026/11/21 20:15", "2026-11-21T20:15:00"),
        *("2026-11-21T20:15:00Z", "2026-11-21T20:15:00.000Z", "2026-11-21 20:15:00 UTC"),
        *("2026-11-21T21:15:00+01:00", "2026-11-21 15:15:00 -0500", "2026-11-22 01:45:00 +0530"),
        *("21.11.2026 20:15", "21/11/2026 20:15", "11/21/2026 8:15 PM", "21-11-2026 20:15:00"),
    ],
)
def test_listen_time_is_parsed_in_every_form(value):
    assert parse_time(value) == NOW and parse_time(value).tzinfo == UTC


@pytest.mark.parametrize(
    "value",
    [
        *("soon", "", None, True, [], "2026-11-21", "9" * 20, float("inf"), float("nan"), -1e30),
        *("03/05/2021 10:00", "31 Feb 2021 10:00", "21 Nov 2026 25:00", "21 Nov 2026 13:00 PM"),
        *(0, 1_000, "01 Jan 1970 00:00", " " * 100_000),
    ],
)
def test_listen_time_in_another_form_is_refused(value):
    with pytest.raises(ValueError, match="expected a time in the past, as in 21 Nov 2026 20:15"):
        parse_time(value)


def test_listen_time_in_the_future_is_refused():
    assert parse_time(NOW.timestamp() + 60, NOW) == NOW + timedelta(minutes=1)
    with pytest.raises(ValueError, match="expected a time in the past"):
        parse_time(NOW.timestamp() + 3600, NOW)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2026-07-01 12:00", 2),
        ("2026-12-01 12:00", 1),
        ("2026-10-25 02:30", 2),  # happens twice: the first
        ("2026-03-29 02:30", 1),  # does not happen: the offset before
    ],
)
def test_time_without_zone_is_of_the_given_zone(text, hours):
    local = datetime.fromisoformat(text).replace(tzinfo=UTC)
    assert parse_time(text, zone=BERLIN) == local - timedelta(hours=hours)
    assert from_local_seconds(local.timestamp(), BERLIN) == local - timedelta(hours=hours)
    assert parse_time(text) == parse_time(f"{text} UTC", zone=BERLIN) == local
    assert parse_time(local.timestamp(), zone=BERLIN) == local


def test_time_without_seconds_is_of_a_minute():
    assert is_of_a_minute("21 Nov 2026 20:15") and is_of_a_minute("2026-11-21T20:15+01:00")
    assert not is_of_a_minute("2026-11-21 20:15:00") and not is_of_a_minute(SECONDS)
