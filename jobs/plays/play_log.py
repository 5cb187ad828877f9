"""PLAYS as one history: the compacted version by day and what the stream has added since, each event once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.append_table import AppendTable
from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.plays.events import FIELDS, LoggedPlay, PlayEvent

# Rows that are turned into Python objects at a time.
_BATCH_ROWS = 10_000


def to_arrow(plays: Iterable[LoggedPlay]) -> pa.Table:
    """Return plays as rows of PLAYS."""
    logged = list(plays)
    columns = {name: [getattr(each.play, name) for each in logged] for name in FIELDS}
    columns["origin"] = [each.origin for each in logged]
    columns["offset"] = [each.offset for each in logged]
    return pa.Table.from_pydict({name: columns[name] for name in PLAYS.names}, PLAYS.arrow_schema())


def to_events(plays: pa.Table | pa.RecordBatch) -> list[PlayEvent]:
    """Return rows of PLAYS as events, in the same order; their place in Kafka is left out."""
    return [PlayEvent(**row) for row in plays.select(list(FIELDS)).to_pylist()]


def play_table(lake: Lake) -> AppendTable:
    """Return the table PLAYS, partitioned by day, with the files that the stream has appended."""
    return AppendTable(lake, PLAYS)


def read(lake: Lake, *columns: str) -> pa.Table:
    """Return every event once, in the order of origin and offset: of two with one event_id the first."""
    selected = list(columns) or PLAYS.names
    needed = list(dict.fromkeys([*selected, "event_id", "origin", "offset"]))
    return deduplicate(play_table(lake).read(*needed)).select(selected)


def deduplicate(plays: pa.Table) -> pa.Table:
    """Return the first row of each event_id, ordered by origin and offset."""
    ordered = plays.sort_by([("origin", "ascending"), ("offset", "ascending")])
    numbered = ordered.append_column("_row", pa.array(range(len(ordered)), pa.int64()))
    first = numbered.group_by("event_id", use_threads=False).aggregate([("_row", "min")])["_row_min"]
    return ordered.take(first.combine_chunks().sort())


def latest_plays(lake: Lake, max_plays: int) -> list[PlayEvent]:
    """Return the newest plays, at most `max_plays`, in order of time."""
    table = play_table(lake)
    days = table.partitions()
    plays = table.read_pending(table.pending_files())
    while days and len(plays) < max_plays:  # reads only the newest days, so that years are not in memory
        plays = pa.concat_tables([plays, table.read_partitions([days.pop()])])
    ordered = deduplicate(plays).sort_by([("played_at", "ascending"), ("event_id", "ascending")])
    return to_events(ordered.slice(max(0, len(ordered) - max_plays)))


def last_offset_by_partition(lake: Lake) -> dict[str, int]:
    """Return the last offset of each origin."""
    rows = play_table(lake).max_by("offset", ["origin"]).to_pylist()
    return {row["origin"]: row["offset"] for row in rows}


def users(lake: Lake) -> pa.Array:
    """Return the users with plays, each once."""
    return play_table(lake).max_by("offset", ["user_id"])["user_id"].unique()


def last_offsets_by_user(
    lake: Lake, after: Mapping[str, int] | None = None
) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each user, sorted, with the last offset by origin: what the profile must include.

    Duplicate events count too.

    With `after` only plays beyond that offset of their origin are considered.
    """
    where = None
    for origin, offset in (after or {}).items():
        beyond = (pc.field("origin") == origin) & (pc.field("offset") > offset)
        where = beyond if where is None else where | beyond
    largest = play_table(lake).max_by("offset", ["user_id", "origin"], where).sort_by("user_id")
    rows = (row for batch in largest.to_batches(max_chunksize=_BATCH_ROWS) for row in batch.to_pylist())
    for user, user_rows in groupby(rows, key=lambda row: row["user_id"]):
        yield user, {row["origin"]: row["offset"] for row in user_rows}


def event_ids_between(lake: Lake, after: Mapping[str, int], upto: Mapping[str, int]) -> Iterator[str]:
    """Yield the event_ids of plays beyond offset `after` of their origin, up to and including `upto`."""
    for origin, last in upto.items():
        offset = pc.field("offset")
        where = (pc.field("origin") == origin) & (offset > after.get(origin, -1)) & (offset <= last)
        plays = play_table(lake).read("event_id", where=where)
        for batch in plays.to_batches(max_chunksize=_BATCH_ROWS):
            yield from batch["event_id"].to_pylist()


def iter_plays_of(lake: Lake, users: Collection[str], by: str) -> Iterator[pa.Table]:
    """Yield all plays of `users`, duplicates included, in pieces by ranges of `user_id` or `event_id`.

    All plays with one value of `by` are in one piece.
    """
    yield from play_table(lake).iter_partitioned(by, pc.field("user_id").isin(list(users)))


def plays_of(lake: Lake, users: Collection[str]) -> pa.Table:
    """Return all plays of `users`, duplicates included, in memory: for few users."""
    return play_table(lake).read(where=pc.field("user_id").isin(list(users)))


def offsets_by_user(plays: pa.Table) -> dict[str, dict[str, int]]:
    """Return for each user the last offset by origin."""
    offsets: dict[str, dict[str, int]] = {}
    for row in plays.group_by(["user_id", "origin"]).aggregate([("offset", "max")]).to_pylist():
        offsets.setdefault(row["user_id"], {})[row["origin"]] = row["offset_max"]
    return offsets


def compact(lake: Lake) -> int:
    """Merge what the stream has appended into the version by day; return the number of new plays.

    Needs the lake's lock. In memory are only the new plays and those of the same days; the rest is scanned.
    """
    table = play_table(lake)
    appended_files = table.pending_files()
    if not appended_files:
        return 0
    count_before = lake.count_rows(PLAYS)
    appended = table.read_pending(appended_files)
    days = sorted(set(pc.unique(_day(appended)).to_pylist()))
    same_days = table.read_partitions(set(days) & set(table.partitions()))
    merged = deduplicate(pa.concat_tables([same_days, appended]))
    # An event that another day has already came first there.
    stored = lake.read_arrow(
        PLAYS, "event_id", "played_at", where=pc.field("event_id").isin(appended["event_id"].unique())
    )
    on_other_days = stored.filter(pc.invert(pc.is_in(_day(stored), pa.array(days))))["event_id"]
    merged = merged.filter(pc.invert(pc.is_in(merged["event_id"], on_other_days.combine_chunks())))
    day_of_row = _day(merged)
    table.compact({day: merged.filter(pc.equal(day_of_row, day)) for day in days}, appended_files)
    return lake.count_rows(PLAYS) - count_before


def _day(plays: pa.Table) -> pa.ChunkedArray:
    return pc.strftime(plays["played_at"], "%Y-%m-%d")
