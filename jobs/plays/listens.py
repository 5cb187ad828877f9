"""A listen, the one form of every history's rows, and the rows that are not imported."""

from dataclasses import dataclass
from datetime import datetime

# Spotify counts a stream from here on; a shorter one is a skip, unless the track had ended.
_MIN_PLAYED_S = 30.0

# Characters of a rejected row that are stored.
_MAX_CONTENT = 16_384

# What services write for a name that they do not know.
_UNKNOWN_NAMES = {"unknown artist", "unknown track", "[unknown]", "<unknown>"}

# Reasons of rejected rows, beside those of one service.
NO_NAMES = "no artist or title"
NO_TIME = "no time"
INVALID_TIME = "unreadable time"
INVALID_ROW = "unreadable row"
UNKNOWN_ROW = "unknown kind of row"
NOT_UNICODE = "not UTF-8"
NO_USER = "no user"
NOT_A_PLAY = "not a play"
VIDEO = "video"


@dataclass(frozen=True)
class Listen:
    """One line of a history."""

    user: str | None  # None if the file does not name one
    artist: str
    title: str
    started_at: datetime
    album: str | None = None
    played_s: float | None = None  # None: the service does not record it
    is_complete: bool = True  # played to its end
    mbids: tuple[str, ...] = ()  # possible MusicBrainz recording ids, the most reliable first
    ended_at: datetime | None = None  # only from services that record the end
    is_of_a_minute: bool = False  # the service records whole minutes, so it began up to 59 s later

    @property
    def is_finished(self) -> bool:
        """Whether it counts as finished and not as a skip."""
        return self.is_complete or (self.played_s or 0.0) >= _MIN_PLAYED_S


class InvalidRow(ValueError):
    """A row of a history that is no listen: a reason to count by, and one line of what was found."""

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(f"{reason}: {found}")
        self.reason, self.found = reason, found


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not imported, as it is stored: file, number of the row or line, reason and content."""

    file: str
    row: int
    reason: str
    found: str
    content: str

    def to_dict(self) -> dict[str, str | int]:
        """Return the fields as they are written; bytes that are no text stand as escapes."""
        content = self.content[:_MAX_CONTENT].encode("utf-8", "backslashreplace").decode()
        found = " ".join(self.found.encode("utf-8", "backslashreplace").decode().split())[:200]
        return {"file": self.file, "row": self.row, "reason": self.reason, "found": found, "content": content}


def require_name(value: object, field: str) -> str:
    """Return the name of an artist or a track. Raises InvalidRow if there is none."""
    if not isinstance(value, str) or not value.strip() or value.strip().casefold() in _UNKNOWN_NAMES:
        raise InvalidRow(NO_NAMES, f"{field}: expected a name, found {ascii(value)[:60]}")
    if not _is_unicode(value):
        raise InvalidRow(NOT_UNICODE, f"{field}: expected text in UTF-8, found {ascii(value)[:60]}")
    return value.strip()


def optional_name(value: object) -> str | None:
    """Return the name of an album, or None."""
    return value.strip() or None if isinstance(value, str) and _is_unicode(value) else None


def _is_unicode(text: str) -> bool:
    """Return whether text has no lone surrogate, which stands for a byte that is no UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)
