"""Where the work of a micro-batch is done: in the stream's own process, or on Spark's executors.

Both ways give the same documents, bit for bit: they run the same functions of `micro_batch.py`. In both the
driver sends dead letters, appends PLAYS and writes how far the store has come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkContext
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay
from jobs.streaming import executor_tasks, micro_batch
from jobs.streaming.catalog_cache import CatalogCache

# The times of a task that a batch waits for.
_TASK_TIMES = ("plays", "ranking", "writing")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A micro-batch after validation.

    Attributes
    ----------
    ranges
        First and last offset by partition, of all messages.
    timestamps
        When the broker took each message.
    dead_letters
        The invalid messages, in the order of partition and offset.
    rows
        The plays as rows of PLAYS, in the same order.
    plays
        The plays as objects, where the driver made them.
    """

    ranges: dict[int, tuple[int, int]]
    timestamps: list[datetime]
    dead_letters: list[micro_batch.DeadLetter]
    rows: pa.Table
    plays: Sequence[LoggedPlay] = ()


class Processing(Protocol):
    """One of the two ways."""

    def read(self, frame: DataFrame) -> Batch:
        """Read and validate the messages of a batch."""

    def apply(self, database: Any, address: str, batch: Batch, stats: micro_batch.BatchStats) -> None:
        """Write the plays of a batch, which PLAYS has, to the store, `database` at `address`."""


class DriverProcessing:
    """Does everything in the stream's own process: no task to start, and one catalog in memory."""

    def __init__(self, lake: Lake, topic_id: str, catalog_cache: CatalogCache) -> None:
        self._lake = lake
        self._topic_id = topic_id
        self._catalog_cache = catalog_cache

    def read(self, frame: DataFrame) -> Batch:
        """Collect and validate the messages."""
        messages = micro_batch.to_messages(frame.toArrow())
        track_ids = self._catalog_cache.track_ids() if messages else set()
        plays, dead_letters = micro_batch.validate(messages, track_ids, self._topic_id)
        return Batch(
            ranges=micro_batch.offset_ranges(messages),
            timestamps=[message.timestamp for message in messages],
            dead_letters=dead_letters,
            rows=play_log.to_arrow(plays),
            plays=plays,
        )

    def apply(self, database: Any, address: str, batch: Batch, stats: micro_batch.BatchStats) -> None:
        """Update the users here."""
        micro_batch.apply_plays(database, self._catalog_cache, batch.plays, stats)


class ExecutorProcessing:
    """Validates by partition of the topic and updates users in tasks, on the executors.

    Parameters
    ----------
    lake
        At the same path on every machine.
    topic_id
        The id of `plays`.
    n_tasks
        Tasks that update users: the cluster's cores for the stream.
    """

    def __init__(self, lake: Lake, topic_id: str, n_tasks: int) -> None:
        self._lake = lake
        self._topic_id = topic_id
        self._n_tasks = n_tasks
        self._context: SparkContext | None = None

    def read(self, frame: DataFrame) -> Batch:
        """Validate the messages, a task for each partition of the topic; collect plays and dead letters."""
        self._context = frame.sparkSession.sparkContext
        task = partial(executor_tasks.validate, executor_tasks.view_of(self._lake), self._topic_id)
        schema = from_arrow_schema(executor_tasks.VALIDATED)
        return to_batch(frame.mapInArrow(task, schema).toArrow())

    def apply(self, database: Any, address: str, batch: Batch, stats: micro_batch.BatchStats) -> None:
        """Update the users in tasks, then write how far the store has come.

        Raises StoreUnavailable or StoreError if a task could not write.
        """
        if not len(batch.rows):
            return
        assert self._context is not None
        view = executor_tasks.view_of(self._lake)
        ranking_state = micro_batch.ranking_state(database)
        streams = executor_tasks.split(batch.rows, self._n_tasks)
        task = partial(executor_tasks.update_users, view, address, ranking_state)
        results = self._context.parallelize(streams, len(streams)).map(task).collect()
        for failure in results:
            if isinstance(failure, executor_tasks.StoreFailure):
                error = mongo.StoreUnavailable if failure.is_unavailable else mongo.StoreError
                raise error(failure.message)
        stats.repeated += sum(result.repeated for result in results)
        stats.users += sum(result.users for result in results)
        for name in _TASK_TIMES:
            stats.seconds[name] = max(result.seconds.get(name, 0.0) for result in results)
        last = batch.rows.group_by("origin").aggregate([("offset", "max")]).to_pylist()
        micro_batch.write_offsets(database, {row["origin"]: row["offset_max"] for row in last})


def to_batch(validated: pa.Table) -> Batch:
    """Return what the tasks have validated, `executor_tasks.VALIDATED`, as a batch."""
    ordered = validated.sort_by([("partition", "ascending"), ("offset", "ascending")])
    is_play = pc.is_null(ordered["error"])
    rejected = ordered.filter(pc.invert(is_play))
    reasons = zip(micro_batch.to_messages(rejected), rejected["error"].to_pylist(), strict=True)
    ranges = ordered.group_by("partition").aggregate([("offset", "min"), ("offset", "max")])
    return Batch(
        ranges={row["partition"]: (row["offset_min"], row["offset_max"]) for row in ranges.to_pylist()},
        timestamps=ordered["timestamp"].to_pylist(),
        dead_letters=[micro_batch.DeadLetter(message, error) for message, error in reasons],
        rows=ordered.filter(is_play).select(PLAYS.names).cast(PLAYS.arrow_schema()),
    )
