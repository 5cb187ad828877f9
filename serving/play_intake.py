"""Accepts play events.

Validate, write to the spool (which feeds Kafka), then to the user's history and likes.
"""

import logging
import sqlite3
import threading
import uuid
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jobs.errors import StepError
from jobs.plays import events
from jobs.plays.producer import Producer
from jobs.recommender.profiles import RATINGS
from serving.catalog import Track
from serving.db.accounts import User
from serving.db.feedback import FeedbackStore
from serving.problems import RequestError

log = logging.getLogger("segue")


class PlayIntake:
    """The one way that play events come in; every method is safe to call from any thread."""

    def __init__(self, producer: Producer, feedback: FeedbackStore) -> None:
        self._producer, self._feedback = producer, feedback
        # Events that the spool has taken and the accounts database, on a full disk, has not.
        self._pending: deque[events.PlayEvent] = deque()
        self._flush_lock = threading.Lock()

    def accept(self, user: User, track: Track, fields: dict[str, Any]) -> events.PlayEvent:
        """Accept a play event: it is synced to disk when this returns.

        Parameters
        ----------
        user
            Who played.
        track
            What was played.
        fields
            The event as the client sent it; None stands for a missing field.

        Raises
        ------
        RequestError
            422 for an invalid event; 507 if the disk is full: the client sends it again later.
        """
        now = datetime.now(UTC)
        given_fields = {name: value for name, value in fields.items() if value is not None}
        defaults = {"event_id": uuid.uuid4().hex, "played_at": now, "duration_s": track.duration_s}
        try:
            event = events.from_fields({**defaults, **given_fields, "user_id": user.name}, now)
        except events.InvalidEvent as error:
            raise RequestError(422, str(error)) from error
        try:
            self._producer.send(event)
        except StepError as error:
            log.error("an event could not be written: %s", error)
            raise RequestError(507, "expected space on the lake's disk, found it full") from error
        # From here on it is accepted: a failure must not make the client send it again, which would count
        # twice.
        self._pending.append(event)
        self.flush()
        if self._pending:
            log.error(
                "%d events are on their way to Kafka, but not in history and likes until the disk has space",
                len(self._pending),
            )
        return event

    def flush(self) -> None:
        """Write accepted events to history and likes, in order; those the database cannot take wait."""
        with self._flush_lock, suppress(sqlite3.OperationalError):
            while self._pending:
                # Taken out first: an event that fails otherwise must not block all later ones.
                event = self._pending.popleft()
                try:
                    self._feedback.record_play(
                        {**events.to_dict(event), "played_at": event.played_at.isoformat()}
                    )
                    if event.event in RATINGS:
                        self._feedback.rate(event.user_id, event.track_id, RATINGS[event.event])
                except sqlite3.OperationalError:
                    self._pending.appendleft(event)
                    raise
