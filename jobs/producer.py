"""Play events to Kafka, without waiting for it: first to a spool on this disk, from there, in order, to the topic.

`send` returns when the event is on the disk; a thread takes the spool to Kafka and forgets what was acknowledged. So a
broker that is away, or a kill -9, costs nothing but time. What was sent but not yet forgotten at a kill is sent
again; the stream knows events by their id.

    <spool>/<n>/lock                held by one process; the next process takes what one that has ended left
    <spool>/<n>/<ns>-<id>.jsonl     events, one a line, in the order of send
    <spool>/<n>/acknowledged        name of the oldest file, and how many of its bytes Kafka has
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
from kafka import KafkaProducer
from kafka.errors import KafkaError

from jobs import events, paths, topics
from jobs.errors import StepError

log = logging.getLogger("segue")

# Bytes after which a new file begins, so that the old one can go; and sent at most before the next is remembered.
_FILE_BYTES, _GROUP_BYTES = 1 << 20, 128 << 10

# Seconds between two tries while Kafka is away, and that it has to acknowledge a group.
_RETRY_S, _ACKNOWLEDGE_S = 0.5, 30

Address = str | None | Callable[[], str | None]


class Producer:
    """Sends play events; may be used by many threads at once."""

    def __init__(self, kafka: Address, spool: Path) -> None:
        """Use Kafka at an address, which may also be a function that says where it is now; None keeps all in the spool.

        StepError where the spool cannot be written.
        """
        self._address, self._told, self._wake = kafka, False, threading.Condition()
        self._folder, self._lock = _own(spool)
        self._adopt(spool)
        self._files = sorted(self._folder.glob("*.jsonl"))
        self._acknowledged = self._read_mark()
        self._online = True
        # Events since the beginning: left by others and sent here; on the disk; acknowledged by Kafka.
        self._written = sum(file.read_bytes().count(b"\n") for file in self._files) - self._already()
        self._synced, self._delivered = self._written, 0
        self._out = self._new_file()
        self._write_lock, self._sync_lock = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="plays", daemon=True)
        self._thread.start()

    def send(self, event: dict[str, Any]) -> None:
        """Take an event; it is on the disk when this returns. BadEvent where it is none, StepError where there is no room."""
        line = events.encode(event) + b"\n"  # JSON has no line end of its own
        with self._write_lock:
            if self._told:
                raise StepError("expected a producer that is open, found it closed")
            try:
                self._put(line)
            except OSError as error:
                raise StepError(f"expected room for plays in {self._folder}, found: {error.strerror}") from error
            self._written += 1
            mine = self._written
        try:
            self._sync(mine)
        except OSError as error:
            raise StepError(
                f"expected a disk that takes plays below {self._folder}, found: {error.strerror}"
            ) from error
        with self._wake:
            self._wake.notify_all()

    def _put(self, line: bytes) -> None:
        """Write a line, into a new file where the present one is long enough; where one fails the present one stays."""
        if self._out.tell() >= _FILE_BYTES:
            following = self._new_file()
            os.fdatasync(self._out.fileno())
            self._out.close()
            self._out = following
        _append(self._out, line)

    @property
    def waiting(self) -> int:
        """The number of events that Kafka has not acknowledged."""
        return self._written - self._delivered

    def _sync(self, mine: int) -> None:
        """Return when event number `mine` is on the disk; who comes first takes the others' along."""
        with self._sync_lock:
            if self._synced >= mine:
                return
            with self._write_lock:
                upto, descriptor = self._written, os.dup(self._out.fileno())
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = upto

    def flush(self, timeout_s: float) -> bool:
        """Wait until Kafka has acknowledged all; False where it has not in time: the rest stays in the spool."""
        with self._wake:
            return self._wake.wait_for(lambda: self.waiting == 0, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush, then end; what is left over is sent by the next producer over this spool."""
        self.flush(timeout_s)
        with self._write_lock, self._wake:
            self._told = True
            self._wake.notify_all()
        self._thread.join(timeout_s + _ACKNOWLEDGE_S)
        self._out.close()
        self._lock.release()

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _new_file(self) -> FileIO:
        # In the order of their names even where the clock has been put back.
        last = int(self._files[-1].name.partition("-")[0]) if self._files else 0
        path = self._folder / f"{max(time.time_ns(), last + 1):020d}-{uuid.uuid4().hex[:8]}.jsonl"
        file = path.open("xb", buffering=0)
        _sync_folder(self._folder)
        self._files.append(path)
        return file

    def _adopt(self, spool: Path) -> None:
        """Take the files of producers that have ended; their events are older, and so are their names."""
        for folder in sorted(spool.iterdir()):
            if folder == self._folder or not folder.is_dir():
                continue
            lock = filelock.FileLock(folder / "lock")
            with suppress(filelock.Timeout), lock.acquire(timeout=0):
                for file in folder.glob("*.jsonl"):
                    file.rename(self._folder / file.name)

    def _read_mark(self) -> tuple[str, int]:
        with suppress(OSError, ValueError):
            name, count = json.loads((self._folder / "acknowledged").read_text())
            # Behind older files, left by others, it is no mark: all of its file is sent once more.
            if self._files and self._files[0].name == name:
                return str(name), int(count)
        return "", 0

    def _already(self) -> int:
        """Return how many lines of the oldest file Kafka has already."""
        name, count = self._acknowledged
        path = self._folder / name
        return path.read_bytes()[:count].count(b"\n") if name and path.exists() else 0

    def _run(self) -> None:
        """Bring the spool to Kafka, for as long as this producer is open."""
        client, address = None, None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self.waiting > 0 or self._told)
                if self._told:
                    break
            try:
                now = self._address() if callable(self._address) else self._address
                if client is None or now != address:
                    client, address = _connect(now), now
                for group, upto in self._groups():
                    _deliver(client, group)
                    self._forget(upto, len(group))
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
            log.warning("Kafka is away, plays wait in %s: %s", self._folder, str(error)[:200])
        elif error is None and not self._online:
            log.warning("Kafka is back")
        self._online = error is None

    def _groups(self) -> Iterator[tuple[list[bytes], tuple[Path, int]]]:
        """Yield lines of the oldest file that Kafka does not have, with where they end."""
        path = self._files[0]
        name, start = self._acknowledged
        start = start if name == path.name else 0
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while lines := _whole(file):
                start = file.tell()
                yield lines, (path, start)
        self._drop(path, start)

    def _forget(self, upto: tuple[Path, int], count: int) -> None:
        """Remember what Kafka has: not synced, and not where there is no room; it would only be sent again."""
        path, size = upto
        self._acknowledged = (path.name, size)
        scratch = self._folder / "acknowledged.new"
        with suppress(OSError):
            scratch.write_text(json.dumps(self._acknowledged))
            scratch.replace(self._folder / "acknowledged")
        with self._wake:
            self._delivered += count
            self._wake.notify_all()

    def _drop(self, path: Path, start: int) -> None:
        """Delete a file that Kafka has all of, unless it is written to, or was since its end was read."""
        with self._write_lock:
            if path.name != Path(str(self._out.name)).name and b"\n" not in path.read_bytes()[start:]:
                self._files.remove(path)
                path.unlink()


def _whole(file: FileIO) -> list[bytes]:
    """Return the next lines that have an end, and stand behind them.

    What has none is being written, or was torn by a kill. It is never taken: its other half, read later, even a moment
    later by the same call, would look like a line. Read line by line, one play in 150,000 was lost so.
    """
    begun = file.tell()
    read = file.read(_GROUP_BYTES)
    end = read.rfind(b"\n") + 1
    file.seek(begun + end)
    return [line + b"\n" for line in read[:end].split(b"\n")[:-1]]


def _append(file: FileIO, line: bytes) -> None:
    """Write a line, all of it or nothing: half a line on a full disk would spoil the next one."""
    end, rest = file.tell(), memoryview(line)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(end)
        file.seek(end)
        raise


def _own(spool: Path) -> tuple[Path, Any]:
    """Return a folder of the spool that no living process uses, and the hold on it."""
    for number in range(1_000):
        folder = spool / str(number)
        try:
            paths.private(spool)
            folder.mkdir(exist_ok=True)
            lock = filelock.FileLock(folder / "lock", is_singleton=False)
            lock.acquire(timeout=0)
            return folder, lock
        except filelock.Timeout:
            continue
        except OSError as error:
            raise StepError(
                f"expected a folder for plays that can be written, found {folder}: {error.strerror}"
            ) from error
    raise StepError(f"expected a free folder below {spool}, found 1000 in use")


def _connect(address: str | None) -> KafkaProducer:
    if address is None:
        raise StepError("no address of Kafka yet")
    return KafkaProducer(
        **topics.python_options(address),
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
        events.parse(line, now - events.MAX_AHEAD / 2)
        return line
    except events.BadEvent:
        with suppress(events.BadEvent):
            return events.encode({**event, "played_at": now})
        return line  # the stream keeps it with its reason


def _close(client: KafkaProducer | None) -> None:
    if client is not None:
        with suppress(KafkaError, OSError):
            client.close(timeout=1)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
