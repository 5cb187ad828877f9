"""Send play events to Kafka without waiting for it.

Events go to a spool on this disk first, from there, in order, to the topic. `send` returns when the event is
on the disk. A thread delivers the spool to Kafka and deletes what was acknowledged. So a broker that is
unavailable, or a kill -9, costs nothing but time. Events that were sent but not yet acknowledged at a kill
are sent again; the stream ignores an event_id that it has.
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
from jobs.plays.events import PlayEvent
from jobs.plays.spool import Spool

log = logging.getLogger("segue")

# Seconds between two attempts while Kafka is unavailable.
_RETRY_S = 0.5

# Seconds that Kafka may take to acknowledge a batch.
_ACKNOWLEDGE_S = 30

Address = str | None | Callable[[], str | None]


class Producer:
    """Sends play events. Many threads may use it at once."""

    def __init__(self, kafka: Address, spool: Path) -> None:
        """Start delivering the spool to Kafka.

        `kafka` is an address, or a function that returns the current one; with None events stay in the spool.
        Raises StepError if the spool cannot be written.
        """
        self._address = kafka
        self._spool = Spool(spool)
        self._closing = False
        self._is_online = True
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="plays", daemon=True)
        self._thread.start()

    def send(self, event: PlayEvent) -> None:
        """Take an event; it is on the disk when this returns.

        Raises InvalidEvent for an event that the stream would reject, StepError if the disk is full.
        """
        self._spool.append(events.encode(event) + b"\n")  # JSON contains no line end
        with self._wake:
            self._wake.notify_all()

    @property
    def pending(self) -> int:
        """The number of events that Kafka has not acknowledged."""
        return self._spool.pending

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has acknowledged every event.

        Return False on timeout, the rest stays in the spool.
        """
        with self._wake:
            return self._wake.wait_for(lambda: self.pending == 0, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush and end; the next producer over this spool sends what is left."""
        self.flush(timeout_s)
        with self._wake:
            self._closing = True
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
        """Deliver the spool to Kafka until the producer is closed."""
        client: KafkaProducer | None = None
        address: str | None = None
        while self._wait_for_events():
            try:
                current = self._address() if callable(self._address) else self._address
                if client is None or current != address:
                    client = _connect(current)
                    address = current
                self._deliver_batches(client)
            except (KafkaError, OSError, StepError, ValueError) as error:
                self._log_outage(error)
                _close(client)
                client = None
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, _RETRY_S)
        _close(client)

    def _wait_for_events(self) -> bool:
        """Wait until there are events; return False when the producer closes."""
        with self._wake:
            self._wake.wait_for(lambda: self.pending > 0 or self._closing)
            return not self._closing

    def _deliver_batches(self, client: KafkaProducer) -> None:
        for batch, end in self._spool.iter_batches():
            _deliver(client, batch)
            self._spool.acknowledge(end, len(batch))
            with self._wake:
                self._wake.notify_all()
            self._log_recovery()

    def _log_outage(self, error: Exception) -> None:
        if self._is_online:
            log.warning("Kafka is unavailable, plays wait in %s: %s", self._spool.folder, str(error)[:200])
        self._is_online = False

    def _log_recovery(self) -> None:
        if not self._is_online:
            log.warning("Kafka is available again")
        self._is_online = True


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
    """Send lines in order; return when all are acknowledged. Raises KafkaError if one is not."""
    futures = []
    for line in lines:
        value = line.rstrip(b"\n")
        key = None
        try:
            fields = json.loads(line)
            key = fields["user_id"].encode()
            value = _limit_time(value, fields)
        except (ValueError, LookupError, TypeError, AttributeError):
            pass  # damaged on the disk: sent as it is, the stream dead-letters it with the reason
        futures.append(client.send(topics.PLAYS, value=value, key=key))
    for future in futures:
        future.get(timeout=_ACKNOWLEDGE_S)


def _limit_time(line: bytes, fields: dict[str, Any]) -> bytes:
    """Return the line; if its time is ahead, with the time now instead.

    The clock was set back since the event was accepted, and the stream rejects what is ahead of the broker's
    clock.
    """
    now = datetime.now(UTC)
    try:
        events.parse(line, now - events.MAX_CLOCK_SKEW / 2)
        return line
    except events.InvalidEvent:
        pass
    try:
        return events.encode(events.from_fields({**fields, "played_at": now}, now))
    except events.InvalidEvent:
        return line  # the stream dead-letters it with the reason


def _close(client: KafkaProducer | None) -> None:
    if client is not None:
        with suppress(KafkaError, OSError):
            client.close(timeout=1)
