"""What Spark's executors do for a micro-batch, in their Python processes: validate messages, update users.

A process is reused from task to task, and keeps the track ids, the item catalog and the connection to the
store between batches. Each is loaded again only when the lake has another version of its tables, or the store
another address.

Every task may run twice, also at the same time: Spark repeats what a lost executor did, and the lost one may
still write. Both write the same, and neither replaces what a later batch has written (`micro_batch.py`).
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, ITEM_SIMILARITIES, PLAYS, TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay
from jobs.streaming import micro_batch
from jobs.streaming.catalog_cache import CatalogCache

# Messages after validation: a row of PLAYS, or a dead letter with its error.
VALIDATED = pa.schema(
    [
        *PLAYS.arrow_schema(),
        pa.field("partition", pa.int32()),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),
        pa.field("size", pa.int64()),
        pa.field("value", pa.binary()),
        pa.field("error", pa.string()),
    ]
)

# Whether a play is the first of its event_id in the batch.
_IS_FIRST = "is_first"

# The tables that tasks read.
_TABLES = (TRACKS, EMBEDDINGS, ITEM_SIMILARITIES)


@dataclass(frozen=True)
class LakeView:
    """The lake (`Lake.root`, `Lake.store`) and the versions of its tables that the driver sees.

    A version is as in `v000012`, or "" before any.
    """

    root: str
    store: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class StoreFailure:
    """Why a task could not write to the store."""

    is_unavailable: bool
    message: str


def view_of(lake: Lake) -> LakeView:
    """Return what the driver sees of the lake now."""
    root = str(lake.root.resolve())
    return LakeView(root, lake.store, {table.name: _version(lake, table) for table in _TABLES})


def _version(lake: Lake, table: Any) -> str:
    version = lake.version(table)
    return "" if version is None else version.name


class _Resources:
    """What a process keeps between tasks."""

    def __init__(self, view: LakeView) -> None:
        self.lake = Lake(Path(view.root), view.store)
        self.catalog_cache = CatalogCache(self.lake)
        self._address = ""
        self._store = ExitStack()
        self._database: Any = None

    def database(self, address: str) -> Any:
        """Return the store at an address; it stays connected."""
        if address != self._address:
            self.disconnect()
            self._database = self._store.enter_context(mongo.database(address))
            self._address = address
        return self._database

    def disconnect(self) -> None:
        """Close the connection to the store."""
        self._address = ""
        self._store.close()


# By the lake's folder. Module state, because Spark gives a task no other place between batches.
_resources: dict[str, _Resources] = {}


def _resources_of(view: LakeView) -> _Resources:
    """Return this process's resources.

    Raises StepError if the executor sees no lake, or an older one than the driver: plays of new tracks would
    be rejected.
    """
    if view.store is None and not Path(view.root).is_dir():
        raise StepError(f"expected the lake {view.root} on every worker, found no such folder")
    resources = _resources.get(view.root)
    if resources is None:
        resources = _resources[view.root] = _Resources(view)
    for table in _TABLES:
        expected = view.versions[table.name]
        found = _version(resources.lake, table)
        if found < expected:
            raise StepError(
                f"expected {table.name} {expected} in the lake {view.root} on every worker, "
                f"found {found or 'none'}; check that it is the same disk"
            )
    return resources


def validate(view: LakeView, topic_id: str, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield messages, rows of the query over Kafka, as `VALIDATED`."""
    messages = [message for batch in rows for message in micro_batch.to_messages(batch)]
    track_ids = _resources_of(view).catalog_cache.track_ids()
    plays, dead_letters = micro_batch.validate(messages, track_ids, topic_id)
    sources: dict[micro_batch.Place, micro_batch.Message] = {}
    for message in messages:
        sources[micro_batch.source_partition(topic_id, message.partition), message.offset] = message
    valid = [sources[logged.origin, logged.offset] for logged in plays]
    columns: dict[str, Any] = dict(play_log.to_arrow(plays).to_pydict())
    columns["partition"] = [message.partition for message in valid]
    columns["timestamp"] = [message.timestamp for message in valid]
    yield from _record_batches(columns)
    rejected = [dead_letter.message for dead_letter in dead_letters]
    yield from _record_batches(
        {
            "partition": [message.partition for message in rejected],
            "offset": [message.offset for message in rejected],
            "timestamp": [message.timestamp for message in rejected],
            "size": [message.size for message in rejected],
            "value": [message.value for message in rejected],
            "error": [dead_letter.error for dead_letter in dead_letters],
        }
    )


def _record_batches(columns: dict[str, list[Any]]) -> list[pa.RecordBatch]:
    """Return columns of `VALIDATED`, the others null."""
    count = len(columns["partition"])
    complete = {name: columns.get(name, [None] * count) for name in VALIDATED.names}
    return pa.Table.from_pydict(complete, VALIDATED).to_batches()


def split(plays: pa.Table, n_tasks: int) -> list[bytes]:
    """Return the plays of a batch, rows of PLAYS in order, as at most `n_tasks` Arrow streams.

    All plays of a user are in one of them, in their order, whatever partitions of the topic they came from.
    A play is marked if its event_id came earlier in the batch, which may be in another stream.
    """
    users = plays["user_id"].combine_chunks().dictionary_encode()
    task_of_user = [zlib.crc32(user.encode()) % n_tasks for user in users.dictionary.to_pylist()]
    task_of_row = np.array(task_of_user, dtype=int)[users.indices.to_numpy()]
    event_ids = plays["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    is_first = np.zeros(len(plays), dtype=bool)
    is_first[np.unique(event_ids, return_index=True)[1]] = True
    marked = plays.append_column(_IS_FIRST, pa.array(is_first))
    streams = []
    for task in np.unique(task_of_row).tolist():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, marked.schema) as writer:
            writer.write_table(marked.take(np.flatnonzero(task_of_row == task)))
        streams.append(sink.getvalue().to_pybytes())
    return streams


def update_users(
    view: LakeView, address: str, ranking_state: dict[str, mongo.Document], stream: bytes
) -> micro_batch.BatchStats | StoreFailure:
    """Update the users of one stream of `split` in the store at `address`.

    Returns
    -------
    The counts, or why the store failed: the driver then waits for it, where Spark would end the query.
    """
    resources = _resources_of(view)
    with pa.ipc.open_stream(stream) as reader:
        rows = reader.read_all()
    places = list(zip(rows["origin"].to_pylist(), rows["offset"].to_pylist(), strict=True))
    events = play_log.to_events(rows)
    plays = [LoggedPlay(event, *place) for event, place in zip(events, places, strict=True)]
    is_first = rows[_IS_FIRST].to_pylist()
    repeated = {place for place, first in zip(places, is_first, strict=True) if not first}
    stats = micro_batch.BatchStats()
    try:
        catalog = resources.catalog_cache.item_catalog(ranking_state)
        database = resources.database(address)
        micro_batch.update_users(database, catalog, plays, stats, repeated, fenced=True)
    except (mongo.StoreUnavailable, StepError) as error:
        resources.disconnect()
        return StoreFailure(True, str(error))
    except mongo.StoreError as error:
        return StoreFailure(False, str(error))
    return stats
