"""Parse the time of a listen, in every form that another service writes.

A number is seconds since 1970 in UTC, or milliseconds or microseconds where it is too large for seconds. A
text with a zone has that zone. A text without one is a local time of the zone that the caller gives: each
format has its own rule, see `history_files`. In the hour that a clock repeats in autumn the first of both
times is meant; a time in the hour that is left out in spring is read with the offset before it.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from jobs.plays.events import MAX_CLOCK_SKEW

# Numbers from here on are no seconds since 1970: as such they would be after the year 5138.
_MIN_MILLISECONDS = 1e11
_MIN_MICROSECONDS = 1e14

# No service recorded listens before; an earlier time is a clock that was not set, or another unit.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

# Spreadsheets count days from here, as Excel takes 1900 for a leap year.
_SPREADSHEET_DAY_0 = datetime(1899, 12, 30)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = "|".join(f"{name}[a-z]*" for name in _MONTHS)

# The orders of day, month and year. With slashes only a day above 12 tells the order.
_DATES = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ .\-]+(?P<name>{_MONTH_NAME})\.?[ ,\-]+(?P<year>\d{{4}})",
    rf"(?P<name>{_MONTH_NAME})\.? +(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? +(?P<year>\d{{4}})",
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    r"(?P<one>\d{1,2})[/\-](?P<other>\d{1,2})[/\-](?P<year>\d{4})",
)
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6})\d*)?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?"
)
_ZONE = r"(?:\s*(?:(?P<utc>z|utc|gmt)|(?:utc|gmt)?(?P<sign>[+\-\u2212])(?P<offset>\d{2}:?\d{2}|\d{1,2})))?"
_FORMS = [
    re.compile(rf"(?:[a-z]{{3,9}},?\s+)?{date}(?:\s*,\s*|\s+at\s+|\s+|t){_CLOCK}{_ZONE}", re.IGNORECASE)
    for date in _DATES
]


def parse_time(value: object, now: datetime | None = None, zone: tzinfo = UTC) -> datetime:
    """Return the time of a listen in UTC.

    Parameters
    ----------
    value
        A number, or text.
    now
        A time more than MAX_CLOCK_SKEW after it is refused.
    zone
        The zone of a text that names none.

    Raises
    ------
    ValueError
        For anything that is no time, for one before the year 2000 or in the future, and for dates with
        slashes whose day and month cannot be told apart (03/05/2021).
    """
    try:
        parsed = _parse_number(value) or _parse_text(value, zone)
    except (OverflowError, OSError, ValueError):
        parsed = None
    if parsed is None or parsed < _EARLIEST or (now is not None and parsed > now + MAX_CLOCK_SKEW):
        raise ValueError(
            "expected a time in the past, as in 21 Nov 2026 20:15, ISO 8601 or seconds since 1970, "
            f"found {ascii(value)[:40]}"
        )
    return parsed


def is_of_a_minute(value: object) -> bool:
    """Return whether a time is given in whole minutes, as text without seconds."""
    return isinstance(value, str) and len(re.findall(r":\d{2}", value.partition("+")[0])) == 1


def from_local_seconds(seconds: float, zone: tzinfo) -> datetime:
    """Return the UTC time of a clock that counts seconds since 1970 in local time.

    Players without a zone do, as in `.scrobbler.log` with `#TZ/UNKNOWN`. Raises ValueError, see `parse_time`.
    """
    local = parse_time(seconds)
    return local.replace(tzinfo=zone).astimezone(UTC)


def time_of_days(text: str) -> str:
    """Return the time of a spreadsheet's cell that counts days, as text; other text as it is."""
    if not re.fullmatch(r"[1-9]\d{4}(\.\d+)?", text):
        return text
    time = _SPREADSHEET_DAY_0 + timedelta(days=float(text)) + timedelta(milliseconds=500)
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _parse_number(value: object) -> datetime | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*", value)):
        return None
    seconds = float(value)  # type: ignore[arg-type]
    if seconds >= _MIN_MICROSECONDS:
        seconds /= 1e6
    elif seconds >= _MIN_MILLISECONDS:
        seconds /= 1e3
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _parse_text(value: object, zone: tzinfo) -> datetime | None:
    if not isinstance(value, str) or len(value) > 80:
        return None
    text = " ".join(value.split())
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is not None:
            return _from_parts(found.groupdict(), zone)
    return None


def _from_parts(parts: dict[str, str | None], zone: tzinfo) -> datetime:
    month, day = _month_and_day(parts)
    hour = int(parts["hour"] or 0)
    if parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("expected an hour from 1 to 12")
        hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
    local = datetime(
        int(parts["year"] or 0),
        month,
        day,
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        int((parts["fraction"] or "").ljust(6, "0")),
        tzinfo=_zone(parts) or zone,
    )
    return local.astimezone(UTC)


def _month_and_day(parts: dict[str, str | None]) -> tuple[int, int]:
    name = parts.get("name")
    if name is not None:
        return _MONTHS.index(name[:3].lower()) + 1, int(parts["day"] or 0)
    if parts.get("one") is None:
        return int(parts["month"] or 0), int(parts["day"] or 0)
    one, other = int(parts["one"] or 0), int(parts["other"] or 0)
    if one == other or other > 12:
        return one, other
    if one > 12:
        return other, one
    raise ValueError("expected a date whose day and month can be told apart")


def _zone(parts: dict[str, str | None]) -> tzinfo | None:
    if parts["utc"]:
        return UTC
    if not parts["sign"]:
        return None
    digits = (parts["offset"] or "").replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(offset if parts["sign"] == "+" else -offset)
