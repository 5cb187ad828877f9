"""What MongoDB shows (recommendations, similar tracks, the map, the champion), and the last good copy of it
while it is away.

One thread keeps the connection, and looks for all listeners together whether their recommendations have
changed: MongoDB's change streams would need a replica set, which the embedded server is not.
"""

import logging
import math
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.errors import InputError, StepError
from jobs.online import mongo
from jobs.online.mongo import Document
from serving.db.feedback import FeedbackStore

log = logging.getLogger("segue")

# Seconds for which a document is believed without asking again.
_FRESH_S = {"recommendations": 1.0, "state": 2.0, "similar": 60.0, "map": 600.0}

# Documents kept; a list of recommendations is some 4 KB.
_CACHE_SIZE = 5_000

# Seconds between two looks: at who has just played something, at everyone who listens, at MongoDB itself.
_ACTIVE_POLL_S, _IDLE_POLL_S, _RETRY_S = 0.25, 3.0, 1.0

# Seconds after an event of a listener in which the recommendations are expected to change.
_ACTIVE_FOR_S = 30.0

_TIMEOUT_S = 2.0

# When what was not fetched yet was fetched: the clock may begin with the machine, so that its 0 is no long
# time ago.
_NOT_FETCHED: tuple[float, Document | None] = (-math.inf, None)


class OnlineStore:
    """MongoDB as serving reads it.

    Every method is safe to call from any thread and none raises where it is away.
    """

    def __init__(
        self,
        uri: str | None,
        lake: Path,
        listeners: FeedbackStore,
        changed: Callable[[str | None, Document], None],
    ) -> None:
        """Connect in the background.

        `changed` is told (user_id, document) of new recommendations, (None, state) of MongoDB.
        """
        self.online = False
        self._uri, self._lake, self._feedback, self._on_change = uri, lake, listeners, changed
        self._database: mongo.Database | None = None
        self._cache: OrderedDict[tuple[str, str], tuple[float, Document | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._subscribers: dict[str, int] = {}
        self._active_until: dict[str, float] = {}
        self._last_revisions: dict[str, Any] = {}
        self._closed = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mongo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of MongoDB."""
        self._closed.set()
        self._thread.join(15)

    def wait_connected(self, seconds: float) -> bool:
        """Wait for the first connection, at most so long; return whether there is one."""
        self._first.wait(seconds)
        return self.online

    # --- reading ---

    def read(self, collection: str, document_id: str) -> Document | None:
        """Return one document, not older than the collection's `_FRESH_S` where MongoDB answers, else as last
        seen.
        """
        with self._lock:
            at, document = self._cache.get((collection, document_id), _NOT_FETCHED)
        database = self._database
        if database is None or time.monotonic() - at < _FRESH_S[collection]:
            return document
        try:
            document = mongo.get(database[collection], document_id)
        except mongo.StoreError:
            return document
        self._keep_copy(collection, document_id, document)
        return document

    def cached(self, collection: str, document_id: str) -> tuple[bool, Document | None]:
        """Return whether a copy is fresh enough to be believed without asking, and the copy: never waits."""
        with self._lock:
            at, document = self._cache.get((collection, document_id), _NOT_FETCHED)
        return self._database is None or time.monotonic() - at < _FRESH_S[collection], document

    def _keep_copy(self, collection: str, document_id: str, document: Document | None) -> None:
        with self._lock:
            self._cache[collection, document_id] = (time.monotonic(), document)
            self._cache.move_to_end((collection, document_id))
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)

    def champion(self) -> str | None:
        """Return the version of the model that is online."""
        document = self.read("state", "champion")
        return str(document["model_version"]) if document else None

    def similar(self, track_id: str) -> list[Document]:
        """Return a track's nearest, `{track_id, score}`, nearest first; empty where nothing is known."""
        version = self.champion()
        document = self.read("similar", f"{version}:{track_id}") if version else None
        return document["items"] if document else []

    # --- who listens ---

    def subscribe(self, user_id: str, seen: str | None) -> None:
        """Look for changes of this listener's recommendations from now on.

        `seen` is the mark of those that are shown.
        """
        with self._lock:
            if seen is not None:
                self._last_revisions.setdefault(user_id, seen)
            self._subscribers[user_id] = self._subscribers.get(user_id, 0) + 1

    def unsubscribe(self, user_id: str) -> None:
        """Take back one `listen`."""
        with self._lock:
            self._subscribers[user_id] = self._subscribers.get(user_id, 1) - 1
            if self._subscribers[user_id] <= 0:
                del self._subscribers[user_id]
                self._last_revisions.pop(user_id, None)

    def poll_soon(self, user_id: str) -> None:
        """Look more often for a while: the listener has just done something."""
        with self._lock:
            self._active_until[user_id] = time.monotonic() + _ACTIVE_FOR_S

    # --- the thread ---

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with mongo.connect(self._uri, self._lake, timeout_s=_TIMEOUT_S) as database:
                    self._database = database
                    self._set_online(True)
                    self._watch(database)
            except (StepError, InputError, mongo.StoreError, OSError, sqlite3.Error) as error:
                if self.online or not self._first.is_set():
                    log.warning("MongoDB is away, what was read before is served: %s", str(error)[:200])
            finally:
                self._database = None
            self._set_online(False)
            self._first.set()
            self._closed.wait(_RETRY_S)

    def _set_online(self, online: bool) -> None:
        changed, self.online = self.online != online, online
        if online:
            self._first.set()
        if changed and not self._closed.is_set():
            self._on_change(None, {"mongo": online})

    def _watch(self, database: mongo.Database) -> None:
        everyone_at, likes_there, in_spell = 0.0, False, False
        while not self._closed.wait(_ACTIVE_POLL_S):
            now = time.monotonic()
            with self._lock:
                listeners = set(self._subscribers)
                self._active_until = {
                    name: until for name, until in self._active_until.items() if until > now
                }
                hot = listeners & set(self._active_until)
            if now - everyone_at > _IDLE_POLL_S:
                everyone_at, hot = now, listeners
                mongo.ping(database)
            try:
                if hot:
                    self._poll_users(database, hot)
                if not likes_there:
                    self._resync_feedback_if_empty(database)
                    likes_there = True
                self._sync_feedback(database)
                in_spell = False
            except sqlite3.Error as error:  # a full or locked file: no reason to let go of MongoDB
                if not in_spell:
                    log.warning(
                        "the accounts' file could not be read or written, tried again soon: %s", error
                    )
                in_spell = True

    def _poll_users(self, database: mongo.Database, names: Iterable[str]) -> None:
        wanted = list(names)
        found = mongo.find(database["recommendations"], wanted, "as_of", "model_version", "offsets")
        marks = {document["_id"]: revision(document) for document in found}
        changed = [name for name, value in marks.items() if self._last_revisions.get(name) != value]
        for name in changed:
            document = mongo.get(database["recommendations"], name)
            self._keep_copy("recommendations", name, document)
            if document:
                self._on_change(name, document)
            self._last_revisions[name] = marks[name]  # last: what could not be told is told at the next look

    def _sync_feedback(self, database: mongo.Database) -> None:
        while waiting := self._feedback.pending():
            mongo.upsert(database["feedback"], waiting)
            self._feedback.mark_synced(waiting)

    def _resync_feedback_if_empty(self, database: mongo.Database) -> None:
        """A store that was rebuilt from nothing has lost the likes."""
        with suppress(mongo.StoreError):
            if not mongo.count(database["feedback"]):
                self._feedback.mark_all_pending()


def revision(document: Document) -> str:
    """Return what tells two versions of a listener's recommendations apart; the id of their event."""
    # None of somebody whose only events were repetitions.
    at = int(document["as_of"].timestamp() * 1_000_000) if document["as_of"] else 0
    # A play that was made before another one, and came after it, changes the list but not its time.
    plays = sum((document.get("offsets") or {}).values())
    return f"{document.get('model_version')}-{at}-{plays}"
