"""Kafka's topics, and how its clients connect: this module alone knows names, limits and options."""

import logging
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

PLAYS, DEAD_LETTERS = "plays", "plays.rejected"

# Partitions of `plays` where Segue makes the topic; more can be added, a profile knows the offset of each.
PARTITIONS = 2

# Bytes of the largest message that gets into a topic: what is no event must reach the stream to be told.
MAX_MESSAGE = 4 << 20

# Bytes of a message that plays.rejected keeps: the rest of what it takes is for the headers.
MAX_REJECTED = MAX_MESSAGE - (128 << 10)

# How long a message stays: plays.rejected to be looked at, plays as long as a stream may be away.
RETENTION = timedelta(days=30)
_RETENTION_MS = {PLAYS: int(RETENTION.total_seconds() * 1000), DEAD_LETTERS: 90 * 86_400_000}

# Its own lines would be in the middle of ours, one for every try while the broker is away.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


def kafka_python_config(address: str) -> dict[str, Any]:
    """Return kafka-python's options to connect: address, TLS, SASL."""
    given = settings.kafka_security()
    options = {
        "security_protocol": given["protocol"],
        "ssl_cafile": given["ca"],
        "sasl_mechanism": given["mechanism"],
        "sasl_plain_username": given["user"],
        "sasl_plain_password": given["password"],
    }
    return {
        "bootstrap_servers": address.split(","),
        **{name: value for name, value in options.items() if value},
    }


def spark_kafka_options(address: str) -> dict[str, str]:
    """Return the same for Spark's Kafka source and sink."""
    given = settings.kafka_security()
    options = {
        "kafka.bootstrap.servers": address,
        "kafka.security.protocol": given["protocol"],
        "kafka.sasl.mechanism": given["mechanism"],
    }
    if given["ca"]:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": given["ca"]}
    if given["user"]:
        kind = "plain.PlainLoginModule" if given["mechanism"] == "PLAIN" else "scram.ScramLoginModule"
        user, password = (
            given[name].replace("\\", "\\\\").replace('"', '\\"') for name in ("user", "password")
        )
        options["kafka.sasl.jaas.config"] = (
            f'org.apache.kafka.common.security.{kind} required username="{user}" password="{password}";'
        )
    return {name: value for name, value in options.items() if value}


@contextmanager
def admin(address: str, *, timeout_s: float = 30) -> Iterator[KafkaAdminClient]:
    """Connect as administrator; StepError where no broker answers."""
    client = None
    try:
        client = KafkaAdminClient(**kafka_python_config(address), bootstrap_timeout_ms=int(timeout_s * 1000))
        yield client
    except KafkaError as error:
        raise StepError(
            f"--kafka: expected Kafka to answer at {address}, found {_reason(address) or f'{type(error).__name__}: {error}'}"
        ) from error
    finally:
        if client is not None:
            client.close()


def _reason(address: str) -> str | None:
    """Say why a broker that is there lets nobody in: its clients only say, after a while, that they did not get through."""
    given = settings.kafka_security()
    speaks_tls = given["protocol"].endswith("SSL")
    host, _, port = address.split(",")[0].rpartition(":")
    context = ssl.create_default_context(cafile=given["ca"] or None)
    if not speaks_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain = socket.create_connection((host, int(port)), timeout=5)
    except (OSError, ValueError):
        return None  # nobody is there
    try:
        with plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"a certificate that SEGUE_KAFKA_CA does not stand for ({error.verify_message})"
    except OSError:  # SSLError is one
        if speaks_tls:
            return f"a broker that does not speak TLS; SEGUE_KAFKA_PROTOCOL says {given['protocol']}"
    else:
        if not speaks_tls:
            return f"a broker that wants TLS; SEGUE_KAFKA_PROTOCOL says {given['protocol']}"
    if given["protocol"].startswith("SASL"):
        return (
            "a broker that is there but lets nobody in so; see SEGUE_KAFKA_MECHANISM, SEGUE_KAFKA_USER and "
            "SEGUE_KAFKA_PASSWORD"
        )
    return None


def ensure_topics(address: str, *, partitions: int = PARTITIONS) -> str:
    """Make the topics that are missing; return the id of `plays`: a topic made anew begins at offset 0 again."""
    with admin(address) as client:
        there = set(client.list_topics())
        for name, count in ((PLAYS, partitions), (DEAD_LETTERS, 1)):
            if name not in there:
                configs = {"max.message.bytes": str(MAX_MESSAGE), "retention.ms": str(_RETENTION_MS[name])}
                # What came when is the broker's to say: by it a play's own time is judged, always alike.
                configs["message.timestamp.type"] = "LogAppendTime"
                wanted = {name: {"num_partitions": count, "replication_factor": -1, "configs": configs}}
                with suppress(TopicAlreadyExistsError):  # somebody else was quicker
                    client.create_topics(wanted, wait_for_metadata=True)
        return topic_id(client)


def topic_id(client: KafkaAdminClient) -> str:
    """Return the id that the brokers gave `plays` when it was made."""
    (found,) = client.describe_topics([PLAYS])
    return str(found.get("topic_id") or found.get("uuid") or "")
