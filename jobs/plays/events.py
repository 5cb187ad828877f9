"""The play event: what a player sends and what Kafka's topic `plays` carries.

No Spark, so that serving can import it. A message is one JSON object in UTF-8, its Kafka key the user_id.
Positions and durations are in seconds, times are ISO 8601 in UTC with whole milliseconds. Every event is
validated here and nowhere else.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import PydanticCustomError

EventType = Literal["started", "finished", "skipped", "liked", "disliked", "unrated"]
EVENTS: tuple[str, ...] = get_args(EventType)

# Bytes of a message; a valid event has about 300. Larger ones are rejected unparsed: every reader would pay
# for them.
MAX_BYTES = 16_384

# How far a player's clock may be ahead. A late event is valid: it is applied at its own time.
MAX_CLOCK_SKEW = timedelta(minutes=10)

# The beginning of an ISO 8601 time. A bare number is refused: it could be seconds or milliseconds.
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:")

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC) - MAX_CLOCK_SKEW


class InvalidEvent(ValueError):
    """A message that is no play event. Its text is one line: what was expected, what was found."""


def _require_iso_text(value: object) -> object:
    """Refuse a number: it would pass as seconds or as milliseconds since 1970."""
    if not isinstance(value, str) or not _ISO_TIME.match(value):
        raise PydanticCustomError("text", "a time as in 2026-11-21T20:15:00Z")
    return value


def _to_utc_milliseconds(value: datetime) -> datetime:
    """Convert to UTC and cut to milliseconds.

    MongoDB stores no more, and a profile must not depend on a round trip.
    """
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("age", "a time between the years 1 and 9999") from None
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


# Ids are keys in MongoDB and Kafka, and parts of file names and URLs.
_Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_Time = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_require_iso_text),
    AfterValidator(_to_utc_milliseconds),
]


# Unknown fields are ignored: a newer player may send more.
@with_config(ConfigDict(strict=True, extra="ignore"))
@dataclass(frozen=True, slots=True, kw_only=True)
class PlayEvent:
    """One thing that a user did with a track.

    Made by `parse` and `from_fields`, which validate; fields as in the JSON.
    """

    event_id: _Id
    user_id: _Id
    track_id: _Id
    event: EventType
    played_at: _Time  # UTC; of a `finished` or `skipped` listen from another service: when it started
    position_s: _Seconds | None = None
    duration_s: _Seconds | None = None
    session_id: _Id | None = None


@dataclass(frozen=True, slots=True)
class LoggedPlay:
    """A play with its place in Kafka, as PLAYS holds it: `origin` names topic and partition."""

    play: PlayEvent
    origin: str
    offset: int


_ADAPTER = TypeAdapter(PlayEvent)

FIELDS = tuple(field.name for field in dataclasses.fields(PlayEvent))


def parse(raw: bytes, now: datetime, size: int | None = None) -> PlayEvent:
    """Parse and validate one message.

    `now` is compared with the event's own time; `size` is the message's in bytes, if `raw` is only its
    beginning. Raises InvalidEvent for a message that is too long, no JSON object, with a field missing or of
    another type, or more than MAX_CLOCK_SKEW ahead of `now`.
    """
    size = len(raw) if size is None else size
    if size > MAX_BYTES:
        raise InvalidEvent(f"expected at most {MAX_BYTES} bytes, found {size}")
    try:
        event = _ADAPTER.validate_json(raw)
    except ValidationError as error:
        raise InvalidEvent(_first_error(error)) from None
    if event.played_at > now + MAX_CLOCK_SKEW:
        hours_ahead = (event.played_at - now).total_seconds() / 3600
        raise InvalidEvent(
            f"played_at: expected a time in the past, found {event.played_at:%Y-%m-%dT%H:%M:%SZ}, "
            f"{hours_ahead:.1f} h ahead"
        )
    return event


def from_fields(fields: Mapping[str, Any], now: datetime) -> PlayEvent:
    """Validate fields that were given one by one, `played_at` as a datetime or as text.

    Raises InvalidEvent.
    """
    return parse(_to_json(fields), now)


def encode(event: PlayEvent) -> bytes:
    """Return the event as a message; None fields are left out.

    Raises InvalidEvent for an event that the stream would reject, so that no producer sends one.
    """
    valid = parse(_to_json(to_dict(event)), _FAR_FUTURE)
    return _to_json(to_dict(valid))


def to_dict(event: PlayEvent) -> dict[str, Any]:
    """Return the fields by name; `played_at` stays a datetime."""
    return {name: getattr(event, name) for name in FIELDS}


def _to_json(fields: Mapping[str, Any]) -> bytes:
    known = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
    played_at = known.get("played_at")
    if isinstance(played_at, datetime):
        known["played_at"] = played_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False).encode("utf-8", errors="replace")


def _first_error(error: ValidationError) -> str:
    """Return the first problem as one line; the value that was found may be anything, so it is cut."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{field}: expected this field, found none"
    found = ascii(first["input"])[:60]
    if first["type"] == "json_invalid":
        return f"expected a JSON object, found {found}"
    expected = re.sub("^Input should (be )?|^String should ", "", first["msg"])
    return f"{field}: expected {expected}, found {found}" if field else f"expected {expected}, found {found}"


def event_id(user_id: str, played_at: datetime, track_id: str) -> str:
    """Return the id of a listen from another service: the same listen has one id, whichever way it came.

    A listen is identified by user, track and the second in which it started. Events of the web player have
    random ids.
    """
    identity = f"{user_id}\n{math.floor(played_at.timestamp())}\n{track_id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
