"""A queue of lines on this disk, in front of Kafka: appended by many threads, read by one, in order.

A line is deleted when Kafka has it. `append` returns when its line is on the disk. A kill -9 loses no line
for which it has returned; lines that were sent but not yet acknowledged at a kill are read again.

    <spool>/<n>/lock                held by one process; a later process adopts the files of an ended one
    <spool>/<n>/<ns>-<id>.jsonl     lines, in the order of append
    <spool>/<n>/acknowledged        name of the oldest file, and how many of its bytes Kafka has
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import filelock

from jobs import paths
from jobs.errors import StepError

# Bytes after which a new file begins, so that the old one can be deleted.
_FILE_BYTES = 1 << 20

# Bytes of a batch: the most that is sent again after a kill.
_BATCH_BYTES = 128 << 10

# Processes that may use one spool at once.
_MAX_FOLDERS = 1_000


def spool_dir(lake: Path) -> Path:
    """Return the spool of a lake's play events."""
    return lake / "spool" / "plays"


class Spool:
    """The lines that this process appends, and those that ended processes have left."""

    def __init__(self, spool: Path) -> None:
        """Take a folder that no running process uses. Raises StepError if none can be written."""
        self.folder, self._lock = _claim_folder(spool)
        self._adopt(spool)
        self._files = sorted(self.folder.glob("*.jsonl"))
        self._acknowledged = self._read_acknowledged()
        # Line counts: written (adopted and appended), of those on the disk, and acknowledged since the start.
        n_lines = sum(file.read_bytes().count(b"\n") for file in self._files)
        self._written = n_lines - self._count_acknowledged_lines()
        self._synced = self._written
        self._delivered = 0
        self._out = self._new_file()
        self._write_lock = threading.Lock()
        self._sync_lock = threading.Lock()

    @property
    def pending(self) -> int:
        """The number of lines that Kafka has not acknowledged."""
        return self._written - self._delivered

    def append(self, line: bytes) -> None:
        """Append a line, which includes its line end; it is on the disk when this returns.

        Raises StepError if the disk is full or fails, or the spool is closed.
        """
        with self._write_lock:
            if self._out.closed:
                raise StepError(f"expected a spool that is open, found {self.folder} closed")
            try:
                self._write(line)
            except OSError as error:
                raise StepError(
                    f"expected room for plays in {self.folder}, found: {error.strerror}"
                ) from error
            self._written += 1
            line_number = self._written
        try:
            self._sync(line_number)
        except OSError as error:
            raise StepError(
                f"expected a disk that stores plays below {self.folder}, found: {error.strerror}"
            ) from error

    def iter_batches(self) -> Iterator[tuple[list[bytes], tuple[Path, int]]]:
        """Yield unacknowledged lines of the oldest file, each batch with its end, for `acknowledge`.

        Then delete the file.
        """
        path = self._files[0]
        name, position = self._acknowledged
        position = position if name == path.name else 0
        with path.open("rb", buffering=0) as file:
            file.seek(position)
            while lines := _read_whole_lines(file):
                position = file.tell()
                yield lines, (path, position)
        self._delete_file(path, position)

    def acknowledge(self, end: tuple[Path, int], count: int) -> None:
        """Record that Kafka has the `count` lines up to `end`.

        Not synced, and skipped on a full disk: at worst the lines are sent again. The scratch file has one
        fixed name, so that kills leave no more than one.
        """
        path, position = end
        self._acknowledged = (path.name, position)
        scratch = self.folder / "acknowledged.new"
        with suppress(OSError):
            scratch.write_text(json.dumps(self._acknowledged))
            scratch.replace(self.folder / "acknowledged")
        self._delivered += count

    def close(self) -> None:
        """Refuse further lines; the next process over this spool reads what is left."""
        with self._sync_lock, self._write_lock:
            with suppress(OSError, ValueError):  # ValueError: already closed
                paths.sync(self._out.fileno(), data_only=True)
                self._synced = self._written
            self._out.close()
        self._lock.release()

    def _write(self, line: bytes) -> None:
        """Write a line; into a new file if the current one is long enough.

        If none can be created the current one stays.
        """
        if self._out.tell() >= _FILE_BYTES:
            new_file = self._new_file()
            paths.sync(self._out.fileno(), data_only=True)
            self._out.close()
            self._out = new_file
        _write_all_or_nothing(self._out, line)

    def _sync(self, line_number: int) -> None:
        """Return when that line is on the disk.

        The first thread to come syncs for all lines written so far.
        """
        with self._sync_lock:
            if self._synced >= line_number:
                return
            with self._write_lock:
                written = self._written
                descriptor = os.dup(self._out.fileno())
            try:
                paths.sync(descriptor, data_only=True)
            finally:
                os.close(descriptor)
            self._synced = written

    def _new_file(self) -> FileIO:
        # File names stay in order even if the clock is set back.
        last = int(self._files[-1].name.partition("-")[0]) if self._files else 0
        path = self.folder / f"{max(time.time_ns(), last + 1):020d}-{uuid.uuid4().hex[:8]}.jsonl"
        file = path.open("xb", buffering=0)
        paths.fsync_dir(self.folder)
        self._files.append(path)
        return file

    def _adopt(self, spool: Path) -> None:
        """Move the files of ended processes here; their lines are older, and so are their names."""
        for folder in sorted(spool.iterdir()):
            if folder == self.folder or not folder.is_dir():
                continue
            lock = filelock.FileLock(folder / "lock")
            with suppress(filelock.Timeout), lock.acquire(timeout=0):
                for file in folder.glob("*.jsonl"):
                    file.rename(self.folder / file.name)

    def _read_acknowledged(self) -> tuple[str, int]:
        """Return name and position of the last acknowledgement; empty if it is not of the oldest file.

        Behind older, adopted files it cannot be used: all lines of its file are sent once more.
        """
        with suppress(OSError, ValueError):
            name, position = json.loads((self.folder / "acknowledged").read_text())
            if self._files and self._files[0].name == name:
                return str(name), int(position)
        return "", 0

    def _count_acknowledged_lines(self) -> int:
        """Return how many lines of the oldest file Kafka has already."""
        name, position = self._acknowledged
        path = self.folder / name
        return path.read_bytes()[:position].count(b"\n") if name and path.exists() else 0

    def _delete_file(self, path: Path, position: int) -> None:
        """Delete a file that Kafka has all of, unless it is the current one or grew beyond `position`."""
        with self._write_lock:
            is_current = path.name == Path(str(self._out.name)).name
            if not is_current and b"\n" not in path.read_bytes()[position:]:
                self._files.remove(path)
                path.unlink()


def _read_whole_lines(file: FileIO) -> list[bytes]:
    """Return the next lines that have a line end, and leave the position behind them.

    A line without end is being written, or was torn by a kill. It must not be read: its second half, read
    even a moment later by the same call, would look like a line. Reading line by line lost one play in
    150,000 that way.
    """
    start = file.tell()
    content = file.read(_BATCH_BYTES)
    end = content.rfind(b"\n") + 1
    file.seek(start + end)
    return [line + b"\n" for line in content[:end].split(b"\n")[:-1]]


def _write_all_or_nothing(file: FileIO, line: bytes) -> None:
    """Write a whole line or none of it: half a line on a full disk would damage the next one."""
    start = file.tell()
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(start)
        file.seek(start)
        raise


def _claim_folder(spool: Path) -> tuple[Path, Any]:
    """Return a folder of the spool that no running process uses, and the lock that holds it."""
    for number in range(_MAX_FOLDERS):
        folder = spool / str(number)
        try:
            paths.make_private_dir(spool)
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
    raise StepError(f"expected a free folder below {spool}, found {_MAX_FOLDERS} in use")
