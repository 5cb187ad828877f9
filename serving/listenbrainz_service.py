"""ListenBrainz as a service that plays are forwarded to."""

from collections.abc import Sequence
from typing import Any

import requests

from serving.catalog import Track
from serving.listens import track_metadata
from serving.scrobble_service import TIMEOUT_S, Answer, Outcome, Scrobble, away, one_line

_MAX_WAIT_S = 3600.0


class ListenBrainz:
    """Its `submit-listens`, with a user's own token."""

    title = "ListenBrainz"

    def __init__(self, address: str) -> None:
        self._url = f"{address.rstrip('/')}/1/submit-listens"
        self._session = requests.Session()

    def submit(self, token: str, scrobbles: Sequence[Scrobble]) -> Answer:
        """Send plays."""
        listens = [
            {"listened_at": each.started_at, "track_metadata": track_metadata(each.track, each.mbid)}
            for each in scrobbles
        ]
        return self._post(token, "single" if len(listens) == 1 else "import", listens)

    def now_playing(self, token: str, track: Track, mbid: str | None) -> Answer:
        """Say what plays now."""
        return self._post(token, "playing_now", [{"track_metadata": track_metadata(track, mbid)}])

    def _post(self, token: str, listen_type: str, listens: list[dict[str, Any]]) -> Answer:
        try:
            # Redirects are not followed: they could lead the token elsewhere.
            answer = self._session.post(
                self._url,
                json={"listen_type": listen_type, "payload": listens},
                headers={"Authorization": f"Token {token}"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return away(self.title, error)
        if answer.status_code == 200:
            return Answer(Outcome.TAKEN)
        if answer.status_code == 400:
            return Answer(Outcome.REFUSED, _error_text(answer))
        wait_s = _seconds(answer.headers.get("X-RateLimit-Reset-In") or answer.headers.get("Retry-After"))
        return Answer(Outcome.LATER, _error_text(answer), wait_s)


def _error_text(answer: requests.Response) -> str:
    """Return the reason of a refusal: ListenBrainz' own words, else the status."""
    try:
        reason = str(answer.json().get("error", ""))
    except (ValueError, AttributeError):
        reason = ""
    return one_line(f"{answer.status_code} {reason}")


def _seconds(text: str | None) -> float:
    """Return a number of seconds in a header, at most _MAX_WAIT_S; 0 for none."""
    return min(float(text[:6]), _MAX_WAIT_S) if text and text.isascii() and text.isdecimal() else 0.0
