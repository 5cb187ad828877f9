"""Listen to what people play: Kafka's plays, by Structured Streaming, into profiles and recommendations, until told to end.

Spark reads the topic, cuts it into batches and remembers in its checkpoint which are done; what a batch does, and why
doing it again changes nothing, is in `live.py`.
"""

import argparse
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from py4j.protocol import Py4JError
from pymongo.errors import ConnectionFailure, PyMongoError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from threadpoolctl import threadpool_limits

from jobs.errors import InputError, StepError
from jobs.lake.storage import Lake, open_lake
from jobs.online import mongo
from jobs.plays import events, play_log, topics
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka, embedded_mongo, java, stream_status
from jobs.spark import session
from jobs.streaming import micro_batch, reconcile

log = logging.getLogger("segue")

# Seconds between two tries to reach a store that is away, its plays wait in Kafka; at most, where it is there and refuses.
_RETRY_S, _MAX_RETRY_S = 1.0, 30.0

# What Spark does is to read Kafka. Four tries: a consumer gives up where the clock jumps while it waits.
_MASTER = "local[2,4]"

# Latencies that the percentiles in the status are of.
_LATENCIES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--most",
        type=int,
        default=2_000,
        metavar="EVENTS",
        help="of one batch at most, so that a backlog comes in pieces (default %(default)s)",
    )
    parser.add_argument("--until-empty", action="store_true", help="end when everything sent so far is done")


def main(arguments: argparse.Namespace) -> StepResult:
    """Listen until SIGTERM or Ctrl-C; return the counts."""
    if arguments.most < 1:
        raise InputError(f"expected --most of at least 1 event, found {arguments.most}")
    lake = open_lake(arguments)
    session.redirect_stderr_to(lake.root / "logs" / "stream.log")
    with ExitStack() as stack:
        stack.enter_context(_single_stream(lake))
        # A listener's vectors are few: a second thread would wait for the first, and take the core of the store.
        stack.enter_context(threadpool_limits(1))
        address = stack.enter_context(embedded_kafka.kafka_address(arguments.kafka, lake.root))
        topic_id = topics.ensure_topics(address)
        heard = stack.enter_context(BatchHandler(lake, address, topic_id, arguments.mongo).open())
        spark = session.get_session(
            _MASTER, settings="stream.conf", jars=[*java.jars("connector"), *java.jars("token")]
        )
        query = _query(spark, heard, address, arguments, lake.root / "stream" / f"checkpoint-{topic_id}")
        _wait(query, lambda: stream_status.write(lake.root, heard.status(), query.lastProgress))
        return StepResult(heard.totals())


@contextmanager
def _single_stream(lake: Lake) -> Iterator[None]:
    """Hold the lake's place of the stream: two of them would each take every batch."""
    folder = lake.root / "stream"
    folder.mkdir(exist_ok=True)
    try:
        with filelock.FileLock(folder / "lock", timeout=5):
            yield
    except filelock.Timeout:
        raise StepError(f"expected one stream over {lake.root}, found another one; stop it first") from None


def _query(
    spark: SparkSession, heard: "BatchHandler", address: str, arguments: argparse.Namespace, checkpoint: Path
) -> Any:
    frame = (
        spark.readStream.format("kafka")
        .options(**topics.spark_kafka_options(address))
        .option("subscribe", topics.PLAYS)
        .option("startingOffsets", json.dumps({topics.PLAYS: heard.starting_offsets()}))
        .option("maxOffsetsPerTrigger", arguments.most)
        # What Kafka has given up, after its retention, cannot be had by stopping; what is lost is logged.
        .option("failOnDataLoss", "false")
        .load()
        # The beginning of what is too long to be an event: a batch of such would not fit into the driver.
        .selectExpr(
            "partition",
            "offset",
            "timestamp",
            f"substring(value, 1, {events.MAX_BYTES}) AS value",
            "octet_length(value) AS size",
        )
    )
    writer = (
        frame.writeStream.foreachBatch(heard).option("checkpointLocation", str(checkpoint)).queryName("plays")
    )
    if arguments.until_empty:
        return writer.trigger(availableNow=True).start()
    # One batch after the other. With time between them Spark waits for a time of day: an hour, where the clock is put back
    # by one.
    return writer.trigger(processingTime="0 seconds").start()


def _wait(query: Any, tell: Callable[[], None]) -> None:
    """Wait for the query's end, and say now and then how it is; a signal ends it after the batch at hand."""
    told = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: told.set())
    try:
        while query.isActive and not told.is_set():
            tell()
            for _ in range(10):
                if query.isActive and not told.wait(0.2):
                    continue
                break
        if told.is_set():
            query.stop()
        tell()
        error = query.exception()
    except (Py4JError, PySparkException, OSError):
        # Who tells the whole group to end, as supervisord does, has told Spark's JVM too: it may be gone before it is
        # asked to. A batch that it leaves undone is done by the next stream.
        if told.is_set():
            return
        raise
    if error is not None:
        raise StepError(f"the stream has ended: {str(error)[:500]}")


class BatchHandler:
    """What takes the batches: holds the store, the producer of plays.rejected, the catalogue and the figures."""

    def __init__(self, lake: Lake, kafka: str, topic_id: str, mongo_uri: str | None) -> None:
        self._lake, self._kafka, self._topic_id, self._uri = lake, kafka, topic_id, mongo_uri
        self._shelf = micro_batch.CatalogCache(lake)
        self._store = ExitStack()
        self._database: Any = None
        self._counts, self._latencies = micro_batch.BatchStats(), [0.0] * 0
        self._rejecter: KafkaProducer | None = None
        self._upto: dict[str, int] = {}
        self._repaired = 0

    @contextmanager
    def open(self) -> Iterator["BatchHandler"]:
        """Open store and rejects; close them at the end."""
        try:
            self._upto = last_rejected_offsets(self._kafka)
            self._rejecter = KafkaProducer(
                **topics.kafka_python_config(self._kafka), acks="all", max_request_size=2 * topics.MAX_MESSAGE
            )
            self._reopen()
            yield self
        finally:
            if self._rejecter is not None:
                self._rejecter.close(timeout=5)
            self._store.close()

    def _reopen(self) -> None:
        """Connect to the store, wherever it is now, and bring it up to PLAYS: it may have lost what it was told."""
        self._store.close()
        self._store = ExitStack()
        uri = self._store.enter_context(embedded_mongo.mongo_uri(self._uri, self._lake.root))
        self._database = self._store.enter_context(mongo.database(uri))
        repaired = reconcile.reconcile(self._database, self._shelf, self._lake)
        self._repaired += repaired
        if repaired:
            log.warning(
                "the store was behind PLAYS: %d listeners' profiles and lists made again from it", repaired
            )

    def starting_offsets(self) -> dict[str, int]:
        """Return where a query without a checkpoint begins: behind what PLAYS has, else at what Kafka still has (-2)."""
        reached = play_log.last_offset_by_partition(self._lake)
        return {
            str(number): reached.get(micro_batch.source_partition(self._topic_id, number), -3) + 1
            for number in range(_partitions(self._kafka))
        }

    def __call__(self, batch: DataFrame, batch_id: int) -> None:
        """Do one batch; a store that is away is waited for, Kafka keeps what comes meanwhile."""
        begun = time.monotonic()
        messages = _messages(batch.toArrow())
        if not messages:
            return
        plays, rejected = micro_batch.validate(messages, self._shelf.track_ids(), self._topic_id)
        self._reject(rejected)
        micro_batch.append_plays(self._lake, self._topic_id, messages, plays)
        self._with_store(lambda: micro_batch.apply_plays(self._database, self._shelf, plays, self._counts))
        now = datetime.now(UTC)
        self._latencies = (self._latencies + [(now - m.timestamp).total_seconds() for m in messages])[
            -_LATENCIES:
        ]
        self._counts.events += len(plays)
        self._counts.rejected += len(rejected)
        self._counts.seconds["batch"] = time.monotonic() - begun

    def _with_store(self, work: Callable[[], None]) -> None:
        pause = _RETRY_S
        while True:
            try:
                return work()
            except (ConnectionFailure, StepError) as error:
                pause = _RETRY_S
                log.warning("the store is away, its plays wait: %s", str(error)[:200])
            except PyMongoError as error:
                pause = min(2 * pause, _MAX_RETRY_S)
                log.error("the store refuses, its plays wait: %s", str(error)[:200])
            while True:
                time.sleep(pause)
                with suppress(PyMongoError, StepError):
                    self._reopen()
                    break

    def _reject(self, rejected: list[micro_batch.DeadLetter]) -> None:
        """Send bad messages to plays.rejected, but for those that a batch before a kill has sent."""
        assert self._rejecter is not None
        sent = []
        for each in rejected:
            message = each.message
            place = micro_batch.source_partition(self._topic_id, message.partition)
            if message.offset > self._upto.get(place, -1):
                self._upto[place] = message.offset
                headers = micro_batch.dead_letter_headers(each, self._upto)
                sent.append(
                    self._rejecter.send(topics.DEAD_LETTERS, value=self._whole(message), headers=headers)
                )
        for future in sent:
            future.get(timeout=60)

    def _whole(self, message: micro_batch.Message) -> bytes:
        """Return what a message says, as much of it as plays.rejected takes."""
        if message.size <= len(message.value):
            return message.value
        with _consumer(self._kafka) as consumer:
            place = TopicPartition(topics.PLAYS, message.partition)
            consumer.assign([place])
            consumer.seek(place, message.offset)
            found = next(iter(consumer), None)
        if (
            found is None or found.offset != message.offset
        ):  # Kafka has given it up meanwhile, after its retention
            return message.value
        return bytes(found.value[: topics.MAX_REJECTED])

    def totals(self) -> dict[str, Any]:
        """Return what has been done since the start."""
        counts = self._counts
        return {"plays": counts.events, "rejected": counts.rejected, "repeated": counts.repeated}

    def status(self) -> dict[str, Any]:
        """Return the figures that `stream_status` keeps."""
        ordered = sorted(self._latencies)
        at = (
            {q: ordered[min(len(ordered) - 1, len(ordered) * q // 100)] for q in (50, 95, 99)}
            if ordered
            else {}
        )
        return {
            **self.totals(),
            "repaired": self._repaired,
            "latency_s": {f"p{q}": round(value, 3) for q, value in at.items()},
            "batch_s": {name: round(value, 4) for name, value in self._counts.seconds.items()},
        }


def _messages(table: pa.Table) -> list[micro_batch.Message]:
    columns = [table[name].to_pylist() for name in ("partition", "offset", "timestamp", "value", "size")]
    return [
        micro_batch.Message(
            partition, offset, at if at.tzinfo else at.replace(tzinfo=UTC), value or b"", size or 0
        )
        for partition, offset, at, value, size in zip(*columns, strict=True)
    ]


@contextmanager
def _consumer(kafka: str) -> Iterator[KafkaConsumer]:
    try:
        consumer = KafkaConsumer(
            **topics.kafka_python_config(kafka), enable_auto_commit=False, consumer_timeout_ms=10_000
        )
    except KafkaError as error:
        raise StepError(
            f"--kafka: expected Kafka to answer at {kafka}, found {type(error).__name__}"
        ) from error
    try:
        yield consumer
    finally:
        consumer.close()


def _partitions(kafka: str) -> int:
    with _consumer(kafka) as consumer:
        return len(consumer.partitions_for_topic(topics.PLAYS) or ())


def last_rejected_offsets(kafka: str) -> dict[str, int]:
    """Return the last offset of each origin that plays.rejected has, as its last message says."""
    with _consumer(kafka) as consumer:
        place = TopicPartition(topics.DEAD_LETTERS, 0)
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        if end <= consumer.beginning_offsets([place])[place]:
            return {}
        consumer.seek(place, end - 1)
        headers = dict(next(iter(consumer)).headers)
        return {str(name): int(offset) for name, offset in json.loads(headers["upto"]).items()}
