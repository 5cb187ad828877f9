"""What foreachBatch calls.

Holds the store, the producer of plays.rejected, the item catalog and the counts.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from pyspark.sql import DataFrame

from jobs.errors import StepError
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log, topics
from jobs.streaming import micro_batch, reconcile
from jobs.streaming.catalog_cache import CatalogCache

log = logging.getLogger("segue")

# Seconds between two attempts to reach an unavailable store, while its plays wait in Kafka; and the longest
# pause if the store answers but refuses the writes.
_RETRY_S = 1.0
_MAX_RETRY_S = 30.0

# Seconds for plays.rejected to acknowledge a dead letter, and for Kafka to answer a consumer.
_DEAD_LETTER_TIMEOUT_S = 60
_CONSUMER_TIMEOUT_MS = 10_000

# The newest latencies, from which the status's percentiles are computed.
_MAX_LATENCIES = 10_000
_PERCENTILES = (50, 95, 99)

# Kafka's code for "the oldest offset that is still there".
_EARLIEST = -2


class BatchHandler:
    """Processes micro-batches, one call after the other."""

    def __init__(self, lake: Lake, kafka: str, topic_id: str, mongo_uri: str | None) -> None:
        self._lake = lake
        self._kafka = kafka
        self._topic_id = topic_id
        self._mongo_uri = mongo_uri
        self._catalog_cache = CatalogCache(lake)
        self._store = ExitStack()
        self._database: Any = None
        self._stats = micro_batch.BatchStats()
        self._latencies: deque[float] = deque(maxlen=_MAX_LATENCIES)
        self._dead_letters: KafkaProducer | None = None
        self._rejected_offsets: dict[str, int] = {}
        self._reconciled = 0

    @contextmanager
    def open(self) -> Iterator["BatchHandler"]:
        """Open the store and the producer of dead letters; close them at the end."""
        try:
            self._rejected_offsets = last_rejected_offsets(self._kafka)
            self._dead_letters = KafkaProducer(
                **topics.kafka_python_config(self._kafka), acks="all", max_request_size=2 * topics.MAX_MESSAGE
            )
            self._reconnect()
            yield self
        finally:
            if self._dead_letters is not None:
                self._dead_letters.close(timeout=5)
            self._store.close()

    def _reconnect(self) -> None:
        """Connect to the store at its current address and reconcile it with PLAYS.

        It may have lost writes.
        """
        self._store.close()
        self._store = ExitStack()
        self._database = self._store.enter_context(mongo.connect(self._mongo_uri, self._lake.root))
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
        messages = _to_messages(batch.toArrow())
        if not messages:
            return
        plays, dead_letters = micro_batch.validate(messages, self._catalog_cache.track_ids(), self._topic_id)
        self._send_dead_letters(dead_letters)
        micro_batch.append_plays(self._lake, self._topic_id, messages, plays)
        self._with_store(
            lambda: micro_batch.apply_plays(self._database, self._catalog_cache, plays, self._stats)
        )
        now = datetime.now(UTC)
        self._latencies.extend((now - message.timestamp).total_seconds() for message in messages)
        self._stats.events += len(plays)
        self._stats.rejected += len(dead_letters)
        self._stats.seconds["batch"] = time.monotonic() - started

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

    def _send_dead_letters(self, dead_letters: list[micro_batch.DeadLetter]) -> None:
        """Send invalid messages to plays.rejected, except those that the same batch sent before a kill."""
        assert self._dead_letters is not None
        futures = []
        for dead_letter in dead_letters:
            message = dead_letter.message
            origin = micro_batch.source_partition(self._topic_id, message.partition)
            if message.offset <= self._rejected_offsets.get(origin, -1):
                continue
            self._rejected_offsets[origin] = message.offset
            headers = micro_batch.dead_letter_headers(dead_letter, self._rejected_offsets)
            value = self._whole_value(message)
            futures.append(self._dead_letters.send(topics.DEAD_LETTERS, value=value, headers=headers))
        for future in futures:
            future.get(timeout=_DEAD_LETTER_TIMEOUT_S)

    def _whole_value(self, message: micro_batch.Message) -> bytes:
        """Return a message's value, read again from Kafka if it was cut.

        At most what plays.rejected can hold.
        """
        if message.size <= len(message.value):
            return message.value
        with _consumer(self._kafka) as consumer:
            partition = TopicPartition(topics.PLAYS, message.partition)
            consumer.assign([partition])
            consumer.seek(partition, message.offset)
            record = next(iter(consumer), None)
        if record is None or record.offset != message.offset:  # deleted meanwhile, after Kafka's retention
            return message.value
        return bytes(record.value[: topics.MAX_REJECTED])

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


def _to_messages(table: pa.Table) -> list[micro_batch.Message]:
    columns = [table[name].to_pylist() for name in ("partition", "offset", "timestamp", "value", "size")]
    messages = []
    for partition, offset, timestamp, value, size in zip(*columns, strict=True):
        utc = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        messages.append(micro_batch.Message(partition, offset, utc, value or b"", size or 0))
    return messages


@contextmanager
def _consumer(kafka: str) -> Iterator[KafkaConsumer]:
    config = topics.kafka_python_config(kafka)
    try:
        consumer = KafkaConsumer(**config, enable_auto_commit=False, consumer_timeout_ms=_CONSUMER_TIMEOUT_MS)
    except KafkaError as error:
        raise StepError(
            f"--kafka: expected Kafka to answer at {kafka}, found {type(error).__name__}"
        ) from error
    try:
        yield consumer
    finally:
        consumer.close()


def _count_partitions(kafka: str) -> int:
    with _consumer(kafka) as consumer:
        return len(consumer.partitions_for_topic(topics.PLAYS) or ())


def last_rejected_offsets(kafka: str) -> dict[str, int]:
    """Return the last rejected offset of each origin, from the last message of plays.rejected."""
    with _consumer(kafka) as consumer:
        partition = TopicPartition(topics.DEAD_LETTERS, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        if end <= consumer.beginning_offsets([partition])[partition]:
            return {}
        consumer.seek(partition, end - 1)
        message = next(consumer, None)
        if message is None:
            raise StepError(
                f"--kafka: expected the last message of {topics.DEAD_LETTERS} within "
                f"{_CONSUMER_TIMEOUT_MS // 1000} s, found none"
            )
        headers = dict(message.headers)
    # A message of Segue 0.1 lacks the header: then at most the batch that was interrupted is dead-lettered
    # twice.
    offsets = json.loads(headers.get("offsets", b"{}"))
    return {str(origin): int(offset) for origin, offset in offsets.items()}
