"""The parts of one running server, shared by all routes."""

import asyncio
import logging
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import Any

from jobs import settings
from jobs.lake.storage import Lake
from jobs.plays.producer import Producer
from jobs.recommender.profiles import RATINGS
from serving import catalog
from serving.catalog import Catalog, Track
from serving.covers import Covers
from serving.db.accounts import LOCAL_USER, Accounts, User
from serving.db.bookmarks import Bookmarks
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from serving.db.forwarding import Forwarding
from serving.db.mixes import MixStore
from serving.db.playlists import Playlists
from serving.db.radio_stations import RadioStations
from serving.db.shares import Shares
from serving.db.starred_groups import StarredGroups
from serving.db.waiting_listens import WaitingListens
from serving.event_stream import EventHub
from serving.lastfm_service import LastFm
from serving.library_lists import LibraryLists
from serving.listen_forwarder import ListenForwarder
from serving.listenbrainz_service import ListenBrainz
from serving.listens import FinishedPlays, ListenMatcher, match_waiting
from serving.metrics import ServerMetrics
from serving.now_playing import NowPlaying
from serving.online_store import Document, OnlineStore, revision
from serving.play_intake import PlayIntake
from serving.problems import RequestError
from serving.radio import Radio
from serving.rate_limit import TokenBucketLimiter
from serving.recommendations import to_recommendations
from serving.star_links import relink_stars, store_starred
from serving.transcoding import MAX_PROCESSES

log = logging.getLogger("segue")

# How often to look for a newer version of TRACKS in the lake.
_POLL_INTERVAL_S = 3.0


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
    mixes: MixStore = field(init=False)
    bookmarks: Bookmarks = field(init=False)
    shares: Shares = field(init=False)
    radio_stations: RadioStations = field(init=False)
    waiting_listens: WaitingListens = field(init=False)
    listen_matcher: ListenMatcher = field(init=False)
    finished_plays: FinishedPlays = field(init=False)
    starred_groups: StarredGroups = field(init=False)
    forwarding: Forwarding = field(init=False)
    lastfm: LastFm = field(init=False)
    forwarder: ListenForwarder = field(init=False)
    plays: PlayIntake = field(init=False)
    metrics: ServerMetrics = field(init=False)
    online_store: OnlineStore = field(init=False)
    radio: Radio = field(init=False)
    covers: Covers = field(default_factory=Covers)
    now_playing: NowPlaying = field(default_factory=NowPlaying)
    event_hub: EventHub | None = None
    # Reads the metrics, beside the admins; "" if it is not set.
    metrics_token: str = field(default_factory=settings.metrics_token, repr=False)
    # A user's player sends a handful of events a minute; a client may send what it kept while offline.
    event_limit: TokenBucketLimiter = field(default_factory=lambda: TokenBucketLimiter(rate=20, burst=200))
    login_limit: TokenBucketLimiter = field(default_factory=lambda: TokenBucketLimiter(rate=0.2, burst=8))
    transcoding_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PROCESSES))
    _lists: LibraryLists | None = None
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.database)
        self.feedback = FeedbackStore(self.database)
        self.playlists = Playlists(
            self.database, on_change=lambda name: self.publish_event(name, "playlists", {})
        )
        self.mixes = MixStore(self.database)
        self.bookmarks = Bookmarks(self.database)
        self.shares = Shares(self.database)
        self.radio_stations = RadioStations(self.database)
        self.waiting_listens = WaitingListens(self.database)
        self.listen_matcher = ListenMatcher(self.lake)
        self.finished_plays = FinishedPlays(self.lake)
        self.starred_groups = StarredGroups(self.database)
        self.forwarding = Forwarding(self.database)
        self.lastfm = LastFm(**settings.lastfm())
        listenbrainz = ListenBrainz(settings.listenbrainz_address())
        self.forwarder = ListenForwarder(self, {"listenbrainz": listenbrainz, "lastfm": self.lastfm})
        self.plays = PlayIntake(self.producer, self.feedback)
        self.metrics = ServerMetrics(self.lake.root)
        self._add_gauges()
        self._relink_stars()

    def _relink_stars(self) -> None:
        """Let stars follow albums and artists to other ids."""
        try:
            moved = relink_stars(self.catalog, self.starred_groups)
        except sqlite3.OperationalError as error:  # a full disk; the next version of the catalog tries again
            log.warning("stars of albums with other ids could not be moved, will retry: %s", error)
            return
        if moved:
            log.info("stars of %d albums and artists have followed them to other ids", len(moved))

    def store_starred(self) -> None:
        """Store what the albums and artists with stars are, by which the stars can follow them."""
        store_starred(self.catalog, self.starred_groups)

    def _add_gauges(self) -> None:
        def sse_connections() -> int:
            return self.event_hub.open_streams if self.event_hub else 0

        add_gauge = self.metrics.add_gauge
        add_gauge("segue_sse_connections", "open server-sent event streams", sse_connections)
        add_gauge("segue_spool_pending_events", "play events not yet in Kafka", lambda: self.producer.pending)
        add_gauge("segue_mongo_up", "1 while MongoDB answers", lambda: int(self.online_store.online))
        add_gauge("segue_tracks", "tracks that can be played", lambda: len(self.catalog.tracks))

    def open(self, mongo: str | None, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads that watch MongoDB and the lake."""
        self.event_hub = EventHub(loop)
        self.radio = Radio(self.lake)
        self.online_store = OnlineStore(mongo, self.lake.root, self.feedback, self._on_change)
        threading.Thread(target=self._watch_lake, name="lake", daemon=True).start()
        self.forwarder.start()

    @property
    def lists(self) -> LibraryLists:
        """Sorted lists of the present catalog."""
        catalog_now, lists = self.catalog, self._lists
        if lists is None or lists.catalog is not catalog_now:
            self._lists = lists = LibraryLists(catalog_now)
        return lists

    def close(self) -> None:
        """Stop the threads and close the database; events not yet in Kafka stay in the spool."""
        self._closed.set()
        self.forwarder.close()
        self.online_store.close()
        self.producer.close()
        self.plays.flush()
        self.database.close()

    def _watch_lake(self) -> None:
        self.lists.warm_up()
        matched_version = None
        while not self._closed.wait(_POLL_INTERVAL_S):
            self.plays.flush()
            try:
                if catalog.lake_version(self.lake) != self.catalog.version:
                    self.catalog = catalog.load(self.lake)
                    self._relink_stars()
                    self.lists.warm_up()
                    log.info("the collection has changed: %d tracks", len(self.catalog.tracks))
                    self.publish_event(None, "collection", {"tracks": len(self.catalog.tracks)})
                if matched_version != self.catalog.version:
                    match_waiting(self)
                    matched_version = self.catalog.version
            except (OSError, ValueError) as error:  # the version was deleted while it was read
                log.warning("the collection could not be read, will retry: %s", error)

    def _on_change(self, user_id: str | None, document: Document) -> None:
        if user_id is None:
            self.publish_event(None, "state", document)
            return
        message = to_recommendations(self, user_id, document).model_dump()
        self.publish_event(user_id, "recommendations", message, revision(document))

    def publish_event(self, user_id: str | None, kind: str, data: Any, event_id: str | None = None) -> None:
        """Send a server-sent event to a user's open pages, or to all pages for None."""
        if self.event_hub is not None:
            self.event_hub.publish(user_id, kind, data, event_id)

    def authenticate(self, *, cookie: str | None, authorization: str | None) -> User:
        """Return the user of a request, by app password or session. Raises RequestError (401) for none."""
        if authorization:
            scheme, _, secret = authorization.partition(" ")
            is_token = scheme.lower() in ("bearer", "token")
            user = self.accounts.user_by_app_password(secret.strip()) if is_token else None
        elif not self.accounts.has_users():
            return User(LOCAL_USER)
        else:
            user = self.accounts.user_by_session(cookie) if cookie else None
        if user is None:
            raise RequestError(401, "expected a login, found no valid one", {"WWW-Authenticate": "Bearer"})
        return user

    def track(self, track_id: str) -> Track:
        """Return a track. Raises RequestError (404) for an unknown id."""
        track = self.catalog.by_id.get(track_id)
        if track is None:
            raise RequestError(404, f"expected the id of a track, found {ascii(track_id)[:80]}")
        return track

    def accept_play(self, user: User, fields: dict[str, Any], *, is_limited: bool = True) -> str:
        """Accept a play event (`PlayIntake.accept`) and return its id.

        `is_limited=False` leaves out the rate limit. Raises RequestError 404, 422, 429 or 507.
        """
        if is_limited:
            self.event_limit.consume(user.name)
        track = self.track(fields["track_id"])
        event = self.plays.accept(user, track, fields)
        if event.event == "started":
            self.forwarder.now_playing(user.name, track)
        self.online_store.poll_soon(user.name)
        self.metrics.count_event(event.event)
        return event.event_id

    def set_rating(self, user: User, track_id: str, liked: bool | None) -> None:
        """Like or dislike a track; None takes either back."""
        self.track(track_id)
        self.plays.flush()
        if self.feedback.ratings(user.name).get(track_id) is not liked:
            event_type = next(event for event, value in RATINGS.items() if value is liked)
            self.accept_play(user, {"track_id": track_id, "event": event_type})
