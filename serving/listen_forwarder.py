"""Forwards finished plays to ListenBrainz: in order, again and again until it has taken or refused them."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import requests

from serving.db.forwarding import OutgoingPlay
from serving.listens import listen_start, recording_mbids, track_metadata

if TYPE_CHECKING:
    from serving.app_state import AppState

log = logging.getLogger("segue")

# How often to look for plays that wait, seconds.
_POLL_INTERVAL_S = 5.0

# Listens of one request, far below ListenBrainz' 1,000.
_BATCH = 50

# Seconds to wait after a failure; each further one doubles it.
_FIRST_PAUSE_S, _MAX_PAUSE_S = 5.0, 3600.0

_TIMEOUT_S = (10.0, 30.0)
_MAX_ERROR = 200


class ListenForwarder:
    """A thread that sends what waits; a user whose plays cannot be sent does not hold up the others."""

    def __init__(
        self, state: "AppState", address: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state, self._url, self._clock = state, f"{address.rstrip('/')}/1/submit-listens", clock
        self._session = requests.Session()
        # By user: not before this time, and the pause that led to it.
        self._pauses: dict[str, tuple[float, float]] = {}
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="forwarder", daemon=True).start()

    def close(self) -> None:
        """Stop the thread; what waits is sent after the next start."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(_POLL_INTERVAL_S):
            try:
                self.forward_all()
            except Exception:  # the thread must live on; what waits is still there
                log.exception("plays could not be forwarded to ListenBrainz")

    def forward_all(self) -> None:
        """Send the waiting plays of every user who is not in a pause."""
        for name in self._state.forwarding.users_with_pending():
            not_before, _ = self._pauses.get(name, (0.0, 0.0))
            if self._clock() >= not_before:
                self._forward(name)

    def _forward(self, name: str) -> None:
        """Send a user's plays in batches until one is not taken."""
        by_id, after = self._state.catalog.by_id, 0
        token = self._state.forwarding.token(name)
        while token is not None and not self._closed.is_set():
            waiting = self._state.forwarding.pending(name, _BATCH, after)
            # A track that has left the collection has no name to send: its plays wait for it.
            plays = [play for play in waiting if play.track_id in by_id]
            if not waiting or (plays and not self._send(name, token, plays)):
                return
            after = waiting[-1].row

    def _send(self, name: str, token: str, plays: list[OutgoingPlay]) -> bool:
        """Send plays; return whether the next ones may follow.

        If a batch is refused, each play is sent alone, so that one bad one costs itself only.
        """
        try:
            answer = self._post(name, token, plays)
        except requests.RequestException as error:
            return self._pause(name, f"expected ListenBrainz to answer, found {type(error).__name__}")
        if answer.status_code == 200:
            self._state.forwarding.mark_sent(name, plays)
            self._pauses.pop(name, None)
            return True
        if answer.status_code == 400:
            if len(plays) > 1:
                return all(self._send(name, token, [play]) for play in plays)
            self._state.forwarding.mark_refused(plays[0], _error_text(answer))
            return True
        wait_s = _seconds(answer.headers.get("X-RateLimit-Reset-In") or answer.headers.get("Retry-After"))
        return self._pause(name, _error_text(answer), wait_s)

    def _post(self, name: str, token: str, plays: list[OutgoingPlay]) -> requests.Response:
        body = {
            "listen_type": "single" if len(plays) == 1 else "import",
            "payload": [self._listen(name, play) for play in plays],
        }
        headers = {"Authorization": f"Token {token}"}
        # Redirects are not followed: they could lead the token elsewhere.
        return self._session.post(
            self._url, json=body, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
        )

    def _listen(self, name: str, play: OutgoingPlay) -> dict[str, Any]:
        fields = {
            "event_id": play.event_id,
            "track_id": play.track_id,
            "played_at": play.played_at,
            "position_s": play.position_s,
        }
        catalog = self._state.catalog
        track = catalog.by_id[play.track_id]
        (mbid,) = recording_mbids(catalog, [track])
        names = track_metadata(track, mbid)
        return {"listened_at": int(listen_start(name, fields).timestamp()), "track_metadata": names}

    def _pause(self, name: str, error: str, wait_s: float = 0.0) -> bool:
        _, last = self._pauses.get(name, (0.0, 0.0))
        pause = max(wait_s, min(2 * last or _FIRST_PAUSE_S, _MAX_PAUSE_S))
        self._pauses[name] = (self._clock() + pause, pause)
        self._state.forwarding.set_error(name, error)
        log.warning("plays of %s wait for ListenBrainz, next try in %.0f s: %s", name, pause, error)
        return False


def _error_text(answer: requests.Response) -> str:
    """Return the reason of a refusal as one line: ListenBrainz' own words, else the status."""
    try:
        reason = str(answer.json().get("error", ""))
    except (ValueError, AttributeError):
        reason = ""
    printable = "".join(char for char in reason if char.isprintable())
    return f"{answer.status_code} {printable}".strip()[:_MAX_ERROR]


def _seconds(text: str | None) -> float:
    """Return a number of seconds in a header, at most _MAX_PAUSE_S; 0 for none."""
    return min(float(text[:6]), _MAX_PAUSE_S) if text and text.isascii() and text.isdecimal() else 0.0
