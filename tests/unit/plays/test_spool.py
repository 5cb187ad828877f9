"""The spool: a line is on the disk before `append` returns, whole, in order, and goes only when Kafka has it."""

import os
import resource
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path

import pytest

from jobs.errors import StepError
from jobs.plays import spool
from jobs.plays.spool import Spool


def line(number):
    return f"line {number}\n".encode()


def lines(folder):
    """What is on the disk, in order."""
    files = sorted(folder.glob("*/*.jsonl"), key=lambda file: file.name)
    return [each for file in files for each in file.read_bytes().splitlines(keepends=True)]


def take(waits):
    """Everything that waits, as a sender takes it to whom nothing happens."""
    found = []
    while waits.pending:
        for group, upto in waits.iter_batches():
            found += group
            waits.acknowledge(upto, len(group))
    return found


@pytest.fixture
def waits(tmp_path):
    with closing(Spool(tmp_path)) as found:
        yield found


KILLED = """
import sys; from pathlib import Path
from jobs.plays.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10_000):
    spool.append(f"line {number}\\n".encode()); print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_append_has_returned_for(tmp_path):
    root = Path(spool.__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=-1, text=True, cwd=root)
    for said in process.stdout:
        if said == "99\n":
            process.kill()
            break
    promised = [int(said) for said in process.stdout] or [99]
    process.wait()
    with next(tmp_path.glob("*/*.jsonl")).open("ab") as file:
        file.write(b"tor")  # as a kill amid a write leaves it
    with closing(Spool(tmp_path)) as waits:
        waits.append(b"last\n")
        *found, last = take(waits)
    assert last == b"last\n"
    assert found == [line(number) for number in range(len(found))] and len(found) > max(promised)


def test_what_was_forgotten_is_not_read_again(tmp_path):
    with closing(Spool(tmp_path)) as left:
        for number in range(3):
            left.append(line(number))
        for group, upto in left.iter_batches():
            left.acknowledge(upto, len(group))
        left.append(line(3))
    with closing(Spool(tmp_path)) as waits:
        assert waits.pending == 1
        assert take(waits) == [line(3)]


def test_who_is_closed_takes_nothing(tmp_path):
    waits = Spool(tmp_path)
    waits.append(line(0))
    waits.close()
    waits.close()
    with pytest.raises(StepError, match="expected a spool that is open, found .* closed"):
        waits.append(line(1))
    assert lines(tmp_path) == [line(0)]


def test_files_go_when_all_of_them_is_forgotten(waits, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 100)
    for number in range(300):
        waits.append(line(number))
    assert len(list(tmp_path.glob("*/*.jsonl"))) > 20
    assert take(waits) == [line(number) for number in range(300)]
    assert len(list(tmp_path.glob("*/*.jsonl"))) == 1


def test_the_order_of_files_is_that_of_lines_even_where_the_clock_goes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)
    now = time.time_ns()
    with closing(Spool(tmp_path)) as left:
        for number in range(6):
            monkeypatch.setattr(spool.time, "time_ns", lambda at=now - number * 3_600 * 10**9: at)
            left.append(line(number))
    with closing(Spool(tmp_path)) as waits:
        assert take(waits) == [line(number) for number in range(6)]


# --- what is being written ---


class Halves:
    """A file of the spool whose lines appear in two steps, the sender looking in between, as on a busy machine."""

    def __init__(self, file, look):
        self.file, self.look = file, look

    def write(self, written):
        self.file.write(written[: len(written) // 2])
        self.look()
        self.file.write(written[len(written) // 2 :])
        return len(written)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_line_seen_half_written_is_taken_whole_and_counted_once(waits, monkeypatch):
    seen = []
    monkeypatch.setattr(waits, "_drop", lambda *_: None)  # `append` holds the lock that it needs
    waits._out = Halves(waits._out, lambda: seen.append([group for group, _ in waits.iter_batches()]))
    for number in range(3):
        waits.append(line(number))
    assert [len(groups[0]) if groups else 0 for groups in seen] == [0, 1, 2]
    monkeypatch.undo()
    assert waits.pending == 3
    assert take(waits) == [line(0), line(1), line(2)]


def test_who_reads_on_while_a_line_is_written_takes_no_half_of_it(waits):
    waits.append(line(0))
    waits._out.write(line(1)[:4])
    groups = waits.iter_batches()
    assert next(groups)[0] == [line(0)]
    waits._out.write(line(1)[4:])
    assert [each for group, _ in groups for each in group] == [line(1)]
    assert [each for group, _ in waits.iter_batches() for each in group] == [line(0), line(1)]


class Growing(FileIO):
    """A file whose half-written last line is finished at the moment when its end has been read."""

    rest = b""

    def read(self, size=-1):
        found = super().read(size)
        if not found or size > len(found):
            with Path(self.name).open("ab") as other:
                other.write(self.rest)
            self.rest = b""
        return found

    def readall(self):
        return self.read(1 << 20)


def test_a_line_that_is_finished_while_its_file_is_read_is_one_line(tmp_path):
    path = tmp_path / "plays.jsonl"
    path.write_bytes(b"one\ntw")
    with Growing(path) as file:
        file.rest = b"o\nthree\n"
        found = []
        while taken := spool._whole(file):
            found += taken
    assert found == [b"one\n", b"two\n", b"three\n"]


def test_a_file_that_grew_after_its_end_was_read_is_kept(waits, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)  # every line begins a new file
    waits.append(line(0))
    oldest = waits._files[0]
    groups = waits.iter_batches()
    end = next(groups)[1][1]
    waits._out.write(line(1))  # of another thread, into the same file
    waits.append(line(2))
    assert Path(waits._out.name) != oldest
    waits._drop(oldest, end)
    assert oldest.exists() and lines(tmp_path) == [line(0), line(1), line(2)]


# --- no room ---


@contextmanager
def full_disk(room):
    """No file of this process grows beyond so many bytes: a write is cut short there, and fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_a_line_is_taken_whole_or_refused_and_it_goes_on_when_there_is_room(waits):
    waits.append(line(0))
    with full_disk(2 * len(line(0)) + 3):
        waits.append(line(1))
        for number in (2, 3):
            with pytest.raises(StepError, match="expected room for plays in .*, found: File too large"):
                waits.append(line(number))
    waits.append(line(4))
    assert take(waits) == [line(0), line(1), line(4)]


def test_half_a_line_on_a_full_disk_does_not_spoil_the_next(waits, tmp_path):
    out = waits._out

    class Full:
        name, closed, tell, truncate, seek, fileno = (
            out.name,
            False,
            out.tell,
            out.truncate,
            out.seek,
            out.fileno,
        )

        def write(self, written):
            if out.tell() > 0:
                raise OSError(28, "No space left on device")
            return out.write(written[:-1])

    waits._out = Full()
    with pytest.raises(StepError, match="No space"):
        waits.append(line(1_000_000))
    waits._out = out
    waits.append(line(1))  # shorter than what there was room for
    assert lines(tmp_path) == [line(1)] and waits.pending == 1


def test_no_room_for_the_next_file_leaves_the_one_before(waits, monkeypatch):
    monkeypatch.setattr(spool, "_FILE_BYTES", 1)
    waits.append(line(0))
    with monkeypatch.context() as patched:
        patched.setattr(
            waits, "_new_file", lambda: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(StepError, match="found: No space left on device"):
            waits.append(line(1))
    waits.append(line(2))
    assert take(waits) == [line(0), line(2)]


def test_no_room_for_the_mark_is_no_reason_to_stop(waits, tmp_path):
    (tmp_path / "0" / "acknowledged.new").mkdir()
    for number in range(3):
        waits.append(line(number))
    assert take(waits) == [line(0), line(1), line(2)]


def test_a_spool_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StepError, match="folder for plays that can be written"):
        Spool(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]
