"""Bring a store that lost what it was told up to PLAYS: profiles, plays, lists, feedback. The stream does it at every start.

A kill -9 takes an embedded store back by some milliseconds, to a state that it was in; a backup by days; an empty one has
nothing. How far back it is, its document `settings.stream` says; who played since is looked at, and nobody else.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from jobs import history, live, mongo, profiles
from jobs.storage import Lake

# Listeners that are looked at, and that are made again, at once; and plays that are written at once.
_LOOKED_AT, _AT_ONCE, _PLAYS = 5_000, 500, 5_000

# Plays of each origin that are looked at again in any case: what follows from a play is written after its profile.
_LATEST = 10_000


def repair(database: Any, shelf: live.Shelf, lake: Lake) -> int:
    """Bring what is behind PLAYS up to it, from PLAYS; return of how many listeners."""
    ends = history.ends(lake)
    if not ends:
        return 0
    reached = (database["settings"].find_one({"_id": live.REACHED}) or {}).get("offsets", {})
    is_near = all(end - reached.get(origin, -1) <= _LATEST for origin, end in ends.items())
    after = {origin: end - _LATEST for origin, end in ends.items()} if is_near else None
    asked, repaired = iter(history.last_offsets(lake, after)), 0
    while some := dict(islice(asked, _LOOKED_AT)):
        repaired += _repair(database, shelf, lake, some)
    mongo.upsert(database["settings"], [{"_id": live.REACHED, "offsets": ends}])
    return repaired


def _repair(database: Any, shelf: live.Shelf, lake: Lake, expected: dict[str, dict[str, int]]) -> int:
    """Repair some listeners, given the offsets that their profiles and lists must have."""
    behind = _behind(database["profiles"], expected, expected)
    for first in range(0, len(behind), _AT_ONCE):
        _make(database, shelf, lake, behind[first : first + _AT_ONCE])
    if database["settings"].find_one({"_id": "champion"}) is None:
        return len(behind)  # nobody has a list before there is a model
    done = set(behind)
    rest = [user for user in expected if user not in done]
    stale = _behind(database["recommendations"], rest, expected)
    for first in range(0, len(stale), _AT_ONCE):
        _derive(database, shelf, list(mongo.find(database["profiles"], stale[first : first + _AT_ONCE])))
    return len(behind) + len(stale)


def _make(database: Any, shelf: live.Shelf, lake: Lake, users: list[str]) -> None:
    """Make profiles and what follows from them from PLAYS alone."""
    plays, reached = history.of_users(lake, users)
    made = {user: {**profiles.empty(user), "offsets": reached[user]} for user in users}
    for batch in plays.to_batches(max_chunksize=_PLAYS):
        rows = batch.to_pylist()
        mongo.upsert(database["plays"], ({"_id": play["event_id"], **play} for play in rows))
        for play in rows:
            profiles.add(made[play["user_id"]], play)
    mongo.upsert(database["profiles"], made.values())
    _derive(database, shelf, list(made.values()))


def _behind(collection: Any, users: Iterable[str], expected: dict[str, dict[str, int]]) -> list[str]:
    """Return the users whose document lacks a play that it must have."""
    has = {found["_id"]: found.get("offsets", {}) for found in mongo.find(collection, users, "offsets")}
    return [
        user
        for user in users
        if any(has.get(user, {}).get(origin, -1) < offset for origin, offset in expected[user].items())
    ]


def _derive(database: Any, shelf: live.Shelf, made: list[profiles.Profile]) -> None:
    """Write what follows from profiles: feedback and lists."""
    with live.Writer() as writer:
        for profile in made:
            felt = [each for track in profile["tracks"] for each in profiles.feedback(profile, track["track_id"])]
            writer.write(mongo.merge, database["feedback"], felt)
        live.recommend(database, shelf, made, live.Counts(), writer)
