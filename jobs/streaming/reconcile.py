"""Bring a store that lost what it was told up to PLAYS: profiles, plays, lists, feedback. The stream does it at every start.

A kill -9 takes an embedded store back by some milliseconds, to a state that it was in; a backup by days; an empty one has
nothing. How far back it is, its document `settings.stream` says; who played since is looked at, and nobody else.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import pyarrow as pa

from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.recommender import profiles
from jobs.streaming import micro_batch

# Users up to whom their plays are had at once.
_FEW = 500

# Listeners that are looked at, and whose lists are made again, at once; and plays that are written at once.
_LOOKED_AT, _AT_ONCE, _PLAYS = 5_000, 500, 5_000

# Plays of each origin that are looked at again in any case: what follows from a play is written after its profile.
_LATEST = 10_000


def reconcile(database: Any, shelf: micro_batch.CatalogCache, lake: Lake) -> int:
    """Bring what is behind PLAYS up to it, from PLAYS; return of how many listeners."""
    ends = play_log.last_offset_by_partition(lake)
    if not ends:
        return 0
    play_log.play_table(lake).remove_scratch()
    reached = (database["settings"].find_one({"_id": micro_batch.OFFSETS_ID}) or {}).get("offsets", {})
    is_near = all(end - reached.get(origin, -1) <= _LATEST for origin, end in ends.items())
    after = {origin: end - _LATEST for origin, end in ends.items()} if is_near else None
    asked, behind, stale = iter(play_log.last_offsets_by_user(lake, after)), list[str](), 0
    while some := dict(islice(asked, _LOOKED_AT)):
        late = _behind(database["profiles"], some, some)
        behind += late
        for user in late:
            del some[user]
        stale += _lists(database, shelf, some)
    if behind:
        _make(database, shelf, lake, behind)
    mongo.upsert(database["settings"], [{"_id": micro_batch.OFFSETS_ID, "offsets": ends}])
    return len(behind) + stale


def _lists(database: Any, shelf: micro_batch.CatalogCache, expected: dict[str, dict[str, int]]) -> int:
    """Make lists again that do not know every play that their listener's profile knows; return their number."""
    if database["settings"].find_one({"_id": "champion"}) is None:
        return 0  # nobody has a list before there is a model
    stale = _behind(database["recommendations"], expected, expected)
    for first in range(0, len(stale), _AT_ONCE):
        found = mongo.find(database["profiles"], stale[first : first + _AT_ONCE])
        _derive(database, shelf, [profiles.from_document(each) for each in found])
    return len(stale)


def _make(database: Any, shelf: micro_batch.CatalogCache, lake: Lake, users: list[str]) -> None:
    """Make users' plays, their profiles and what follows from them from all their plays.

    The plays first: a profile that is not behind says that its plays are there. Of many users each collection is
    written in the order of its ids, since the embedded store writes a page of 4 KB for each document that comes alone.
    """
    if len(users) <= _FEW:
        plays = play_log.plays_of(lake, users)
        _make_plays(database, plays)
        _make_profiles(database, shelf, plays)
        return
    for plays in play_log.iter_plays_of(lake, users, "event_id"):
        _make_plays(database, plays)
    for plays in play_log.iter_plays_of(lake, users, "user_id"):
        _make_profiles(database, shelf, plays)


def _make_plays(database: Any, plays: pa.Table) -> None:
    for batch in play_log.deduplicate(plays).sort_by("event_id").to_batches(max_chunksize=_PLAYS):
        mongo.upsert(database["plays"], ({"_id": play["event_id"], **play} for play in batch.to_pylist()))


def _make_profiles(database: Any, shelf: micro_batch.CatalogCache, plays: pa.Table) -> None:
    """Make the profiles, lists and feedback of whose plays these are."""
    reached = sorted(play_log.offsets_by_user(plays).items())
    made = {user: {**profiles.new_profile(user), "offsets": offsets} for user, offsets in reached}
    for batch in play_log.deduplicate(plays).to_batches(max_chunksize=_PLAYS):
        for play in batch.to_pylist():
            profiles.add_play(made[play["user_id"]], play)
    mongo.upsert(database["profiles"], map(profiles.to_document, made.values()))
    _derive(database, shelf, list(made.values()))


def _behind(collection: Any, users: Iterable[str], expected: dict[str, dict[str, int]]) -> list[str]:
    """Return the users whose document lacks a play that it must have."""
    has = {found["_id"]: found.get("offsets", {}) for found in mongo.find(collection, users, "offsets")}
    return [
        user
        for user in users
        if any(has.get(user, {}).get(origin, -1) < offset for origin, offset in expected[user].items())
    ]


def _derive(database: Any, shelf: micro_batch.CatalogCache, made: list[profiles.Profile]) -> None:
    """Write what follows from profiles: feedback and lists."""
    with micro_batch.BackgroundWriter() as writer:
        for profile in made:
            felt = [
                each for track in profile["tracks"] for each in profiles.feedback(profile, track["track_id"])
            ]
            writer.write(mongo.merge, database["feedback"], felt)
        micro_batch.write_recommendations(database, shelf, made, micro_batch.BatchStats(), writer)
