"""Everything that the routes work with, and what several of them do: one object for one running server."""

import asyncio
import logging
import sqlite3
import threading
import time
import uuid
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.errors import StepError
from jobs.lake.storage import Lake
from jobs.plays import events
from jobs.plays.producer import Producer
from jobs.recommender.profiles import RATINGS
from jobs.runtime import stream_status
from serving import catalog
from serving.catalog import Catalog, Track
from serving.covers import Covers
from serving.db.accounts import LOCAL_USER, Accounts, User
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from serving.db.playlists import Playlists
from serving.event_stream import EventHub
from serving.middleware import RequestError, TokenBucketLimiter
from serving.online_store import Document, OnlineStore, revision
from serving.radio import Radio
from serving.schemas import Recommendations, RecommendedTrack, TrackOut

log = logging.getLogger("segue")

# Seconds between two looks at whether the lake has a newer version of TRACKS.
_POLL_INTERVAL_S = 3.0

# Tracks of the start list where no curated one has been published yet.
_START = 30


@dataclass
class AppState:
    """One server's parts; `catalog` is replaced when the lake has a newer one."""

    lake: Lake
    database: Database
    producer: Producer
    catalog: Catalog
    accounts: Accounts = field(init=False)
    feedback: FeedbackStore = field(init=False)
    playlists: Playlists = field(init=False)
    online_store: OnlineStore = field(init=False)
    radio: Radio = field(init=False)
    covers: Covers = field(default_factory=Covers)
    hub: EventHub | None = None
    counted: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    # A listener's player sends a handful a minute; a client may send what it kept while offline.
    event_limit: TokenBucketLimiter = field(default_factory=lambda: TokenBucketLimiter(rate=20, burst=200))
    login_limit: TokenBucketLimiter = field(default_factory=lambda: TokenBucketLimiter(rate=0.2, burst=8))
    _ended: threading.Event = field(default_factory=threading.Event)
    # Events that the spool has taken and the accounts, on a full disk, have not.
    _pending: deque[events.PlayEvent] = field(default_factory=deque)
    _flush_lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.database)
        self.feedback = FeedbackStore(self.database)
        self.playlists = Playlists(self.database)

    def open(self, mongo: str | None, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen to MongoDB and to the lake."""
        self.hub = EventHub(loop)
        self.radio = Radio(self.lake)
        self.online_store = OnlineStore(mongo, self.lake.root, self.feedback, self._on_change)
        threading.Thread(target=self._watch_lake, name="lake", daemon=True).start()

    def close(self) -> None:
        """Let go of everything; what Kafka has not taken stays in the spool."""
        self._ended.set()
        self.online_store.close()
        self.producer.close()
        self._flush_pending()
        self.database.close()

    def _watch_lake(self) -> None:
        while not self._ended.wait(_POLL_INTERVAL_S):
            self._flush_pending()
            try:
                if catalog.lake_version(self.lake) != self.catalog.version:
                    self.catalog = catalog.load(self.lake)
                    log.info("the collection has changed: %d tracks", len(self.catalog.tracks))
                    self.publish_event(None, "collection", {"tracks": len(self.catalog.tracks)})
            except (OSError, ValueError) as error:  # a version that was cleared away while it was read
                log.warning("the collection could not be read, tried again soon: %s", error)

    def _on_change(self, user_id: str | None, document: Document) -> None:
        if user_id is None:
            self.publish_event(None, "state", document)
        else:
            self.publish_event(
                user_id,
                "recommendations",
                self.to_recommendations(user_id, document).model_dump(),
                revision(document),
            )

    def publish_event(self, user_id: str | None, kind: str, data: Any, event_id: str | None = None) -> None:
        """Send a message to a listener's open pages, or to all of them."""
        if self.hub is not None:
            self.hub.publish(user_id, kind, data, event_id)

    # --- who ---

    def authenticate(self, *, cookie: str | None, authorization: str | None) -> User:
        """Return who asks; Refused (401) for nobody."""
        if authorization:
            kind, _, secret = authorization.partition(" ")
            user = (
                self.accounts.user_by_app_password(secret.strip())
                if kind.lower() in ("bearer", "token")
                else None
            )
        elif not self.accounts.has_users():
            return User(LOCAL_USER)
        else:
            user = self.accounts.user_by_session(cookie) if cookie else None
        if user is None:
            raise RequestError(401, "expected a login, found none that holds", {"WWW-Authenticate": "Bearer"})
        return user

    # --- tracks ---

    def track(self, track_id: str) -> Track:
        """Return a track; Refused (404) where there is none."""
        found = self.catalog.by_id.get(track_id)
        if found is None:
            raise RequestError(404, f"expected the id of a track, found {ascii(track_id)[:80]}")
        return found

    def to_track_out(self, tracks: list[Track], ratings: dict[str, bool]) -> list[TrackOut]:
        """Return tracks as a listener sees them."""
        return [write_track_out(track, ratings) for track in tracks]

    def exclusions(self, user_id: str, ratings: dict[str, bool]) -> tuple[set[str], set[str]]:
        """Return the ids of the tracks and the names of the artists that a listener does not want to hear."""
        return {each for each, liked in ratings.items() if not liked}, set(self.feedback.blocked(user_id))

    # --- recommendations ---

    def recommendations(self, user_id: str) -> Recommendations:
        """Return what is recommended to a listener, else the curated list."""
        document = self.online_store.read("recommendations", user_id)
        return (
            self.to_recommendations(user_id, document)
            if document and document["items"]
            else self.default_list(user_id)
        )

    def default_list(self, user_id: str) -> Recommendations:
        """Return the start list; where none is published, a track of each artist."""
        document = self.online_store.read("state", "default_list")
        if document and self.catalog.by_ids(item["track_id"] for item in document["items"]):
            return self.to_recommendations(user_id, document, personal=False)
        items = [
            {"track_id": track.track_id, "rank": rank, "score": None, "reason": "from your collection"}
            for rank, track in enumerate(catalog.one_per_artist(self.catalog.tracks, _START), 1)
        ]
        return self.to_recommendations(user_id, {"items": items}, personal=False)

    def to_recommendations(
        self, user_id: str, document: Document, *, personal: bool = True
    ) -> Recommendations:
        """Return a document of recommendations as shown: without what cannot be played or is not wanted since."""
        ratings = self.feedback.ratings(user_id)
        disliked, artists = self.exclusions(user_id, ratings)
        known = self.catalog.by_id
        items = [
            RecommendedTrack(
                rank=rank,
                score=item.get("score"),
                reason=item.get("reason") or "",
                track=write_track_out(track, ratings),
            )
            for rank, item, track in (
                (rank, item, known.get(item["track_id"])) for rank, item in enumerate(document["items"], 1)
            )
            if track is not None and track.track_id not in disliked and track.artist not in artists
        ]
        as_of = document.get("as_of")
        return Recommendations(
            personal=personal,
            model_version=document.get("model_version"),
            as_of=as_of.isoformat() if as_of else None,
            items=items,
        )

    # --- events ---

    def accept_play(self, user: User, given: dict[str, Any], *, count: bool = True) -> str:
        """Take a play event of a listener: into the spool, from there to Kafka. Return its id.

        Refused (422) for one that is none, (429) for too many at once, (507) where there is no room: send it again later.
        """
        if count:
            self.event_limit.consume(user.name)
        track = self.track(given["track_id"])
        now = datetime.now(UTC)
        fields = {
            "event_id": uuid.uuid4().hex,
            "played_at": now,
            "duration_s": track.duration_s,
            **{name: value for name, value in given.items() if value is not None},
            "user_id": user.name,
        }
        try:
            event = events.from_fields(fields, now)
        except events.InvalidEvent as error:
            raise RequestError(422, str(error)) from error
        try:
            self.producer.send(event)
        except StepError as error:
            log.error("an event could not be kept: %s", error)
            raise RequestError(507, "expected room on the disk of the lake, found it full") from error
        # It is taken: sent again it would count twice.
        self._pending.append(event)
        self._flush_pending()
        if self._pending:
            log.error(
                "%d events are on their way to Kafka, history and likes lack them until there is room",
                len(self._pending),
            )
        self.online_store.poll_soon(user.name)
        self.counted[f"event {event.event}"] += 1
        return event.event_id

    def _flush_pending(self) -> None:
        """Bring events that are taken to the listeners' history and likes, in their order; those that find no room later."""
        with self._flush_lock, suppress(sqlite3.OperationalError):
            while self._pending:
                event = (
                    self._pending.popleft()
                )  # one that fails otherwise must not stand in the way of all others
                try:
                    self.feedback.record_play({**events.to_dict(event), "played_at": event.played_at.isoformat()})
                    if event.event in RATINGS:
                        self.feedback.rate(event.user_id, event.track_id, RATINGS[event.event])
                except sqlite3.OperationalError:
                    self._pending.appendleft(event)
                    raise

    def set_rating(self, user: User, track_id: str, liked: bool | None) -> None:
        """Like or dislike a track, or (None) take that back."""
        self.track(track_id)
        self._flush_pending()
        if self.feedback.ratings(user.name).get(track_id) is not liked:
            said = next(event for event, says in RATINGS.items() if says is liked)
            self.accept_play(user, {"track_id": track_id, "event": said})

    def record_request(self, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.counted[f"status {status // 100}xx"] += 1
        self.seconds += seconds

    def metrics(self) -> str:
        """Return the counts, and the stream's, in Prometheus' text format."""
        streams = self.hub.open if self.hub else 0
        lines = [
            *(
                f'segue_requests_total{{status="{k[7:]}"}} {v}'
                for k, v in self.counted.items()
                if k[0] == "s"
            ),
            *(f'segue_events_total{{event="{k[6:]}"}} {v}' for k, v in self.counted.items() if k[0] == "e"),
            f"segue_request_seconds_total {self.seconds:.3f}",
            f"segue_streams_open {streams}",
            f"segue_events_waiting {self.producer.pending}",
            f"segue_mongo_up {int(self.online_store.online)}",
            f"segue_tracks {len(self.catalog.tracks)}",
            f"segue_time_seconds {time.time():.0f}",
        ]
        return "\n".join(lines) + "\n" + stream_status.prometheus(self.lake.root)


def write_track_out(track: Track, ratings: dict[str, bool]) -> TrackOut:
    """Return a track as a listener sees it."""
    return TrackOut.model_construct(
        id=track.track_id,
        title=track.title,
        artist=track.artist,
        artist_id=track.artist_id,
        album=track.album,
        album_id=track.album_id,
        year=track.year,
        genre=track.genre,
        duration_s=track.duration_s,
        liked=ratings.get(track.track_id),
    )
