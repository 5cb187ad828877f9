"""The play event: what a player sends, what Kafka's topic `plays` carries. Checked here alone; no Spark, so serving can use it.

A message is JSON in UTF-8, its key the user_id. Positions and durations are seconds, times ISO 8601 in UTC.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

EventType = Literal["started", "finished", "skipped", "liked", "disliked", "unrated"]
EVENTS: tuple[str, ...] = get_args(EventType)

# Bytes: an event is some 300. What is larger is no event, and would cost every reader.
MAX_BYTES = 16_384

# How far a player's clock may be ahead of ours; what is late is fine, it is applied by its own time.
MAX_CLOCK_SKEW = timedelta(minutes=10)

# How a time begins.
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:")

# Ids are keys of MongoDB and of Kafka, and stand in file names and addresses of others.
_Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


def _text(value: object) -> object:
    """A number would pass as seconds since 1970, or milliseconds: nobody can tell which."""
    if not isinstance(value, str) or not _TIME.match(value):
        raise PydanticCustomError("text", "a time as in 2026-11-21T20:15:00Z")
    return value


class InvalidEvent(ValueError):
    """A message that is no play event; its text is one line: what was expected, what was found."""


class _Event(BaseModel):
    """Unknown fields are left out: a newer player may send more."""

    model_config = ConfigDict(strict=True)

    event_id: _Id
    user_id: _Id
    track_id: _Id
    event: EventType
    position_s: _Seconds | None = None
    duration_s: _Seconds | None = None
    played_at: Annotated[AwareDatetime, BeforeValidator(_text), Field(strict=False)]
    session_id: _Id | None = None


_ADAPTER = TypeAdapter(_Event)

FIELDS = tuple(_Event.model_fields)


def parse(raw: bytes, now: datetime, size: int | None = None) -> dict[str, Any]:
    """Return the event of a message, with all of FIELDS; `played_at` is a datetime in UTC.

    BadEvent, one line, for whatever is no event: not JSON, a field missing or of another type, too long, or a time more
    than MAX_AHEAD after `now`. `size` is the message's, in bytes, where `raw` may be only its beginning.
    """
    size = len(raw) if size is None else size
    if size > MAX_BYTES:
        raise InvalidEvent(f"expected at most {MAX_BYTES} bytes, found {size}")
    try:
        event = _ADAPTER.validate_json(raw).model_dump()
    except ValidationError as error:
        raise InvalidEvent(_one_line(error)) from None
    try:
        at = event["played_at"].astimezone(UTC)
    except OverflowError:
        raise InvalidEvent(f"played_at: expected a time of this age, found {event['played_at']}") from None
    # Whole milliseconds: MongoDB keeps no more, and a profile must not depend on whether it has been there.
    event["played_at"] = at.replace(microsecond=at.microsecond // 1000 * 1000)
    if event["played_at"] > now + MAX_CLOCK_SKEW:
        ahead = event["played_at"] - now
        raise InvalidEvent(
            f"played_at: expected a time that has been, found {event['played_at']:%Y-%m-%dT%H:%M:%SZ}, "
            f"{ahead.total_seconds() / 3600:.1f} h ahead"
        )
    return event


def _one_line(error: ValidationError) -> str:
    """Say the first thing that is wrong; what was found is cut, it may be anything."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where}: expected this field, found none"
    expected = re.sub("^Input should (be )?|^String should ", "", first["msg"])
    if first["type"] == "json_invalid":
        return f"expected a JSON object, found {ascii(first['input'])[:60]}"
    return f"{where + ': ' if where else ''}expected {expected}, found {ascii(first['input'])[:60]}"


def encode(event: dict[str, Any]) -> bytes:
    """Return the message of an event, its `played_at` a datetime or text; None fields are left out.

    BadEvent where it is none, so that nobody sends what the stream would reject.
    """
    given = {name: value for name in FIELDS if (value := event.get(name)) is not None}
    if isinstance(given.get("played_at"), datetime):
        given["played_at"] = given["played_at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    raw = _dump(given)
    at = parse(raw, datetime.max.replace(tzinfo=UTC) - MAX_CLOCK_SKEW)["played_at"]
    # One of the many ways to write a time: who reads the message later need not know them all.
    return _dump({**given, "played_at": at.isoformat().replace("+00:00", "Z")})


def _dump(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", errors="replace")
