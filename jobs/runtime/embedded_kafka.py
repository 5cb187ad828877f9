"""The embedded Kafka: Apache Kafka itself, one node without ZooKeeper, on 127.0.0.1, with its data in the lake.

Who comes and goes is in `embedded.py`. The port is chosen at the first start and stays the same, so that a producer or
a stream that outlives the broker finds it again.
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from py4j.java_gateway import JavaGateway

from jobs.errors import StepError
from jobs.runtime import embedded_server

_LOG = """\
status = error
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.err.ref = err
"""

_SETTINGS = """\
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}/log
# A topic that nobody made on purpose has neither the partitions nor the limits that it should have.
auto.create.topics.enable=false
# One node holds everything once.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# The memory and threads of a laptop: the defaults are for a server with hundreds of partitions.
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
# After a kill the next start waits until the one before is given up: nine seconds by default.
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=500
"""


@contextmanager
def kafka_address(address: str | None, lake: Path) -> Iterator[str]:
    """Give Kafka's address: `address`, or where it is None an embedded broker's, with its data in the lake."""
    if address is not None:
        yield address
        return
    with embedded_server.connect_or_start(KAFKA, lake / "kafka") as found:
        yield found


def find_embedded(lake: Path) -> str | None:
    """Return the address of the lake's embedded broker as of its last start; None before the first."""
    found = embedded_server.read_state(KAFKA, lake / "kafka")
    return found[0] if found else None


def _options(data: Path) -> list[str]:
    (data / "log4j2.properties").write_text(_LOG)
    return [
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # What the VM itself has to say belongs in the log: stdout is for the gateway's port and token.
        "-XX:+DisplayVMOutputToStderr",
        f"-Dlog4j2.configurationFile={data}/log4j2.properties",
    ]


def _serve(gateway: JavaGateway, data: Path) -> str:
    """Format the folder where that is to be done, start the broker; return its address."""
    port, controller = _ports(data)
    settings = data / "server.properties"
    settings.write_text(_SETTINGS.format(port=port, controller=controller, data=data))
    jvm = gateway.jvm
    if not (data / "log" / "meta.properties").exists():
        words = ["format", "--config", str(settings), "--ignore-formatted"]
        words += ["--cluster-id", str(jvm.org.apache.kafka.common.Uuid.randomUuid().toString())]
        array = gateway.new_array(jvm.java.lang.String, len(words))
        for place, word in enumerate(words):
            array[place] = word
        if jvm.kafka.tools.StorageTool.execute(array, jvm.java.lang.System.err):
            raise ValueError("that its folder could not be formatted")
    properties = jvm.org.apache.kafka.common.utils.Utils.loadProps(str(settings))
    server = jvm.kafka.server.KafkaRaftServer(
        jvm.kafka.server.KafkaConfig(properties), jvm.org.apache.kafka.common.utils.Time.SYSTEM
    )
    embedded_server.add_shutdown_hook(jvm, server, "shutdown")
    server.startup()
    return f"127.0.0.1:{port}"


def _ports(data: Path) -> tuple[int, int]:
    """Return the ports of the first start, of broker and controller; StepError where another program has one now."""
    file = data / "ports.json"
    with suppress(OSError, ValueError):
        ports = json.loads(file.read_text())
        if all(_is_free(port) for port in ports):
            return ports[0], ports[1]
        raise StepError(
            f"expected ports {ports[0]} and {ports[1]} to be free, found one in use; free it, or delete {file}"
        )
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        # Not the usual 9092: a stream over one lake must never find another lake's broker there.
        ports = [one.getsockname()[1], other.getsockname()[1]]
    file.write_text(json.dumps(ports))
    return ports[0], ports[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _answers(address: str) -> bool:
    """Ask for the topics."""
    limit = embedded_server.ANSWER_LIMIT_S * 1000
    try:
        client = KafkaAdminClient(
            bootstrap_servers=address, bootstrap_timeout_ms=limit, request_timeout_ms=limit
        )
        try:
            client.list_topics()
        finally:
            client.close()
    except (KafkaError, OSError):
        return False
    return True


KAFKA = embedded_server.EmbeddedServer("kafka", "Kafka", "kafka", _options, _serve, _answers)


if __name__ == "__main__":
    embedded_server.serve_forever(KAFKA, Path(sys.argv[1]))
