"""The stream on a Spark standalone cluster: plays a second and CPU time, by partitions and cores.

    python -m tests.bench.bench_stream_scaling [--cores 0 1 2 4] [--max-events 500 4000] [--plays 8000]

For each number of cores: a topic with as many partitions, a master and that many workers of one core each,
and a store that is not the limit (`store_stand_in.py`). 0 is the stream's own process, with two partitions.
Users have profiles of twenty tracks; each play is by a random user, so that nearly each needs a profile and a
list. All processes are on this machine: with more cores than it has, only the CPU times mean something.
"""

import argparse
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from kafka import KafkaProducer
from threadpoolctl import threadpool_limits

from jobs import settings
from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import events, topics
from jobs.plays.events import PlayEvent
from jobs.runtime import embedded_kafka, embedded_server, java, stream_status
from jobs.streaming import executor_tasks, micro_batch, processing
from tests.bench import bench_micro_batch

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("executors", "their JVMs", "driver", "its JVM", "broker")
STAGES = ("reading", "appending", "applying", "batch")
PIECES = ("validating", "collecting", "appending", "splitting", "updating", "offsets")
N_BATCHES = 5
WARM_UP_BATCHES = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--max-events", type=int, nargs="+", default=[500, 2_000], help="plays of a batch")
    parser.add_argument("--plays", type=int, default=8_000, help="plays measured of each row")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--tracks", type=int, default=1_000)
    parser.add_argument("--pieces", action="store_true", help="CPU time of each piece, without Spark")
    parser.add_argument("--delay-ms", type=float, default=1.0, help="delay of each answer of the store")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    if arguments.pieces:
        with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
            measure_pieces(Path(scratch), arguments)
        return
    print("CPU ms a play, by process; seconds of a batch, mean")
    titles = "".join(f"{name:>11}" for name in (*ROLES, *STAGES))
    print(f"cores   batch   plays/s{titles}", flush=True)
    for cores in arguments.cores:
        for max_events in arguments.max_events:
            with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
                measure(Path(scratch), cores, max_events, arguments)


def measure(folder: Path, cores: int, max_events: int, arguments: argparse.Namespace) -> None:
    """Start everything, send plays and print one row."""
    lake = Lake(folder / "lake")
    bench_micro_batch.write(lake, arguments.tracks)
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        uri = start_store(stack, folder, arguments)
        database = stack.enter_context(mongo.database(uri))
        fill(database, arguments, rng)
        address = stack.enter_context(embedded_kafka.kafka_address(None, lake.root))
        topics.ensure_topics(address, partitions=cores or 2)
        options = ["--cores", str(cores), "--max-events", str(max_events), "--kafka", address, "--mongo", uri]
        workers = stack.enter_context(cluster(folder, cores)) if cores else []
        if cores:
            options += ["--master", workers[0].master]
        command = [sys.executable, "-m", "jobs", "stream", "--lake", str(lake.root), *options]
        stream = stack.enter_context(started(command, folder))
        broker = embedded_server.read_state(embedded_kafka.KAFKA, lake.root / "kafka")
        assert broker is not None
        roots = {"stream": stream.pid, "broker": broker.pid}
        producer = KafkaProducer(bootstrap_servers=address)
        plays = Plays(producer, arguments.users, arguments.tracks, rng)
        plays.send(WARM_UP_BATCHES * max_events)  # loads code and catalogs
        wait(database, plays.sent, lake, Stages())
        before = cpu_by_role(roots, workers)
        began = time.monotonic()
        plays.send(arguments.plays)
        stages = Stages()
        wait(database, plays.sent, lake, stages)
        seconds = time.monotonic() - began
        used = cpu_by_role(roots, workers)
        row = "".join(f"{1000 * (used[role] - before[role]) / arguments.plays:11.3f}" for role in ROLES)
        row += "".join(f"{stages.mean(stage):11.3f}" for stage in STAGES)
        print(f"{cores:5d} {max_events:7d} {arguments.plays / seconds:9.0f}{row}", flush=True)
        producer.close()


def measure_pieces(folder: Path, arguments: argparse.Namespace) -> None:
    """Print the CPU time of what executors and driver do with a batch, of this process only."""
    lake = Lake(folder / "lake")
    bench_micro_batch.write(lake, arguments.tracks)
    rng = np.random.default_rng(0)
    print("CPU us a play; executors: validating, updating users; the others: driver")
    print(f"cores   batch{''.join(f'{name:>12}' for name in PIECES)}")
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        database = stack.enter_context(mongo.database(start_store(stack, folder, arguments)))
        fill(database, arguments, rng)
        first = 0
        for cores in arguments.cores:
            for max_events in arguments.max_events:
                used = []
                for _ in range(N_BATCHES):
                    rows = kafka_rows(first, max_events, arguments, rng)
                    used.append(pieces_of_batch(lake, database, rows, max(1, cores)))
                    first += max_events
                row = "".join(
                    f"{1e6 * float(np.median([each[name] for each in used])) / max_events:12.1f}"
                    for name in PIECES
                )
                print(f"{cores:5d} {max_events:7d}{row}", flush=True)


def kafka_rows(first: int, count: int, arguments: argparse.Namespace, rng: np.random.Generator) -> pa.Table:
    """Return plays as the query over Kafka gives them."""
    values = [
        events.encode(random_play(first + number, arguments.users, arguments.tracks, rng))
        for number in range(count)
    ]
    return pa.table(
        {
            "partition": pa.array([0] * count, pa.int32()),
            "offset": range(first, first + count),
            "timestamp": [datetime.now(UTC)] * count,
            "value": values,
            "size": [len(value) for value in values],
        }
    )


def pieces_of_batch(lake: Lake, database: Any, rows: pa.Table, cores: int) -> dict[str, float]:
    """Return the CPU seconds of each piece of a batch."""
    used: dict[str, float] = {}
    marks = [time.process_time()]

    def mark(name: str) -> None:
        marks.append(time.process_time())
        used[name] = marks[-1] - marks[-2]

    view = executor_tasks.view_of(lake)
    address = f"mongodb://127.0.0.1:{database.client.address[1]}/segue"
    validated = pa.Table.from_batches(executor_tasks.validate(view, "bench", rows.to_batches()))
    mark("validating")
    batch = processing.to_batch(validated)
    mark("collecting")
    micro_batch.append_plays(lake, "bench", batch.ranges, batch.rows)
    mark("appending")
    ranking_state = micro_batch.ranking_state(database)
    streams = executor_tasks.split(batch.rows, cores)
    mark("splitting")
    for stream in streams:
        assert isinstance(
            executor_tasks.update_users(view, address, ranking_state, stream), micro_batch.BatchStats
        )
    mark("updating")
    micro_batch.write_offsets(database, {"plays-0@bench": len(rows)})
    mark("offsets")
    return used


def start_store(stack: ExitStack, folder: Path, arguments: argparse.Namespace) -> str:
    """Start the stand-in; return its address."""
    command = [sys.executable, "-m", "tests.bench.store_stand_in", "--delay-ms", str(arguments.delay_ms)]
    store = stack.enter_context(started(command, folder))
    assert store.stdout is not None
    return store.stdout.readline().decode().strip()


def fill(database: Any, arguments: argparse.Namespace, rng: np.random.Generator) -> None:
    """Write a champion, and a profile of twenty tracks for each user."""
    state.write(database, {"_id": state.CHAMPION, "model_version": "1", "digest": "1"})
    mongo.upsert(database["profiles"], bench_micro_batch.profiles(arguments.users, arguments.tracks, rng))


class Worker(subprocess.Popen[bytes]):
    """A worker of the cluster, which knows its master's address."""

    master = ""


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[Worker]:
    """Run a command until the end of the block; its stderr is in `folder`."""
    environment = {
        **os.environ,
        **settings.SINGLE_THREAD_ENV,
        "JAVA_HOME": str(java.java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        "PYSPARK_PYTHON": sys.executable,
    }
    with (folder / "processes.log").open("ab") as log:
        process = Worker(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


@contextmanager
def cluster(folder: Path, cores: int) -> Iterator[list[Worker]]:
    """Run a master and `cores` workers of one core each; give the workers."""
    port, web_port = free_port(), free_port()
    spark_class = str(Path(sys.executable).with_name("spark-class"))
    deploy = "org.apache.spark.deploy"
    address = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(web_port)]
    with ExitStack() as stack:
        stack.enter_context(started([spark_class, f"{deploy}.master.Master", *address], folder))
        worker = [spark_class, f"{deploy}.worker.Worker", "--cores", "1", "--memory", "1g"]
        workers = []
        for _ in range(cores):
            workers.append(stack.enter_context(started([*worker, f"spark://127.0.0.1:{port}"], folder)))
            workers[-1].master = f"spark://127.0.0.1:{port}"
        yield workers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Plays:
    """Sends plays of random users and tracks."""

    def __init__(self, producer: KafkaProducer, users: int, tracks: int, rng: np.random.Generator) -> None:
        self._producer = producer
        self._users, self._tracks, self._rng = users, tracks, rng
        self.sent = 0

    def send(self, count: int) -> None:
        """Send plays, and wait until the broker has them."""
        for _ in range(count):
            play = random_play(self.sent, self._users, self._tracks, self._rng)
            self._producer.send(topics.PLAYS, events.encode(play), key=play.user_id.encode())
            self.sent += 1
        self._producer.flush()


def random_play(number: int, users: int, tracks: int, rng: np.random.Generator) -> PlayEvent:
    now = datetime.now(UTC)
    return PlayEvent(
        event_id=f"{number:016x}",
        user_id=f"u{rng.integers(users):07d}",
        track_id=f"{rng.integers(tracks):06d}",
        event="finished",
        position_s=30.0,
        duration_s=30.0,
        played_at=now,
    )


class Stages:
    """The seconds of the batches that the stream's status has shown."""

    def __init__(self) -> None:
        self._seen: list[dict[str, float]] = []

    def look(self, lake: Lake) -> None:
        """Read the status, which the stream rewrites every two seconds."""
        seconds = (stream_status.read(lake.root) or {}).get("batch_s", {})
        if seconds and seconds not in self._seen:
            self._seen.append(seconds)

    def mean(self, stage: str) -> float:
        """Return the mean seconds of a stage, without the first batch seen: it may be an earlier one."""
        return float(np.mean([seconds.get(stage, np.nan) for seconds in self._seen[1:] or self._seen]))


def wait(database: Any, count: int, lake: Lake, stages: Stages) -> None:
    """Wait until the store has `count` plays; exit after ten minutes."""
    deadline = time.monotonic() + 600
    while sum(1 + offset for offset in offsets(database).values()) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"expected {count} plays in the store, found {offsets(database)}")
        stages.look(lake)
        time.sleep(0.05)


def offsets(database: Any) -> dict[str, int]:
    document = mongo.get(database["state"], micro_batch.OFFSETS_ID) or {}
    return dict(document.get("offsets", {}))


def cpu_by_role(roots: dict[str, int], workers: list[Worker]) -> dict[str, float]:
    """Return the CPU seconds of each kind of process so far."""
    used = dict.fromkeys(ROLES, 0.0)
    used["broker"] = _cpu(psutil.Process(roots["broker"]))
    stream = psutil.Process(roots["stream"])
    used["driver"] = _cpu(stream)
    used["its JVM"] = sum(map(_cpu, stream.children(recursive=True)))
    for worker in workers:
        for process in psutil.Process(worker.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                used["their JVMs" if "java" in process.name() else "executors"] += _cpu(process)
    return used


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


if __name__ == "__main__":
    main()
