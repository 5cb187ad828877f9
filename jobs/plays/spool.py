"""Lines that wait on this disk for Kafka, in order: written by many threads at once, read by one, gone when Kafka has them.

`append` returns when its line is on the disk. A kill -9 costs nothing that it has returned for; what was sent but not yet
forgotten at a kill is read again.

    <spool>/<n>/lock                held by one process; the next process takes what one that has ended left
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

# Bytes after which a new file begins, so that the old one can go; and of a group, the most that is sent again after a kill.
_FILE_BYTES, _GROUP_BYTES = 1 << 20, 128 << 10


def spool_dir(lake: Path) -> Path:
    """Return where the play events of a lake wait."""
    return lake / "spool" / "plays"


class Spool:
    """What one process appends, and what others have left that have ended."""

    def __init__(self, spool: Path) -> None:
        """Take a folder that no living process uses; StepError where there is none that can be written."""
        self.folder, self._lock = _own(spool)
        self._adopt(spool)
        self._files = sorted(self.folder.glob("*.jsonl"))
        self._acknowledged = self._read_mark()
        # Lines since the beginning: left by others and appended here; on the disk; acknowledged by Kafka.
        self._written = sum(file.read_bytes().count(b"\n") for file in self._files) - self._already()
        self._synced, self._delivered = self._written, 0
        self._out = self._new_file()
        self._write_lock, self._sync_lock = threading.Lock(), threading.Lock()

    @property
    def pending(self) -> int:
        """The number of lines that Kafka has not acknowledged."""
        return self._written - self._delivered

    def append(self, line: bytes) -> None:
        """Take a line, with its end; it is on the disk when this returns. StepError where there is no room, or it is closed."""
        with self._write_lock:
            if self._out.closed:
                raise StepError(f"expected a spool that is open, found {self.folder} closed")
            try:
                self._put(line)
            except OSError as error:
                raise StepError(
                    f"expected room for plays in {self.folder}, found: {error.strerror}"
                ) from error
            self._written += 1
            mine = self._written
        try:
            self._sync(mine)
        except OSError as error:
            raise StepError(
                f"expected a disk that takes plays below {self.folder}, found: {error.strerror}"
            ) from error

    def iter_batches(self) -> Iterator[tuple[list[bytes], tuple[Path, int]]]:
        """Yield lines of the oldest file that Kafka does not have, with where they end, for `forget`; then its file goes."""
        path = self._files[0]
        name, start = self._acknowledged
        start = start if name == path.name else 0
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while lines := _whole(file):
                start = file.tell()
                yield lines, (path, start)
        self._drop(path, start)

    def acknowledge(self, upto: tuple[Path, int], count: int) -> None:
        """Remember what Kafka has: not synced, and not where there is no room; it would only be sent again."""
        path, size = upto
        self._acknowledged = (path.name, size)
        scratch = self.folder / "acknowledged.new"
        with suppress(OSError):
            scratch.write_text(json.dumps(self._acknowledged))
            scratch.replace(self.folder / "acknowledged")
        self._delivered += count

    def close(self) -> None:
        """Take nothing more; what is left is read by the next process over this spool."""
        with self._sync_lock, self._write_lock:
            with suppress(OSError, ValueError):  # ValueError: it is closed already
                os.fdatasync(self._out.fileno())
                self._synced = self._written
            self._out.close()
        self._lock.release()

    def _put(self, line: bytes) -> None:
        """Write a line, into a new file where the present one is long enough; where one fails the present one stays."""
        if self._out.tell() >= _FILE_BYTES:
            following = self._new_file()
            os.fdatasync(self._out.fileno())
            self._out.close()
            self._out = following
        _append(self._out, line)

    def _sync(self, mine: int) -> None:
        """Return when line number `mine` is on the disk; who comes first takes the others' along."""
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

    def _new_file(self) -> FileIO:
        # In the order of their names even where the clock has been put back.
        last = int(self._files[-1].name.partition("-")[0]) if self._files else 0
        path = self.folder / f"{max(time.time_ns(), last + 1):020d}-{uuid.uuid4().hex[:8]}.jsonl"
        file = path.open("xb", buffering=0)
        _sync_folder(self.folder)
        self._files.append(path)
        return file

    def _adopt(self, spool: Path) -> None:
        """Take the files of processes that have ended; their lines are older, and so are their names."""
        for folder in sorted(spool.iterdir()):
            if folder == self.folder or not folder.is_dir():
                continue
            lock = filelock.FileLock(folder / "lock")
            with suppress(filelock.Timeout), lock.acquire(timeout=0):
                for file in folder.glob("*.jsonl"):
                    file.rename(self.folder / file.name)

    def _read_mark(self) -> tuple[str, int]:
        with suppress(OSError, ValueError):
            name, count = json.loads((self.folder / "acknowledged").read_text())
            # Behind older files, left by others, it is no mark: all of its file is sent once more.
            if self._files and self._files[0].name == name:
                return str(name), int(count)
        return "", 0

    def _already(self) -> int:
        """Return how many lines of the oldest file Kafka has already."""
        name, count = self._acknowledged
        path = self.folder / name
        return path.read_bytes()[:count].count(b"\n") if name and path.exists() else 0

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
    raise StepError(f"expected a free folder below {spool}, found 1000 in use")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
