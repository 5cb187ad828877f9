"""Listeners over HTTP, each a thread with an app password, and what was promised to them."""

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

# Seconds for one request; it may meet a server that was just killed.
_TIMEOUT_S = 15


class Promises:
    """Events by id, as they were sent; and which of them were answered by 2xx."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent: dict[str, tuple[str, str, str]] = {}
        self.accepted: set[str] = set()
        self.repeated = self.refused = 0
        self.silences: list[float] = []
        self._heard = time.monotonic()

    def send(self, event_id: str, user: str, track_id: str, event: str) -> None:
        """Note an event before its first request."""
        with self._lock:
            self.repeated += event_id in self.sent
            self.sent[event_id] = (user, track_id, event)

    def answer(self, event_id: str, accepted: bool) -> None:
        """Note what the server said."""
        with self._lock:
            self.refused += not accepted
            if accepted:
                self.accepted.add(event_id)

    def played(self) -> None:
        """Note that audio came; what lies between two of these is a silence of the server."""
        now = time.monotonic()
        with self._lock:
            self.silences.append(now - self._heard)
            self._heard = now

    def count(self, ids: set[str]) -> Counter[tuple[str, str, str]]:
        """Return how often each listener has done what with which track, over these ids."""
        return Counter(self.sent[event_id] for event_id in ids)


def invite(lake: Path, names: list[str]) -> dict[str, str]:
    """Add users to the lake; return each one's app password."""
    with closing(Database(lake)) as file:
        accounts = Accounts(file)
        for name in names:
            accounts.add(name, f"password of {name}")
        return {name: accounts.add_app_password(name, "soak").secret for name in names}


def ask(
    address: str, secret: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> bytes:
    """Return what the server answers to one request; OSError where it answers otherwise than 2xx, or not."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", **(headers or {})}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, data, given), timeout=_TIMEOUT_S
        ) as answer:
            return bytes(answer.read())
    except HTTPException as error:  # an answer cut short
        raise OSError(str(error)) from error


class Listener(threading.Thread):
    """Plays: asks for audio, says what became of it. A patient one sends again, with the same id, what was not accepted."""

    def __init__(
        self, base: str, name: str, secret: str, promises: Promises, *, rate: float, patient: bool, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._base, self._secret, self._promises = base, secret, promises
        self._pause_s, self._patient, self._chance = 1 / rate, patient, random.Random(f"{seed} {name}")
        self._told, self._number = threading.Event(), 0

    def stop(self) -> None:
        """End after the event at hand is accepted, or given up."""
        self._told.set()
        self.join(300)

    def run(self) -> None:
        tracks: list[str] = []
        while not tracks and not self._told.wait(0.2):
            with suppress(OSError, ValueError):
                said = json.loads(ask(f"{self._base}/api/tracks?limit=500", self._secret))
                tracks = [track["id"] for track in said["items"]]
        while not self._told.wait(self._chance.expovariate(1 / self._pause_s)):
            track_id = self._chance.choice(tracks)
            with suppress(OSError):
                ask(
                    f"{self._base}/api/tracks/{track_id}/audio",
                    self._secret,
                    headers={"Range": "bytes=0-2047"},
                )
                self._promises.played()
            kind = self._chance.choices(
                ("started", "finished", "skipped", "liked", "disliked"), (40, 35, 18, 5, 2)
            )[0]
            self._say(track_id, kind)

    def _say(self, track_id: str, kind: str) -> None:
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
            self._promises.send(event_id, self.name, track_id, kind)
            try:
                ask(f"{self._base}/api/events", self._secret, body)
                return self._promises.answer(event_id, True)
            except OSError:
                self._promises.answer(event_id, False)
            if not self._patient:
                return None
            time.sleep(0.5)
