"""PLAYS as one history: the version by day and what the stream has added since, each event once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.storage import Lake
from jobs.tables import PLAYS


def rows(events: Iterable[dict[str, Any]]) -> pa.Table:
    """Return events, each with its origin and offset, as rows of PLAYS."""
    return pa.Table.from_pylist([{name: event[name] for name in PLAYS.names} for event in events], PLAYS.arrow_schema())


def read(lake: Lake, *columns: str) -> pa.Table:
    """Return every play once, in the order of origin and offset: of an event_id sent twice the first."""
    wanted = list(columns) or PLAYS.names
    needed = list(dict.fromkeys([*wanted, "event_id", "origin", "offset"]))
    return once(lake.arrow_with_live(PLAYS, *needed)).select(wanted)


def once(plays: pa.Table) -> pa.Table:
    """Return the first row of each event_id, ordered by origin and offset."""
    ordered = plays.sort_by([("origin", "ascending"), ("offset", "ascending")])
    numbered = ordered.append_column("_row", pa.array(range(len(ordered)), pa.int64()))
    first = numbered.group_by("event_id", use_threads=False).aggregate([("_row", "min")])["_row_min"]
    return ordered.take(first.combine_chunks().sort())


def latest(lake: Lake, most: int) -> list[dict[str, Any]]:
    """Return the latest plays, at most so many, in the order of time; without where they came from."""
    names = [name for name in PLAYS.names if name not in ("origin", "offset")]
    plays = read(lake, *names).sort_by([("played_at", "ascending"), ("event_id", "ascending")])
    found: list[dict[str, Any]] = plays.slice(max(0, len(plays) - most)).to_pylist()
    return found


def ends(lake: Lake) -> dict[str, int]:
    """Return the last offset of each origin."""
    plays = lake.arrow_with_live(PLAYS, "origin", "offset")
    found = plays.group_by("origin").aggregate([("offset", "max")])
    return {row["origin"]: row["offset_max"] for row in found.to_pylist()}


def last_offsets(lake: Lake, after: Mapping[str, int] | None = None) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each user, sorted, with the last offset of each origin, repeated events included: what a profile must have.

    With `after` only of plays whose offset is beyond that of their origin.
    """
    where = None
    for origin, offset in (after or {}).items():
        beyond = (pc.field("origin") == origin) & (pc.field("offset") > offset)
        where = beyond if where is None else where | beyond
    plays = lake.arrow_with_live(PLAYS, "user_id", "origin", "offset", where=where)
    found = plays.group_by(["user_id", "origin"]).aggregate([("offset", "max")]).sort_by("user_id")
    rows = (row for batch in found.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
    for user, own in groupby(rows, key=lambda row: row["user_id"]):
        yield user, {row["origin"]: row["offset_max"] for row in own}


def of_users(lake: Lake, users: Sequence[str]) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """Return every play of some users once, in the order of origin and offset; and their last offsets."""
    plays = lake.arrow_with_live(PLAYS, where=pc.field("user_id").isin(list(users)))
    reached: dict[str, dict[str, int]] = {user: {} for user in users}
    for row in plays.group_by(["user_id", "origin"]).aggregate([("offset", "max")]).to_pylist():
        reached[row["user_id"]][row["origin"]] = row["offset_max"]
    return once(plays), reached


def compact(lake: Lake) -> int:
    """Bring what the stream has added into the version by day; return how many plays were new. Needs the lake's lock."""
    taken = lake.live(PLAYS)
    if not taken:
        return 0
    before = lake.rows(PLAYS)
    added = lake.read_live(PLAYS, taken)
    days = _days(added)
    old = lake.arrow(PLAYS)
    touched = old.filter(pc.is_in(_day(old), pa.array(days)))
    whole = once(pa.concat_tables([touched, added]))
    # An event_id may have been there on another day already: that one was first.
    elsewhere = old.filter(pc.invert(pc.is_in(_day(old), pa.array(days))))["event_id"].combine_chunks()
    whole = whole.filter(pc.invert(pc.is_in(whole["event_id"], elsewhere)))
    of = _day(whole)
    lake.commit_days(PLAYS, {day: whole.filter(pc.equal(of, day)) for day in days}, taken)
    return lake.rows(PLAYS) - before


def _day(plays: pa.Table) -> pa.ChunkedArray:
    return pc.strftime(plays["played_at"], "%Y-%m-%d")


def _days(plays: pa.Table) -> list[str]:
    return sorted(set(_day(plays).to_pylist()))
