"""Run the stream: Kafka's plays into PLAYS, profiles and recommendations, until SIGTERM or Ctrl-C.

Spark reads Kafka, and with --cores its executors do the work; what a micro-batch does, and why repeating it
changes nothing, is in `streaming/micro_batch.py`.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import filelock
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from jobs.errors import InputError, StepError
from jobs.lake.storage import Lake, open_lake
from jobs.plays import topics
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka, jars, py_files, stream_metrics, stream_status
from jobs.spark import session
from jobs.streaming import query as streaming_query
from jobs.streaming.batch_handler import BatchHandler

# Without executors. Two threads: Spark has nothing to do but read Kafka. Four attempts per task: a Kafka
# consumer gives up if the clock jumps while it waits.
_MASTER = "local[2,4]"

# Seconds to wait for a stream that is just ending.
_LOCK_TIMEOUT_S = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--max-events",
        type=int,
        default=2_000,
        metavar="N",
        help="maximum events per micro-batch, so that a backlog is processed in pieces (default %(default)s)",
    )
    parser.add_argument(
        "--cores",
        type=int,
        default=0,
        metavar="N",
        help="process batches on N cores of the cluster that --master names (default: in this process)",
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve Prometheus metrics at this address, without login (default: only the player's do)",
    )
    parser.add_argument("--once", action="store_true", help="process what is in Kafka now, then exit")


def main(arguments: argparse.Namespace) -> StepResult:
    """Process plays until SIGTERM or Ctrl-C, or with --once until none is left; return the counts."""
    if arguments.max_events < 1:
        raise InputError(f"--max-events: expected at least 1, found {arguments.max_events}")
    if arguments.cores < 0:
        raise InputError(f"--cores: expected at least 0, found {arguments.cores}")
    lake = open_lake(arguments)
    session.redirect_stderr_to(lake.root / "logs" / "stream.log")
    with ExitStack() as stack:
        stack.enter_context(_single_stream(lake))
        if arguments.metrics:
            stream_metrics.serve(arguments.metrics, lake.root)
        # The vectors of one user are few: a second BLAS thread would only take a core from the store.
        stack.enter_context(threadpool_limits(1))
        address = stack.enter_context(embedded_kafka.kafka_address(arguments.kafka, lake.root))
        topic_id = topics.ensure_topics(address)
        handler = BatchHandler(lake, address, topic_id, arguments.mongo, cores=arguments.cores)
        stack.enter_context(handler.open())
        spark = _spark_session(lake, arguments.master, arguments.cores)
        query = streaming_query.start(
            spark,
            handler,
            address,
            lake.root / "stream" / f"checkpoint-{topic_id}",
            max_events=arguments.max_events,
            once=arguments.once,
        )
        streaming_query.wait(
            query, lambda: stream_status.write(lake.root, handler.status(), query.lastProgress)
        )
        return StepResult(handler.totals())


def _spark_session(lake: Lake, master: str, cores: int) -> SparkSession:
    jar_files = [*jars.jar_files("connector"), *jars.jar_files("token")]
    if not cores:
        return session.get_session(_MASTER, settings="stream.conf", jars=jar_files)
    options = {"spark.cores.max": str(cores)}
    spark = session.get_session(master, settings="stream-cluster.conf", jars=jar_files, options=options)
    # The executors run this very version of Segue, whatever is installed there.
    code = lake.root / "stream" / "segue.zip"
    py_files.write_zip(code)
    spark.sparkContext.addPyFile(str(code))
    return spark


@contextmanager
def _single_stream(lake: Lake) -> Iterator[None]:
    """Hold the lake's stream lock: of two streams each would process every batch.

    Raises StepError if it is taken.
    """
    folder = lake.root / "stream"
    folder.mkdir(exist_ok=True)
    try:
        with filelock.FileLock(folder / "lock", timeout=_LOCK_TIMEOUT_S):
            yield
    except filelock.Timeout:
        raise StepError(f"expected one stream over {lake.root}, found another one; stop it first") from None
