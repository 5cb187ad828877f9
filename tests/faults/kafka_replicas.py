"""Three Kafka brokers as in production: two copies must acknowledge; one broker, then two are killed.

    python -m tests.faults.kafka_replicas [--report FILE.md]

A producer with its spool sends plays meanwhile. Exit 1 if an accepted play is lost or doubled, if one
broker's end stops the plays, or if plays count as delivered while only one copy exists.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaConsumer

from jobs.plays import topics
from jobs.plays.events import PlayEvent
from jobs.plays.producer import Producer
from jobs.runtime import jars, java
from tests.services.player import free_port, wait_for

CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
N_EVENTS = 100
_SETTINGS = """\
node.id={id}
process.roles=broker,controller
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
log.dirs={folder}/log
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
# The default of 128 MiB does not fit into a small heap.
log.cleaner.dedupe.buffer.size=2097152
# Seconds instead of half a minute, so that the trial is short.
replica.lag.time.max.ms=5000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class Broker:
    """One of the three."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "server.properties").write_text(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "kafka.tools.StorageTool", "format", "--config", "SETTINGS", "--cluster-id", CLUSTER_ID
        ).wait()

    def _run(self, main_class: str, *words: str) -> "subprocess.Popen[bytes]":
        class_path = ":".join(str(jar) for jar in jars.jar_files("kafka"))
        program = str(java.java_home() / "bin" / "java")
        options = ["-Xmx192m", "-XX:+UseSerialGC", "-cp", class_path]
        arguments = [word.replace("SETTINGS", str(self._folder / "server.properties")) for word in words]
        with (self._folder / "log.txt").open("ab") as log:
            return subprocess.Popen([program, *options, main_class, *arguments], stdout=log, stderr=log)

    def start(self) -> None:
        """Start the broker's process."""
        self._process = self._run("kafka.Kafka", "SETTINGS")

    def kill(self) -> None:
        """Kill the broker's process."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Sender:
    """Sends plays and remembers their ids."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.ids: list[str] = []

    def send(self) -> None:
        """Send `N_EVENTS` plays."""
        for _ in range(N_EVENTS):
            self.ids.append(f"event-{len(self.ids)}")
            self.producer.send(
                PlayEvent(
                    event_id=self.ids[-1],
                    user_id=f"user-{len(self.ids) % 7}",
                    track_id="t1",
                    event="finished",
                    played_at=datetime.now(UTC),
                )
            )


def run(folder: Path, log: Callable[[str], None]) -> list[str]:
    """Run the trial; return what was not as promised."""
    ports = [(free_port(), free_port()) for _ in range(3)]
    voters = ",".join(f"{n}@127.0.0.1:{controller}" for n, (_, controller) in enumerate(ports, 1))
    brokers = []
    for number, (port, controller) in enumerate(ports, 1):
        own = folder / f"broker-{number}"
        text = _SETTINGS.format(id=number, voters=voters, port=port, controller=controller, folder=own)
        brokers.append(Broker(own, text))
    address = ",".join(f"127.0.0.1:{port}" for port, _ in ports)
    for broker in brokers:
        broker.start()
    try:
        return _kill_brokers(brokers, address, folder, log)
    finally:
        for broker in brokers:
            broker.kill()


def _kill_brokers(brokers: list[Broker], address: str, folder: Path, log: Callable[[str], None]) -> list[str]:
    problems = []
    with topics.admin(address, timeout_s=120) as client:
        wait_for(lambda: len(client.describe_cluster()["brokers"]) == 3, 120)
    topics.ensure_topics(address)
    with topics.admin(address) as client:
        (plays,) = client.describe_topics([topics.PLAYS])
    copies = {len(partition["replica_nodes"]) for partition in plays["partitions"]}
    log(f"copies of each partition of plays: {copies}")
    problems += [f"expected three copies, found {copies}"] * (copies != {3})
    with Producer(address, folder / "spool") as producer:
        sender = Sender(producer)
        sender.send()
        problems += ["all brokers: plays were not delivered"] * (not producer.flush(60))
        brokers[0].kill()
        started = time.monotonic()
        sender.send()
        delivered = producer.flush(120)
        log(f"one of three killed: {N_EVENTS} plays delivered after {time.monotonic() - started:.1f} s")
        problems += ["one broker killed: plays were not delivered"] * (not delivered)
        # With two controllers of three gone there is no quorum either; the data have one copy left.
        brokers[1].kill()
        sender.send()
        time.sleep(20)
        log(f"two of three killed, 20 s later: {producer.pending} of {N_EVENTS} plays wait in the spool")
        problems += ["two brokers killed: plays count as delivered"] * (producer.pending != N_EVENTS)
        brokers[0].start()
        brokers[1].start()
        started = time.monotonic()
        delivered = producer.flush(180)
        log(f"both back: delivered after {time.monotonic() - started:.1f} s")
        problems += ["brokers back: plays were not delivered"] * (not delivered)
        stored = _read_ids(address)
    log(f"{len(sender.ids)} plays accepted, {len(stored)} messages, {len(set(stored))} different")
    problems += ["plays are lost or doubled"] * (sorted(stored) != sorted(sender.ids))
    return problems


def _read_ids(address: str) -> list[str]:
    consumer = KafkaConsumer(
        topics.PLAYS,
        **topics.kafka_python_config(address),
        auto_offset_reset="earliest",
        consumer_timeout_ms=15_000,
    )
    ids = [json.loads(message.value)["event_id"] for message in consumer]
    consumer.close()
    return ids


def main() -> int:
    """Run the trial and print, or also write, its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(f"- {line}")
        print(line, flush=True)

    with tempfile.TemporaryDirectory(prefix="segue-kafka-") as folder:
        problems = run(Path(folder), log)
    for problem in problems:
        log(f"NOT AS PROMISED: {problem}")
    if arguments.report:
        arguments.report.write_text("\n".join(lines) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
