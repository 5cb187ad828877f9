"""Play events to Kafka, without waiting for it: first to a spool on this disk, from there, in order, to the topic.

`send` returns when the event is on the disk; a thread takes the spool to Kafka and forgets what was acknowledged. So a
broker that is away, or a kill -9, costs nothing but time. What was sent but not yet forgotten at a kill is sent
again; the stream knows events by their id.
"""

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from jobs.errors import StepError
from jobs.plays import events, topics
from jobs.plays.spool import Spool

log = logging.getLogger("segue")

# Seconds between two tries while Kafka is away, and that it has to acknowledge a group.
_RETRY_S, _ACKNOWLEDGE_S = 0.5, 30

Address = str | None | Callable[[], str | None]


class Producer:
    """Sends play events; may be used by many threads at once."""

    def __init__(self, kafka: Address, spool: Path) -> None:
        """Use Kafka at an address, which may also be a function that says where it is now; None keeps all in the spool.

        StepError where the spool cannot be written.
        """
        self._address, self._spool = kafka, Spool(spool)
        self._told, self._online, self._wake = False, True, threading.Condition()
        self._thread = threading.Thread(target=self._run, name="plays", daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Take an event; it is on the disk when this returns. BadEvent where it is none, StepError where there is no room."""
        self._spool.append(events.encode(event) + b"\n")  # JSON has no line end of its own
        with self._wake:
            self._wake.notify_all()

    @property
    def pending(self) -> int:
        """The number of events that Kafka has not acknowledged."""
        return self._spool.pending

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has acknowledged all; False where it has not in time: the rest stays in the spool."""
        with self._wake:
            return self._wake.wait_for(lambda: self.pending == 0, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush, then end; what is left over is sent by the next producer over this spool."""
        self.flush(timeout_s)
        with self._wake:
            self._told = True
            self._wake.notify_all()
        self._thread.join(timeout_s + _ACKNOWLEDGE_S)
        self._spool.close()

    def __enter__(self) -> "Producer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        """Bring the spool to Kafka, for as long as this producer is open."""
        client, address = None, None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self.pending > 0 or self._told)
                if self._told:
                    break
            try:
                now = self._address() if callable(self._address) else self._address
                if client is None or now != address:
                    client, address = _connect(now), now
                for group, upto in self._spool.iter_batches():
                    _deliver(client, group)
                    self._spool.acknowledge(upto, len(group))
                    with self._wake:
                        self._wake.notify_all()
                    self._tell(None)
            except (KafkaError, OSError, StepError, ValueError) as error:
                self._tell(error)
                _close(client)
                client = None
                with self._wake:
                    self._wake.wait_for(lambda: self._told, _RETRY_S)
        _close(client)

    def _tell(self, error: Exception | None) -> None:
        """Say once that Kafka is away, and once that it is back."""
        if error is not None and self._online:
            log.warning("Kafka is away, plays wait in %s: %s", self._spool.folder, str(error)[:200])
        elif error is None and not self._online:
            log.warning("Kafka is back")
        self._online = error is None


def _connect(address: str | None) -> KafkaProducer:
    if address is None:
        raise StepError("no address of Kafka yet")
    return KafkaProducer(
        **topics.kafka_python_config(address),
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        delivery_timeout_ms=_ACKNOWLEDGE_S * 1000,
        request_timeout_ms=10_000,
        max_block_ms=10_000,
        bootstrap_timeout_ms=5_000,
        reconnect_backoff_max_ms=1_000,
    )


def _deliver(client: KafkaProducer, lines: list[bytes]) -> None:
    """Send lines in order and return when all are acknowledged; KafkaError where one is not."""
    sent = []
    for line in lines:
        value, key = line.rstrip(b"\n"), None
        try:
            event = json.loads(line)
            key = event["user_id"].encode()
            value = _in_time(value, event)
        except (ValueError, LookupError, TypeError, AttributeError):
            pass  # not ours, or spoilt on the disk: the stream keeps it with its reason
        sent.append(client.send(topics.PLAYS, value=value, key=key))
    for future in sent:
        future.get(timeout=_ACKNOWLEDGE_S)


def _in_time(line: bytes, event: dict[str, Any]) -> bytes:
    """Return the line, played now where its time is ahead: it was not when it was taken, the clock has been put back since.

    The stream rejects what is ahead of the broker's clock, and this event has been promised.
    """
    now = datetime.now(UTC)
    try:
        events.parse(line, now - events.MAX_CLOCK_SKEW / 2)
        return line
    except events.InvalidEvent:
        with suppress(events.InvalidEvent):
            return events.encode({**event, "played_at": now})
        return line  # the stream keeps it with its reason


def _close(client: KafkaProducer | None) -> None:
    if client is not None:
        with suppress(KafkaError, OSError):
            client.close(timeout=1)
