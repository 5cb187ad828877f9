"""The Structured Streaming query.

Spark reads `plays`, cuts it into micro-batches and remembers in its checkpoint which are done.
"""

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from jobs.errors import StepError, own_message
from jobs.plays import events, topics
from jobs.streaming.batch_handler import BatchHandler

# Seconds between two reports of the status, and between two looks at the query.
_REPORT_INTERVAL_S = 2.0
_POLL_INTERVAL_S = 0.2


def start(
    spark: SparkSession, handler: BatchHandler, address: str, checkpoint: Path, *, max_events: int, once: bool
) -> StreamingQuery:
    """Start the query, with at most `max_events` per micro-batch.

    With `once` it ends after what is in Kafka now.
    """
    frame = (
        spark.readStream.format("kafka")
        .options(**topics.spark_kafka_options(address))
        .option("subscribe", topics.PLAYS)
        .option("startingOffsets", json.dumps({topics.PLAYS: handler.starting_offsets()}))
        .option("maxOffsetsPerTrigger", max_events)
        # Stopping would not bring back what Kafka has deleted after its retention; Spark logs the loss.
        .option("failOnDataLoss", "false")
        .load()
        # Messages too long to be events are cut: a batch of them would not fit into the driver's memory.
        .selectExpr(
            "partition",
            "offset",
            "timestamp",
            f"substring(value, 1, {events.MAX_BYTES}) AS value",
            "octet_length(value) AS size",
        )
    )
    writer = (
        frame.writeStream.foreachBatch(handler)
        .option("checkpointLocation", str(checkpoint))
        .queryName("plays")
    )
    if once:
        return writer.trigger(availableNow=True).start()
    # An interval of 0: with a longer one Spark waits for a time of day, which is an hour later if the clock
    # is set back by one.
    return writer.trigger(processingTime="0 seconds").start()


def wait(query: StreamingQuery, report: Callable[[], None]) -> None:
    """Wait until the query ends, calling `report` every two seconds.

    SIGTERM and SIGINT end it after the current batch. Raises StepError if the query fails.
    """
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    try:
        while query.isActive and not stopped.is_set():
            report()
            _wait_for_report(query, stopped)
        if stopped.is_set():
            query.stop()
        report()
        error = query.exception()
    except (Py4JError, PySparkException, OSError):
        # supervisord signals the whole process group: Spark's JVM may be gone before the query is stopped.
        # The next stream does the batch that it left undone.
        if stopped.is_set():
            return
        raise
    if error is not None:
        raise StepError(own_message(error) or f"the stream has ended: {str(error)[:500]}")


def _wait_for_report(query: Any, stopped: threading.Event) -> None:
    for _ in range(round(_REPORT_INTERVAL_S / _POLL_INTERVAL_S)):
        if not query.isActive or stopped.wait(_POLL_INTERVAL_S):
            return
