"""Simulated clients over HTTP, each a thread with an app password; what was sent and accepted is recorded."""

import json
import random
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from serving.db.accounts import Accounts
from serving.db.database import Database

# Time limit of one request; the server may just have been killed.
_TIMEOUT_S = 15


class Promises:
    """Events as they were sent, by id, and which of them were answered with 2xx."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent: dict[str, tuple[str, str, str]] = {}
        self.accepted: set[str] = set()
        self.repeated = self.refused = 0
        self.silences: list[float] = []
        self._last_audio = time.monotonic()

    def record_send(self, event_id: str, user: str, track_id: str, event: str) -> None:
        """Record an event before its first request."""
        with self._lock:
            self.repeated += event_id in self.sent
            self.sent[event_id] = (user, track_id, event)

    def record_answer(self, event_id: str, accepted: bool) -> None:
        """Record whether the server accepted an event."""
        with self._lock:
            self.refused += not accepted
            if accepted:
                self.accepted.add(event_id)

    def record_audio(self) -> None:
        """Record that audio arrived; the time since the last one is a silence."""
        now = time.monotonic()
        with self._lock:
            self.silences.append(now - self._last_audio)
            self._last_audio = now

    def count(self, ids: set[str]) -> Counter[tuple[str, str, str]]:
        """Count (user, track, event type) over these event ids."""
        return Counter(self.sent[event_id] for event_id in ids)


def add_users(lake: Path, names: list[str]) -> dict[str, str]:
    """Add users to the lake; return an app password for each."""
    with closing(Database(lake)) as file:
        accounts = Accounts(file)
        for name in names:
            accounts.add(name, f"password of {name}")
        return {name: accounts.add_app_password(name, "fault injection").secret for name in names}


def request(
    address: str, secret: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> bytes:
    """Return the body of one answer. Raises OSError for an answer other than 2xx, or none."""
    data = None if body is None else json.dumps(body).encode()
    request_headers = {
        "Authorization": f"Bearer {secret}",
        "Content-Type": "application/json",
        **(headers or {}),
    }
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, data, request_headers), timeout=_TIMEOUT_S
        ) as answer:
            return bytes(answer.read())
    except HTTPException as error:  # an answer cut short
        raise OSError(str(error)) from error


class SimulatedClient(threading.Thread):
    """Requests audio and sends play events. A patient client re-sends a refused event with the same id."""

    def __init__(
        self, base: str, name: str, secret: str, promises: Promises, *, rate: float, patient: bool, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._base, self._secret, self._promises = base, secret, promises
        self._pause_s, self._patient, self._chance = 1 / rate, patient, random.Random(f"{seed} {name}")
        self._stopped, self._number = threading.Event(), 0

    def stop(self) -> None:
        """Stop after the current event is accepted or request_headers up."""
        self._stopped.set()
        self.join(300)

    def run(self) -> None:
        tracks: list[str] = []
        while not tracks and not self._stopped.wait(0.2):
            with suppress(OSError, ValueError):
                output = json.loads(request(f"{self._base}/api/tracks?limit=500", self._secret))
                tracks = [track["id"] for track in output["items"]]
        while not self._stopped.wait(self._chance.expovariate(1 / self._pause_s)):
            track_id = self._chance.choice(tracks)
            with suppress(OSError):
                request(
                    f"{self._base}/api/tracks/{track_id}/audio",
                    self._secret,
                    headers={"Range": "bytes=0-2047"},
                )
                self._promises.record_audio()
            kind = self._chance.choices(
                ("started", "finished", "skipped", "liked", "disliked"), (40, 35, 18, 5, 2)
            )[0]
            self._send_event(track_id, kind)

    def _send_event(self, track_id: str, kind: str) -> None:
        self._number += 1
        event_id = f"{self.name}-{self._number:06d}"
        body = {
            "event_id": event_id,
            "track_id": track_id,
            "event": kind,
            "position_s": 1.0,
            "session_id": self.name,
        }
        while True:
            self._promises.record_send(event_id, self.name, track_id, kind)
            try:
                request(f"{self._base}/api/events", self._secret, body)
                return self._promises.record_answer(event_id, True)
            except OSError:
                self._promises.record_answer(event_id, False)
            if not self._patient:
                return None
            time.sleep(0.5)
