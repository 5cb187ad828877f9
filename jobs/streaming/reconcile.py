"""Reconcile the online store with PLAYS: rebuild profiles, plays, lists and feedback that lag behind.

The stream does it at every start. A kill -9 takes an embedded store back by some milliseconds, to a state
that it was in; a restored backup by days; an empty store has nothing. The state document `stream` holds the
offsets that the store had reached. Users who played since are compared, and nobody else.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import play_log
from jobs.recommender import profiles
from jobs.streaming import micro_batch
from jobs.streaming.background_writer import BackgroundWriter
from jobs.streaming.catalog_cache import CatalogCache

# Up to this many users are rebuilt in memory.
_MAX_USERS_IN_MEMORY = 500

# Users compared at a time, users whose lists are written at a time, plays written at a time.
_COMPARED_USERS = 5_000
_LISTED_USERS = 500
_WRITTEN_PLAYS = 5_000

# The last plays of each origin are always compared again: what follows from a play is written after its
# profile.
_RECHECKED_PLAYS = 10_000

UserOffsets = dict[str, dict[str, int]]


def reconcile(database: Any, catalog_cache: CatalogCache, lake: Lake) -> int:
    """Rebuild from PLAYS what lags behind it in the store; return the number of users."""
    ends = play_log.last_offset_by_partition(lake)
    if not ends:
        return 0
    play_log.play_table(lake).remove_scratch()
    offsets_document = mongo.get(database["state"], micro_batch.OFFSETS_ID) or {}
    reached = offsets_document.get("offsets", {})
    is_near = all(end - reached.get(origin, -1) <= _RECHECKED_PLAYS for origin, end in ends.items())
    after = {origin: end - _RECHECKED_PLAYS for origin, end in ends.items()} if is_near else None
    lagging: list[str] = []
    n_stale_lists = 0
    for expected in _chunks(play_log.last_offsets_by_user(lake, after), _COMPARED_USERS):
        behind = _users_behind(database["profiles"], expected, expected)
        lagging += behind
        for user in behind:
            del expected[user]
        n_stale_lists += _rewrite_stale_lists(database, catalog_cache, expected)
    if lagging:
        _rebuild(database, catalog_cache, lake, lagging)
    mongo.upsert(database["state"], [{"_id": micro_batch.OFFSETS_ID, "offsets": ends}])
    return len(lagging) + n_stale_lists


def _chunks(users: Iterator[tuple[str, dict[str, int]]], size: int) -> Iterator[UserOffsets]:
    while chunk := dict(islice(users, size)):
        yield chunk


def _users_behind(collection: Any, users: Iterable[str], expected: UserOffsets) -> list[str]:
    """Return the users whose document in a collection lacks a play that it must include."""
    documents = mongo.find(collection, users, "offsets")
    offsets = {document["_id"]: document.get("offsets", {}) for document in documents}
    return [user for user in users if _is_behind(offsets.get(user, {}), expected[user])]


def _is_behind(offsets: dict[str, int], expected: dict[str, int]) -> bool:
    return any(offsets.get(origin, -1) < offset for origin, offset in expected.items())


def _rewrite_stale_lists(database: Any, catalog_cache: CatalogCache, expected: UserOffsets) -> int:
    """Rewrite the lists that lack a play which their user's profile has; return how many."""
    if state.champion(database) is None:
        return 0  # without a model there are no lists
    stale = _users_behind(database["recommendations"], expected, expected)
    for first in range(0, len(stale), _LISTED_USERS):
        documents = mongo.find(database["profiles"], stale[first : first + _LISTED_USERS])
        _write_derived(database, catalog_cache, [profiles.from_document(document) for document in documents])
    return len(stale)


def _rebuild(database: Any, catalog_cache: CatalogCache, lake: Lake, users: list[str]) -> None:
    """Rebuild users' plays, then their profiles and what follows from them, from all their plays.

    Plays come first: a profile that is not behind implies that its plays are there. For many users each
    collection is written in the order of its ids, since the embedded store writes a page of 4 KB for each
    document that comes alone.
    """
    if len(users) <= _MAX_USERS_IN_MEMORY:
        plays = play_log.plays_of(lake, users)
        _write_plays(database, plays)
        _rebuild_profiles(database, catalog_cache, plays)
        return
    for plays in play_log.iter_plays_of(lake, users, "event_id"):
        _write_plays(database, plays)
    for plays in play_log.iter_plays_of(lake, users, "user_id"):
        _rebuild_profiles(database, catalog_cache, plays)


def _write_plays(database: Any, plays: pa.Table) -> None:
    ordered = play_log.deduplicate(plays).sort_by("event_id")
    for batch in ordered.to_batches(max_chunksize=_WRITTEN_PLAYS):
        mongo.upsert(database["plays"], ({"_id": play["event_id"], **play} for play in batch.to_pylist()))


def _rebuild_profiles(database: Any, catalog_cache: CatalogCache, plays: pa.Table) -> None:
    """Rebuild the profiles, lists and feedback of the users of plays."""
    rebuilt: dict[str, profiles.Profile] = {}
    for user, offsets in sorted(play_log.offsets_by_user(plays).items()):
        rebuilt[user] = profiles.Profile(user, offsets=offsets)
    for batch in play_log.deduplicate(plays).to_batches(max_chunksize=_WRITTEN_PLAYS):
        for play in play_log.to_events(batch):
            profiles.add_play(rebuilt[play.user_id], play)
    mongo.upsert(database["profiles"], map(profiles.to_document, rebuilt.values()))
    _write_derived(database, catalog_cache, list(rebuilt.values()))


def _write_derived(database: Any, catalog_cache: CatalogCache, changed: list[profiles.Profile]) -> None:
    """Write what follows from profiles: feedback and lists."""
    catalog = catalog_cache.item_catalog(micro_batch.ranking_state(database))
    with BackgroundWriter() as writer:
        for profile in changed:
            feedback: list[mongo.Document] = []
            for track in profile.tracks:
                feedback += profiles.feedback(profile, track.track_id)
            writer.upsert(database["feedback"], feedback, "at")
        if catalog is not None:
            micro_batch.write_recommendations(database, catalog, changed, writer)
