"""The embedded Kafka: one Apache Kafka broker without ZooKeeper, on 127.0.0.1, with its data in the lake.

`embedded_server.py` starts, shares and stops it. The ports are chosen at the first start and stay the same,
so that a producer or a stream that outlives the broker finds it again.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from py4j.java_gateway import JavaGateway

from jobs import paths
from jobs.errors import StepError
from jobs.runtime import embedded_server, jvm_gateway, ports

_LOG4J = """\
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
# An automatically created topic would have neither the partitions nor the limits of topics.py.
auto.create.topics.enable=false
# One node: one copy of everything.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Memory and threads for a laptop: the defaults are for a server with hundreds of partitions.
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
# After a kill the next start waits until the previous session times out: nine seconds by default.
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=500
"""


@contextmanager
def kafka_address(address: str | None, lake: Path) -> Iterator[str]:
    """Give Kafka's address: `address`, or, if it is None, that of the lake's embedded broker."""
    if address is not None:
        yield address
        return
    with embedded_server.connect_or_start(KAFKA, lake / "kafka") as embedded_address:
        yield embedded_address


def find_embedded(lake: Path) -> str | None:
    """Return the address of the lake's embedded broker as of its last start, or None before the first."""
    state = embedded_server.read_state(KAFKA, lake / "kafka")
    return state.address if state else None


def _options(data: Path) -> list[str]:
    """Return Java's options; write the configuration of its log."""
    (data / "log4j2.properties").write_text(_LOG4J)
    return [
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # The VM's own messages go to the log: stdout is for the gateway's port and token.
        "-XX:+DisplayVMOutputToStderr",
        f"-Dlog4j2.configurationFile={data}/log4j2.properties",
    ]


def _serve(gateway: JavaGateway, data: Path) -> str:
    """Start the broker, over a folder that is formatted first if it is new; return its address."""
    port, controller_port = _ports(data)
    settings = data / "server.properties"
    settings.write_text(_SETTINGS.format(port=port, controller=controller_port, data=data))
    jvm = gateway.jvm
    if not (data / "log" / "meta.properties").exists():
        _format(gateway, settings)
    properties = jvm.org.apache.kafka.common.utils.Utils.loadProps(str(settings))
    server = jvm.kafka.server.KafkaRaftServer(
        jvm.kafka.server.KafkaConfig(properties), jvm.org.apache.kafka.common.utils.Time.SYSTEM
    )
    jvm_gateway.add_shutdown_hook(jvm, server, "shutdown")
    server.startup()
    return f"127.0.0.1:{port}"


def _format(gateway: JavaGateway, settings: Path) -> None:
    """Format the broker's folder for a new cluster, as `kafka-storage.sh format` does."""
    jvm = gateway.jvm
    cluster_id = str(jvm.org.apache.kafka.common.Uuid.randomUuid().toString())
    arguments = ["format", "--config", str(settings), "--ignore-formatted", "--cluster-id", cluster_id]
    java_arguments = gateway.new_array(jvm.java.lang.String, len(arguments))
    for position, argument in enumerate(arguments):
        java_arguments[position] = argument
    if jvm.kafka.tools.StorageTool.execute(java_arguments, jvm.java.lang.System.err):
        raise jvm_gateway.JvmError("that its folder could not be formatted")


def _ports(data: Path) -> tuple[int, int]:
    """Return the ports of broker and controller, chosen at the first start.

    Raises
    ------
    StepError
        Another program uses one of them now.
    """
    file = data / "ports.json"
    with suppress(OSError, ValueError):
        broker, controller = json.loads(file.read_text())
        if ports.is_free(broker) and ports.is_free(controller):
            return broker, controller
        raise StepError(
            f"expected ports {broker} and {controller} to be free, found one in use; "
            f"free it, or delete {file}"
        )
    # Not the usual 9092: a stream must never find the broker of another lake.
    broker = ports.free_port(None, 0, taken=())
    controller = ports.free_port(None, 0, taken=(broker,))
    paths.atomic_write(file, json.dumps([broker, controller]))
    return broker, controller


def _is_answering(address: str) -> bool:
    """Return whether the broker lists its topics."""
    limit_ms = embedded_server.ANSWER_LIMIT_S * 1000
    try:
        client = KafkaAdminClient(
            bootstrap_servers=address, bootstrap_timeout_ms=limit_ms, request_timeout_ms=limit_ms
        )
        try:
            client.list_topics()
        finally:
            client.close()
    except (KafkaError, OSError):
        return False
    return True


KAFKA = embedded_server.EmbeddedServer(
    name="kafka",
    title="Kafka",
    jars="kafka",
    options=_options,
    serve=_serve,
    is_answering=_is_answering,
)


if __name__ == "__main__":
    embedded_server.serve_forever(KAFKA, Path(sys.argv[1]))
