"""MongoDB as serving reads it: recommendations, similar tracks, the map, the champion, with copies for
outages.

One thread keeps the connection and polls the recommendations of all users with an open page. MongoDB's change
streams would need a replica set, which the embedded server is not.
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

# How long a cached document is used without a query, seconds.
_FRESH_S = {"recommendations": 1.0, "state": 2.0, "similar": 60.0, "map": 600.0, "profiles": 5.0}

# Cached documents; a list of recommendations has about 4 KB.
_CACHE_SIZE = 5_000

# Seconds between two polls of users who have just played, of all users with a page, and between connection
# attempts.
_ACTIVE_POLL_S, _IDLE_POLL_S, _RETRY_S = 0.25, 3.0, 1.0

# Seconds after a play in which new recommendations are expected.
_ACTIVE_FOR_S = 30.0

_TIMEOUT_S = 2.0

# "Never fetched". Not 0: a monotonic clock may start at boot.
_NOT_FETCHED: tuple[float, Document | None] = (-math.inf, None)


class OnlineStore:
    """The online store, with the last good copy of every document.

    Every method is safe to call from any thread; none raises if MongoDB is unavailable.
    """

    def __init__(
        self,
        uri: str | None,
        lake: Path,
        feedback: FeedbackStore,
        on_change: Callable[[str | None, Document], None],
    ) -> None:
        """Connect in the background.

        `on_change` is called with (user_id, document) for new recommendations, with (None, state) for
        MongoDB's state.
        """
        self.online = False
        self._uri, self._lake, self._feedback, self._on_change = uri, lake, feedback, on_change
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
        """Stop the thread and disconnect."""
        self._closed.set()
        self._thread.join(15)

    def wait_connected(self, seconds: float) -> bool:
        """Wait up to `seconds` for the first connection; return whether there is one."""
        self._first.wait(seconds)
        return self.online

    # --- reading ---

    def read(self, collection: str, document_id: str) -> Document | None:
        """Return one document: at most `_FRESH_S` old if MongoDB answers, else the last copy."""
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
        """Return whether the cached copy is fresh enough to use without a query, and the copy.

        Never blocks.
        """
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
        """Return the version of the champion, or None."""
        document = self.read("state", "champion")
        return str(document["model_version"]) if document else None

    def similar(self, track_id: str) -> list[Document]:
        """Return a track's neighbours as `{track_id, score}`, nearest first; empty if there are none."""
        version = self.champion()
        document = self.read("similar", f"{version}:{track_id}") if version else None
        return document["items"] if document else []

    # --- subscribers ---

    def subscribe(self, user_id: str, seen: str | None) -> None:
        """Watch a user's recommendations; `seen` is the revision that the client already has."""
        with self._lock:
            if seen is not None:
                self._last_revisions.setdefault(user_id, seen)
            self._subscribers[user_id] = self._subscribers.get(user_id, 0) + 1

    def unsubscribe(self, user_id: str) -> None:
        """Undo one `subscribe`."""
        with self._lock:
            self._subscribers[user_id] = self._subscribers.get(user_id, 1) - 1
            if self._subscribers[user_id] <= 0:
                del self._subscribers[user_id]
                self._last_revisions.pop(user_id, None)

    def poll_soon(self, user_id: str) -> None:
        """Poll this user more often for a while, after a play."""
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
                    log.warning("MongoDB is unavailable, serving the last copies: %s", str(error)[:200])
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
        all_polled_at, is_resynced, has_failed = 0.0, False, False
        while not self._closed.wait(_ACTIVE_POLL_S):
            now = time.monotonic()
            with self._lock:
                subscribers = set(self._subscribers)
                self._active_until = {
                    name: until for name, until in self._active_until.items() if until > now
                }
                due = subscribers & set(self._active_until)
            if now - all_polled_at > _IDLE_POLL_S:
                all_polled_at, due = now, subscribers
                mongo.ping(database)
            try:
                if due:
                    self._poll_users(database, due)
                if not is_resynced:
                    self._resync_feedback_if_empty(database)
                    is_resynced = True
                self._sync_feedback(database)
                has_failed = False
            except (
                sqlite3.Error
            ) as error:  # a full or locked disk: no reason to drop the connection to MongoDB
                if not has_failed:
                    log.warning("the accounts database could not be read or written, will retry: %s", error)
                has_failed = True

    def _poll_users(self, database: mongo.Database, names: Iterable[str]) -> None:
        documents = mongo.find(database["recommendations"], list(names), "as_of", "model_version", "offsets")
        revisions = {document["_id"]: revision(document) for document in documents}
        changed = [name for name, value in revisions.items() if self._last_revisions.get(name) != value]
        for name in changed:
            document = mongo.get(database["recommendations"], name)
            self._keep_copy("recommendations", name, document)
            if document:
                self._on_change(name, document)
            self._last_revisions[name] = revisions[name]  # last, so that a failed notification is repeated

    def _sync_feedback(self, database: mongo.Database) -> None:
        while waiting := self._feedback.pending():
            mongo.upsert(database["feedback"], waiting)
            self._feedback.mark_synced(waiting)

    def _resync_feedback_if_empty(self, database: mongo.Database) -> None:
        """Mark all ratings as pending if the store is new and has none."""
        with suppress(mongo.StoreError):
            if not mongo.count(database["feedback"]):
                self._feedback.mark_all_pending()


def revision(document: Document) -> str:
    """Return the revision of a user's recommendations, the id of their server-sent event."""
    # None for a user whose only events were duplicates.
    at = int(document["as_of"].timestamp() * 1_000_000) if document["as_of"] else 0
    # A play that arrives late changes the list but not the time of its newest play: count offsets too.
    plays = sum((document.get("offsets") or {}).values())
    return f"{document.get('model_version')}-{at}-{plays}"
