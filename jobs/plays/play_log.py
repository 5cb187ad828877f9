"""PLAYS as one history: the version by day and what the stream has added since, each event once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.append_table import AppendTable
from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake


def to_arrow(events: Iterable[dict[str, Any]]) -> pa.Table:
    """Return events, each with its origin and offset, as rows of PLAYS."""
    return pa.Table.from_pylist(
        [{name: event[name] for name in PLAYS.names} for event in events], PLAYS.arrow_schema()
    )


def play_table(lake: Lake) -> AppendTable:
    """Return PLAYS by day with what the stream has added."""
    return AppendTable(lake, PLAYS)


def read(lake: Lake, *columns: str) -> pa.Table:
    """Return every play once, in the order of origin and offset: of an event_id sent twice the first."""
    wanted = list(columns) or PLAYS.names
    needed = list(dict.fromkeys([*wanted, "event_id", "origin", "offset"]))
    return deduplicate(play_table(lake).read(*needed)).select(wanted)


def deduplicate(plays: pa.Table) -> pa.Table:
    """Return the first row of each event_id, ordered by origin and offset."""
    ordered = plays.sort_by([("origin", "ascending"), ("offset", "ascending")])
    numbered = ordered.append_column("_row", pa.array(range(len(ordered)), pa.int64()))
    first = numbered.group_by("event_id", use_threads=False).aggregate([("_row", "min")])["_row_min"]
    return ordered.take(first.combine_chunks().sort())


def latest_plays(lake: Lake, most: int) -> list[dict[str, Any]]:
    """Return the latest plays, at most so many, in the order of time; without where they came from."""
    names = [name for name in PLAYS.names if name not in ("origin", "offset")]
    by_day = play_table(lake)
    days, found = by_day.partitions(), by_day.read_pending(by_day.pending_files())
    while days and len(found) < most:  # the newest days alone: years are not held for this
        found = pa.concat_tables([found, by_day.read_partitions([days.pop()])])
    plays = deduplicate(found).select(names).sort_by([("played_at", "ascending"), ("event_id", "ascending")])
    rows: list[dict[str, Any]] = plays.slice(max(0, len(plays) - most)).to_pylist()
    return rows


def last_offset_by_partition(lake: Lake) -> dict[str, int]:
    """Return the last offset of each origin."""
    found = play_table(lake).max_by("offset", ["origin"])
    return {row["origin"]: row["offset"] for row in found.to_pylist()}


def last_offsets_by_user(
    lake: Lake, after: Mapping[str, int] | None = None
) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each user, sorted, with the last offset of each origin, repeated events included: what a profile must have.

    With `after` only of plays whose offset is beyond that of their origin.
    """
    where = None
    for origin, offset in (after or {}).items():
        beyond = (pc.field("origin") == origin) & (pc.field("offset") > offset)
        where = beyond if where is None else where | beyond
    found = play_table(lake).max_by("offset", ["user_id", "origin"], where).sort_by("user_id")
    rows = (row for batch in found.to_batches(max_chunksize=10_000) for row in batch.to_pylist())
    for user, own in groupby(rows, key=lambda row: row["user_id"]):
        yield user, {row["origin"]: row["offset"] for row in own}


def event_ids_between(lake: Lake, after: Mapping[str, int], upto: Mapping[str, int]) -> Iterator[str]:
    """Yield the event_ids of plays beyond an offset of their origin, up to another one."""
    for origin, last in upto.items():
        offset, first = pc.field("offset"), after.get(origin, -1)
        found = play_table(lake).read(
            "event_id", where=(pc.field("origin") == origin) & (offset > first) & (offset <= last)
        )
        for batch in found.to_batches(max_chunksize=10_000):
            yield from batch["event_id"].to_pylist()


def iter_plays_of(lake: Lake, users: Collection[str], by: str) -> Iterator[pa.Table]:
    """Yield all plays of some users, repetitions too, in pieces by `user_id` or `event_id`: of every value all in one."""
    yield from play_table(lake).iter_partitioned(by, pc.field("user_id").isin(list(users)))


def plays_of(lake: Lake, users: Collection[str]) -> pa.Table:
    """Return all plays of users that are few enough to hold them, repetitions too."""
    return play_table(lake).read(where=pc.field("user_id").isin(list(users)))


def offsets_by_user(plays: pa.Table) -> dict[str, dict[str, int]]:
    """Return the last offset of each origin for each user of plays."""
    found: dict[str, dict[str, int]] = {}
    for row in plays.group_by(["user_id", "origin"]).aggregate([("offset", "max")]).to_pylist():
        found.setdefault(row["user_id"], {})[row["origin"]] = row["offset_max"]
    return found


def compact(lake: Lake) -> int:
    """Bring what the stream has added into the version by day; return how many plays were new. Needs the lake's lock.

    Held are the plays that are new, and those of the same days; the rest is looked through.
    """
    by_day = play_table(lake)
    taken = by_day.pending_files()
    if not taken:
        return 0
    before = lake.count_rows(PLAYS)
    added = by_day.read_pending(taken)
    days = _days(added)
    touched = by_day.read_partitions(set(days) & set(by_day.partitions()))
    whole = deduplicate(pa.concat_tables([touched, added]))
    # An event_id may have been there on another day already: that one was first.
    known = lake.read_arrow(
        PLAYS, "event_id", "played_at", where=pc.field("event_id").isin(added["event_id"].unique())
    )
    elsewhere = known.filter(pc.invert(pc.is_in(_day(known), pa.array(days))))["event_id"].combine_chunks()
    whole = whole.filter(pc.invert(pc.is_in(whole["event_id"], elsewhere)))
    of = _day(whole)
    by_day.compact({day: whole.filter(pc.equal(of, day)) for day in days}, taken)
    return lake.count_rows(PLAYS) - before


def _day(plays: pa.Table) -> pa.ChunkedArray:
    return pc.strftime(plays["played_at"], "%Y-%m-%d")


def _days(plays: pa.Table) -> list[str]:
    return sorted(set(pc.unique(_day(plays)).to_pylist()))
