"""The topic `plays.rejected`: messages that are no valid plays, each with the reason."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from jobs.errors import StepError
from jobs.plays import topics
from jobs.streaming import micro_batch

# Seconds for plays.rejected to acknowledge a dead letter, and for Kafka to answer a consumer.
_TIMEOUT_S = 60
_CONSUMER_TIMEOUT_MS = 10_000


class DeadLetters:
    """Sends messages to plays.rejected, except those that the same batch sent before a kill."""

    def __init__(self, kafka: str, topic_id: str) -> None:
        self._kafka = kafka
        self._topic_id = topic_id
        self._rejected_offsets = last_rejected_offsets(kafka)
        self._producer = KafkaProducer(
            **topics.kafka_python_config(kafka), acks="all", max_request_size=2 * topics.MAX_MESSAGE
        )

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(timeout=5)

    def send(self, dead_letters: Iterable[micro_batch.DeadLetter]) -> None:
        """Send dead letters in the order of their offsets; they are acknowledged when this returns."""
        futures = []
        for dead_letter in dead_letters:
            message = dead_letter.message
            origin = micro_batch.source_partition(self._topic_id, message.partition)
            if message.offset <= self._rejected_offsets.get(origin, -1):
                continue
            self._rejected_offsets[origin] = message.offset
            headers = _headers(dead_letter, self._rejected_offsets)
            value = self._whole_value(message)
            futures.append(self._producer.send(topics.DEAD_LETTERS, value=value, headers=headers))
        for future in futures:
            future.get(timeout=_TIMEOUT_S)

    def _whole_value(self, message: micro_batch.Message) -> bytes:
        """Return a message's value, read again from Kafka if it was cut.

        At most what plays.rejected can hold.
        """
        if message.size <= len(message.value):
            return message.value
        with consumer(self._kafka) as connected:
            partition = TopicPartition(topics.PLAYS, message.partition)
            connected.assign([partition])
            connected.seek(partition, message.offset)
            record = next(iter(connected), None)
        if record is None or record.offset != message.offset:  # deleted meanwhile, after Kafka's retention
            return message.value
        return bytes(record.value[: topics.MAX_REJECTED])


def _headers(dead_letter: micro_batch.DeadLetter, offsets: dict[str, int]) -> list[tuple[str, bytes]]:
    """Return the headers of a message of plays.rejected.

    They hold the reason, the message's place, size in bytes and time, and the last rejected offset of every
    origin.
    """
    message = dead_letter.message
    return [
        ("error", dead_letter.error.encode()),
        ("origin", f"plays-{message.partition}-{message.offset}".encode()),
        ("bytes", str(message.size).encode()),
        ("received", message.timestamp.astimezone(UTC).isoformat().encode()),
        ("offsets", json.dumps(offsets).encode()),
    ]


@contextmanager
def consumer(kafka: str) -> Iterator[KafkaConsumer]:
    """Connect a consumer without a group; its iteration ends after ten seconds without a message."""
    config = topics.kafka_python_config(kafka)
    try:
        connected = KafkaConsumer(
            **config, enable_auto_commit=False, consumer_timeout_ms=_CONSUMER_TIMEOUT_MS
        )
    except KafkaError as error:
        raise StepError(
            f"--kafka: expected Kafka to answer at {kafka}, found {type(error).__name__}"
        ) from error
    try:
        yield connected
    finally:
        connected.close()


def last_rejected_offsets(kafka: str) -> dict[str, int]:
    """Return the last rejected offset of each origin, from the last message of plays.rejected."""
    with consumer(kafka) as connected:
        partition = TopicPartition(topics.DEAD_LETTERS, 0)
        connected.assign([partition])
        end = connected.end_offsets([partition])[partition]
        if end <= connected.beginning_offsets([partition])[partition]:
            return {}
        connected.seek(partition, end - 1)
        message = next(connected, None)
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
