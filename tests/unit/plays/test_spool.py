"""The spool: a line is on the disk when `append` returns, and is deleted only when Kafka has it."""

import os
import resource
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path

import pytest

from jobs import paths
from jobs.errors import StepError
from jobs.plays import spool
from jobs.plays.spool import Spool


def line(number):
    return f"line {number}\n".encode()


def lines(folder):
    """Return the lines on the disk, in order."""
    files = sorted(folder.glob("*/*.jsonl"), key=lambda file: file.name)
    return [entry for file in files for entry in file.read_bytes().splitlines(keepends=True)]


def take(queue):
    """Read and acknowledge everything, as a sender without faults does."""
    taken = []
    while queue.pending:
        for batch, end in queue.iter_batches():
            taken += batch
            queue.acknowledge(end, len(batch))
    return taken


@pytest.fixture
def queue(tmp_path):
    with closing(Spool(tmp_path)) as opened:
        yield opened


KILLED = """
import sys; from pathlib import Path
from jobs.plays.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10_000):
    spool.append(f"line {number}\\n".encode()); print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_append_has_returned_for(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=paths.ROOT)
    for printed in process.stdout:
        if printed == "99\n":
            process.kill()
            break
    promised = [int(printed) for printed in process.stdout] or [99]
    process.wait()
    with next(tmp_path.glob("*/*.jsonl")).open("ab") as file:
        file.write(b"tor")  # as a kill within a write leaves it
    with closing(Spool(tmp_path)) as queue:
        queue.append(b"last\n")
        *taken, last = take(queue)
    assert last == b"last\n"
    assert taken == [line(number) for number in range(len(taken))] and len(taken) > max(promised)


def test_acknowledged_lines_are_not_read_again(tmp_path):
    with closing(Spool(tmp_path)) as left:
        for number in range(3):
            left.append(line(number))
        for batch, end in left.iter_batches():
            left.acknowledge(end, len(batch))
        left.append(line(3))
    with closing(Spool(tmp_path)) as queue:
        assert queue.pending == 1
        assert take(queue) == [line(3)]


def test_closed_spool_refuses_lines(tmp_path):
    queue = Spool(tmp_path)
    queue.append(line(0))
    queue.close()
    queue.close()
    with pytest.raises(StepError, match="expected a spool that is open, found .* closed"):
        queue.append(line(1))
    assert lines(tmp_path) == [line(0)]


def test_file_is_deleted_when_all_of_it_is_acknowledged(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 100)
    for number in range(300):
        queue.append(line(number))
    assert len(list(tmp_path.glob("*/*.jsonl"))) > 20
    assert take(queue) == [line(number) for number in range(300)]
    assert len(list(tmp_path.glob("*/*.jsonl"))) == 1


def test_files_stay_in_order_when_the_clock_is_set_back(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)
    now = time.time_ns()
    with closing(Spool(tmp_path)) as left:
        for number in range(6):
            monkeypatch.setattr(spool.time, "time_ns", lambda at=now - number * 3_600 * 10**9: at)
            left.append(line(number))
    with closing(Spool(tmp_path)) as queue:
        assert take(queue) == [line(number) for number in range(6)]


# --- lines that are being written ---


class Halves:
    """A file of the spool whose lines are written in two halves.

    The sender reads in between, as on a busy machine.
    """

    def __init__(self, file, read):
        self.file = file
        self.read = read

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.read()
        self.file.write(data[len(data) // 2 :])
        return len(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_half_written_line_is_read_whole_and_counted_once(queue, monkeypatch):
    batches = []
    monkeypatch.setattr(queue, "_delete_file", lambda *_: None)  # `append` holds the lock that it needs
    queue._out = Halves(queue._out, lambda: batches.append([batch for batch, _ in queue.iter_batches()]))
    for number in range(3):
        queue.append(line(number))
    assert [len(read[0]) if read else 0 for read in batches] == [0, 1, 2]
    monkeypatch.undo()
    assert queue.pending == 3
    assert take(queue) == [line(0), line(1), line(2)]


def test_reader_never_takes_half_of_a_line(queue):
    queue.append(line(0))
    queue._out.write(line(1)[:4])
    batches = queue.iter_batches()
    assert next(batches)[0] == [line(0)]
    queue._out.write(line(1)[4:])
    assert [entry for batch, _ in batches for entry in batch] == [line(1)]
    assert [entry for batch, _ in queue.iter_batches() for entry in batch] == [line(0), line(1)]


class Growing(FileIO):
    """A file whose half-written last line is completed just after its end has been read."""

    rest = b""

    def read(self, size=-1):
        content = super().read(size)
        if not content or size > len(content):
            with Path(self.name).open("ab") as writer:
                writer.write(self.rest)
            self.rest = b""
        return content

    def readall(self):
        return self.read(1 << 20)


def test_line_completed_while_its_file_is_read_is_one_line(tmp_path):
    path = tmp_path / "plays.jsonl"
    path.write_bytes(b"one\ntw")
    with Growing(path) as file:
        file.rest = b"o\nthree\n"
        taken = []
        while batch := spool._read_whole_lines(file):
            taken += batch
    assert taken == [b"one\n", b"two\n", b"three\n"]


def test_file_that_grew_after_its_end_was_read_stays(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)  # every line begins a new file
    queue.append(line(0))
    oldest = queue._files[0]
    batches = queue.iter_batches()
    end = next(batches)[1][1]
    queue._out.write(line(1))  # by another thread, into the same file
    queue.append(line(2))
    assert Path(queue._out.name) != oldest
    queue._delete_file(oldest, end)
    assert oldest.exists() and lines(tmp_path) == [line(0), line(1), line(2)]


# --- full disks ---


@contextmanager
def full_disk(room):
    """Limit the files of this process to `room` bytes.

    A longer write is cut short, then fails, as on a full disk.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_takes_a_whole_line_or_refuses_it(queue):
    queue.append(line(0))
    with full_disk(2 * len(line(0)) + 3):
        queue.append(line(1))
        for number in (2, 3):
            with pytest.raises(StepError, match="expected room for plays in .*, found: File too large"):
                queue.append(line(number))
    queue.append(line(4))
    assert take(queue) == [line(0), line(1), line(4)]


def test_half_a_line_on_a_full_disk_is_removed(queue, tmp_path):
    out = queue._out

    class Full:
        name, closed, tell, truncate, seek, fileno = (
            out.name,
            False,
            out.tell,
            out.truncate,
            out.seek,
            out.fileno,
        )

        def write(self, data):
            if out.tell() > 0:
                raise OSError(28, "No space left on device")
            return out.write(data[:-1])

    queue._out = Full()
    with pytest.raises(StepError, match="No space"):
        queue.append(line(1_000_000))
    queue._out = out
    queue.append(line(1))  # shorter than the room that was left
    assert lines(tmp_path) == [line(1)] and queue.pending == 1


def test_full_disk_for_the_next_file_keeps_the_current_one(queue, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)
    queue.append(line(0))
    with monkeypatch.context() as patched:
        patched.setattr(
            queue, "_new_file", lambda: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(StepError, match="found: No space left on device"):
            queue.append(line(1))
    queue.append(line(2))
    assert take(queue) == [line(0), line(2)]


def test_failed_acknowledgement_file_stops_nothing(queue, tmp_path):
    (tmp_path / "0" / "acknowledged.new").mkdir()
    for number in range(3):
        queue.append(line(number))
    assert take(queue) == [line(0), line(1), line(2)]


def test_unwritable_spool_raises_step_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StepError, match="folder for plays that can be written"):
        Spool(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]
