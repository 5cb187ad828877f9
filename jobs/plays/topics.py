"""Kafka's topics and how clients connect.

Names, limits and client options are defined here and nowhere else.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from jobs import settings
from jobs.errors import StepError

PLAYS = "plays"
DEAD_LETTERS = "plays.rejected"

# Partitions of `plays` when Segue creates the topic. More can be added: a profile has an offset for each.
PARTITIONS = 2

# Bytes of the largest message in a topic. Invalid messages must reach the stream, to be dead-lettered with a
# reason.
MAX_MESSAGE = 4 << 20

# Bytes of a message that plays.rejected stores; the rest is room for the headers.
MAX_REJECTED = MAX_MESSAGE - (128 << 10)

# How long messages stay: plays as long as a stream may be down, dead letters longer, for people to look at
# them.
RETENTION = timedelta(days=30)
DEAD_LETTER_RETENTION = timedelta(days=90)


def kafka_python_config(address: str) -> dict[str, Any]:
    """Return kafka-python's options to connect: address, TLS, SASL."""
    security = settings.kafka_security()
    options = {
        "security_protocol": security.protocol,
        "ssl_cafile": security.ca,
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.user,
        "sasl_plain_password": security.password,
    }
    set_options = {name: value for name, value in options.items() if value}
    return {"bootstrap_servers": address.split(","), **set_options}


def spark_kafka_options(address: str) -> dict[str, str]:
    """Return the options of Spark's Kafka source and sink to connect: address, TLS, SASL."""
    security = settings.kafka_security()
    options = {
        "kafka.bootstrap.servers": address,
        "kafka.security.protocol": security.protocol,
        "kafka.sasl.mechanism": security.mechanism,
    }
    if security.ca:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.location"] = security.ca
    if security.user:
        is_plain = security.mechanism == "PLAIN"
        module = "plain.PlainLoginModule" if is_plain else "scram.ScramLoginModule"
        user = _jaas_escape(security.user)
        password = _jaas_escape(security.password)
        options["kafka.sasl.jaas.config"] = (
            f'org.apache.kafka.common.security.{module} required username="{user}" password="{password}";'
        )
    return {name: value for name, value in options.items() if value}


def _jaas_escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@contextmanager
def admin(address: str, *, timeout_s: float = 30) -> Iterator[KafkaAdminClient]:
    """Connect as administrator.

    Raises StepError if no broker answers, with the reason if one can be found.
    """
    client = None
    try:
        client = KafkaAdminClient(**kafka_python_config(address), bootstrap_timeout_ms=int(timeout_s * 1000))
        yield client
    except KafkaError as error:
        reason = _refusal_reason(address) or f"{type(error).__name__}: {error}"
        raise StepError(f"--kafka: expected Kafka to answer at {address}, found {reason}") from error
    finally:
        if client is not None:
            client.close()


def _refusal_reason(address: str) -> str | None:
    """Return why a running broker refuses us, or None: its clients report nothing but a timeout."""
    security = settings.kafka_security()
    expects_tls = security.protocol.endswith("SSL")
    host, _, port = address.split(",")[0].rpartition(":")
    context = ssl.create_default_context(cafile=security.ca or None)
    if not expects_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection((host, int(port)), timeout=5)
    except (OSError, ValueError):
        return None  # nothing listens there
    try:
        with plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"a certificate that SEGUE_KAFKA_CA does not verify ({error.verify_message})"
    except OSError:  # includes SSLError
        if expects_tls:
            return f"a broker that does not speak TLS; SEGUE_KAFKA_PROTOCOL is {security.protocol}"
    else:
        if not expects_tls:
            return f"a broker that requires TLS; SEGUE_KAFKA_PROTOCOL is {security.protocol}"
    if security.protocol.startswith("SASL"):
        return (
            "a broker that refuses these credentials; check SEGUE_KAFKA_MECHANISM, SEGUE_KAFKA_USER and "
            "SEGUE_KAFKA_PASSWORD"
        )
    return None


def ensure_topics(address: str, *, partitions: int = PARTITIONS) -> str:
    """Create the topics that are missing.

    Return the id of `plays`, which a topic that is created anew changes.
    """
    with admin(address) as client:
        existing = set(client.list_topics())
        if PLAYS not in existing:
            _create_topic(client, PLAYS, partitions, RETENTION)
        if DEAD_LETTERS not in existing:
            _create_topic(client, DEAD_LETTERS, 1, DEAD_LETTER_RETENTION)
        return topic_id(client)


def _create_topic(client: KafkaAdminClient, name: str, partitions: int, retention: timedelta) -> None:
    configs = {
        "max.message.bytes": str(MAX_MESSAGE),
        "retention.ms": str(int(retention.total_seconds() * 1000)),
        # The broker's clock stamps messages: a play's own time is compared with it, with the same result each
        # time.
        "message.timestamp.type": "LogAppendTime",
    }
    topic = {"num_partitions": partitions, "replication_factor": -1, "configs": configs}
    with suppress(TopicAlreadyExistsError):  # another process was faster
        client.create_topics({name: topic}, wait_for_metadata=True)


def topic_id(client: KafkaAdminClient) -> str:
    """Return the id that the brokers gave `plays` when it was created."""
    (description,) = client.describe_topics([PLAYS])
    return str(description.get("topic_id") or description.get("uuid") or "")
