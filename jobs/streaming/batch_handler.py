"""What foreachBatch calls.

Holds the store, the producer of plays.rejected and the counts.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame

from jobs.errors import StepError
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log, topics
from jobs.runtime import embedded_mongo
from jobs.streaming import dead_letters, micro_batch, reconcile
from jobs.streaming.catalog_cache import CatalogCache
from jobs.streaming.processing import DriverProcessing, ExecutorProcessing, Processing

log = logging.getLogger("segue")

# Seconds between two attempts to reach an unavailable store, while its plays wait in Kafka; and the longest
# pause if the store answers but refuses the writes.
_RETRY_S = 1.0
_MAX_RETRY_S = 30.0

# The newest latencies, from which the status's percentiles are computed.
_MAX_LATENCIES = 10_000
_PERCENTILES = (50, 95, 99)

# Kafka's code for "the oldest offset that is still there".
_EARLIEST = -2


class BatchHandler:
    """Processes micro-batches, one call after the other."""

    def __init__(
        self, lake: Lake, kafka: str, topic_id: str, mongo_uri: str | None, *, cores: int = 0
    ) -> None:
        """Process batches on `cores` cores of Spark's executors, or, with 0, in this process."""
        self._lake = lake
        self._kafka = kafka
        self._topic_id = topic_id
        self._mongo_uri = mongo_uri
        self._catalog_cache = CatalogCache(lake)
        self._processing: Processing = (
            ExecutorProcessing(lake, topic_id, cores)
            if cores
            else DriverProcessing(lake, topic_id, self._catalog_cache)
        )
        self._store = ExitStack()
        self._address = ""
        self._database: Any = None
        self._stats = micro_batch.BatchStats()
        self._latencies: deque[float] = deque(maxlen=_MAX_LATENCIES)
        self._dead_letters: dead_letters.DeadLetters | None = None
        self._reconciled = 0

    @contextmanager
    def open(self) -> Iterator["BatchHandler"]:
        """Open the store and the producer of dead letters; close them at the end."""
        try:
            self._dead_letters = dead_letters.DeadLetters(self._kafka, self._topic_id)
            self._reconnect()
            yield self
        finally:
            if self._dead_letters is not None:
                self._dead_letters.close()
            self._store.close()

    def _reconnect(self) -> None:
        """Connect to the store at its current address and reconcile it with PLAYS.

        It may have lost writes.
        """
        self._store.close()
        self._store = ExitStack()
        self._address = self._store.enter_context(embedded_mongo.mongo_uri(self._mongo_uri, self._lake.root))
        self._database = self._store.enter_context(mongo.database(self._address))
        reconciled = reconcile.reconcile(self._database, self._catalog_cache, self._lake)
        self._reconciled += reconciled
        if reconciled:
            log.warning(
                "the online store was behind PLAYS: profiles and lists of %d users rebuilt", reconciled
            )

    def starting_offsets(self) -> dict[str, int]:
        """Return where a query without checkpoint starts, by partition.

        After the plays in PLAYS, else at the earliest.
        """
        last_offsets = play_log.last_offset_by_partition(self._lake)
        starts = {}
        for partition in range(_count_partitions(self._kafka)):
            last = last_offsets.get(micro_batch.source_partition(self._topic_id, partition))
            starts[str(partition)] = _EARLIEST if last is None else last + 1
        return starts

    def __call__(self, batch: DataFrame, batch_id: int) -> None:
        """Process one batch.

        While the store is unavailable it waits; Kafka keeps the events that arrive meanwhile.
        """
        started = time.monotonic()
        found = self._processing.read(batch)
        if not found.timestamps:
            return
        was_read = time.monotonic()
        assert self._dead_letters is not None
        self._dead_letters.send(found.dead_letters)
        micro_batch.append_plays(self._lake, self._topic_id, found.ranges, found.rows)
        was_appended = time.monotonic()
        self._with_store(lambda: self._processing.apply(self._database, self._address, found, self._stats))
        now = datetime.now(UTC)
        self._latencies.extend((now - timestamp).total_seconds() for timestamp in found.timestamps)
        self._stats.events += len(found.rows)
        self._stats.rejected += len(found.dead_letters)
        self._stats.seconds |= {
            "reading": was_read - started,
            "appending": was_appended - was_read,
            "applying": time.monotonic() - was_appended,
            "batch": time.monotonic() - started,
        }

    def _with_store(self, work: Callable[[], None]) -> None:
        """Do idempotent work on the store.

        Repeat it, each time reconnected and reconciled, until it succeeds.
        """
        pause = _RETRY_S
        while True:
            try:
                return work()
            except (mongo.StoreUnavailable, StepError) as error:
                pause = _RETRY_S
                log.warning("the online store is unavailable, plays wait: %s", str(error)[:200])
            except mongo.StoreError as error:
                pause = min(2 * pause, _MAX_RETRY_S)
                log.error("the online store refuses writes, plays wait: %s", str(error)[:200])
            self._wait_for_store(pause)

    def _wait_for_store(self, pause: float) -> None:
        while True:
            time.sleep(pause)
            with suppress(mongo.StoreError, StepError):
                return self._reconnect()

    def totals(self) -> dict[str, Any]:
        """Return the counts since the start."""
        stats = self._stats
        return {"plays": stats.events, "rejected": stats.rejected, "repeated": stats.repeated}

    def status(self) -> dict[str, Any]:
        """Return counts, latencies and times in seconds, as `runtime/stream_status.py` writes them."""
        ordered = sorted(self._latencies)
        latencies = {}
        for percentile in _PERCENTILES if ordered else ():
            index = min(len(ordered) - 1, len(ordered) * percentile // 100)
            latencies[f"p{percentile}"] = round(ordered[index], 3)
        return {
            **self.totals(),
            "repaired": self._reconciled,
            "latency_s": latencies,
            "batch_s": {name: round(value, 4) for name, value in self._stats.seconds.items()},
        }


def _count_partitions(kafka: str) -> int:
    with dead_letters.consumer(kafka) as consumer:
        return len(consumer.partitions_for_topic(topics.PLAYS) or ())
