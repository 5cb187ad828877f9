"""What plays are forwarded to: one service's requests, and what its answers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import requests

from serving.catalog import Track

# Seconds to connect, and to wait for an answer.
TIMEOUT_S = (10.0, 30.0)

_MAX_ERROR = 200


@dataclass(frozen=True)
class Scrobble:
    """One play of a track; `started_at` in seconds since 1970."""

    track: Track
    mbid: str | None  # MusicBrainz's id of the recording
    started_at: int


class Outcome(Enum):
    """What a service has done with a request."""

    TAKEN = "taken"
    REFUSED = "refused"  # something in it is wrong: it is not sent again as it is
    LATER = "later"
    STOPPED = "stopped"  # the token is no longer valid: the user has to connect again


@dataclass(frozen=True)
class Answer:
    """The outcome of a request, with its reason, and the seconds that the service wants to be left alone.

    Of what was taken, `refused` has the reasons for single plays by their place in the request, and `waiting`
    the places of plays to send again.
    """

    outcome: Outcome
    reason: str = ""
    wait_s: float = 0.0
    refused: Mapping[int, str] = field(default_factory=dict)
    waiting: frozenset[int] = frozenset()


class ScrobbleService(Protocol):
    """A service that takes plays; no method raises for what the network or the service does."""

    title: str

    def submit(self, token: str, scrobbles: Sequence[Scrobble]) -> Answer:
        """Send plays, at most 50."""

    def now_playing(self, token: str, track: Track, mbid: str | None) -> Answer:
        """Say what plays now."""


def one_line(text: str) -> str:
    """Return a reason as one short line."""
    return "".join(char for char in text if char.isprintable()).strip()[:_MAX_ERROR]


def away(title: str, error: requests.RequestException) -> Answer:
    """Return the answer of a service that does not answer."""
    return Answer(Outcome.LATER, f"expected {title} to answer, found {type(error).__name__}")
