"""Forwards finished plays to ListenBrainz and Last.fm, in order, until they are taken or refused."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from serving.catalog import Track
from serving.db.forwarding import Destination, OutgoingPlay
from serving.listens import listen_start, recording_mbids
from serving.scrobble_service import Answer, Outcome, Scrobble, ScrobbleService

if TYPE_CHECKING:
    from serving.app_state import AppState

log = logging.getLogger("segue")

# How often to look for plays that wait, seconds.
_POLL_INTERVAL_S = 5.0

# Plays of one request: Last.fm's maximum, far below ListenBrainz' 1,000.
_BATCH = 50

# Seconds to wait after a failure; each further one doubles it.
_FIRST_PAUSE_S, _MAX_PAUSE_S = 5.0, 3600.0

# What was started so long ago, in seconds, is not said to play now.
_MAX_NOW_PLAYING_AGE_S = 60.0


class ListenForwarder:
    """A thread that sends what waits; a destination that cannot take plays does not hold up the others."""

    def __init__(
        self,
        state: "AppState",
        services: Mapping[str, ScrobbleService],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._services, self._clock = state, services, clock
        # Not before this time, and the pause that led to it.
        self._pauses: dict[Destination, tuple[float, float]] = {}
        # Tokens that are no longer valid: nothing is sent until there is another.
        self._invalid: dict[Destination, str] = {}
        # What each user has started last, and when.
        self._started: dict[str, tuple[Track, float]] = {}
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
                log.exception("plays could not be forwarded")

    def now_playing(self, name: str, track: Track) -> None:
        """Send what a user has started to the services; it is lost if they are away."""
        self._started[name] = (track, self._clock())

    def forward_all(self) -> None:
        """Send what has started, and the waiting plays of every destination that is not in a pause."""
        for name in list(self._started):
            self._send_now_playing(name, *self._started.pop(name))
        for to in self._state.forwarding.with_pending():
            self._forward(to)

    def _token(self, to: Destination) -> str | None:
        """Return the token to send with; None in a pause, and for a token that is no longer valid."""
        token = self._state.forwarding.token(to)
        not_before, _ = self._pauses.get(to, (0.0, 0.0))
        is_paused = self._clock() < not_before or to.service not in self._services
        return None if is_paused or self._invalid.get(to) == token else token

    def _send_now_playing(self, name: str, track: Track, at: float) -> None:
        if self._clock() - at > _MAX_NOW_PLAYING_AGE_S:
            return
        (mbid,) = recording_mbids(self._state.catalog, [track])
        for service in self._state.forwarding.services(name):
            to = Destination(name, service)
            token = self._token(to)
            if token is not None:
                answer = self._services[service].now_playing(token, track, mbid)
                if answer.outcome is Outcome.STOPPED:
                    self._stop(to, token, answer)

    def _forward(self, to: Destination) -> None:
        """Send plays in batches until one is not taken."""
        by_id, after = self._state.catalog.by_id, 0
        while not self._closed.is_set() and (token := self._token(to)) is not None:
            waiting = self._state.forwarding.pending(to, _BATCH, after)
            # A track that has left the collection has no name to send: its plays wait for it.
            plays = [play for play in waiting if play.track_id in by_id]
            if not waiting or (plays and not self._send(to, token, plays)):
                return
            after = waiting[-1].row

    def _send(self, to: Destination, token: str, plays: list[OutgoingPlay]) -> bool:
        """Send plays; return whether the next ones may follow.

        If a batch is refused, each play is sent alone, so that one bad one costs itself only.
        """
        answer = self._services[to.service].submit(token, [self._scrobble(to.name, play) for play in plays])
        if answer.outcome is Outcome.TAKEN:
            return self._mark_taken(to, plays, answer)
        if answer.outcome is Outcome.REFUSED:
            if len(plays) > 1:
                return all(self._send(to, token, [play]) for play in plays)
            self._state.forwarding.mark_refused(plays[0], answer.reason)
            return True
        if answer.outcome is Outcome.STOPPED:
            return self._stop(to, token, answer)
        return self._pause(to, answer)

    def _mark_taken(self, to: Destination, plays: list[OutgoingPlay], answer: Answer) -> bool:
        """Remove what was taken, mark what was refused of it; the rest waits."""
        for place, reason in answer.refused.items():
            self._state.forwarding.mark_refused(plays[place], reason)
        left = answer.waiting | set(answer.refused)
        self._state.forwarding.mark_sent(to, [play for n, play in enumerate(plays) if n not in left])
        self._pauses.pop(to, None)
        return self._pause(to, answer) if answer.waiting else True

    def _scrobble(self, name: str, play: OutgoingPlay) -> Scrobble:
        fields = {
            "event_id": play.event_id,
            "track_id": play.track_id,
            "played_at": play.played_at,
            "position_s": play.position_s,
        }
        catalog = self._state.catalog
        track = catalog.by_id[play.track_id]
        (mbid,) = recording_mbids(catalog, [track])
        return Scrobble(track, mbid, int(listen_start(name, fields).timestamp()))

    def _pause(self, to: Destination, answer: Answer) -> bool:
        _, last = self._pauses.get(to, (0.0, 0.0))
        pause = max(answer.wait_s, min(2 * last or _FIRST_PAUSE_S, _MAX_PAUSE_S))
        self._pauses[to] = (self._clock() + pause, pause)
        self._state.forwarding.set_error(to, answer.reason)
        title = self._services[to.service].title
        log.warning("plays of %s wait for %s, next try in %.0f s: %s", to.name, title, pause, answer.reason)
        return False

    def _stop(self, to: Destination, token: str, answer: Answer) -> bool:
        self._invalid[to] = token
        self._state.forwarding.set_error(to, f"{answer.reason}; connect again, plays wait until then")
        title = self._services[to.service].title
        log.warning("plays of %s wait until %s is connected again: %s", to.name, title, answer.reason)
        return False
