import faulthandler
import os
import signal
import sys
import time
from collections import Counter

import psutil
import pyarrow as pa
import pytest

from jobs.errors import StepError, UnusableFile
from jobs.lake.schemas import Column, Table
from jobs.spark import file_tasks


def loads(sizes, tasks):
    return [
        sum(size for size, task in zip(sizes, tasks, strict=True) if task == n) for n in range(max(tasks) + 1)
    ]


def test_tasks_hold_a_few_files_each():
    tasks = file_tasks.assign_tasks([1] * 100, task_bytes=100, task_files=8)
    assert Counter(tasks[:80]) == dict.fromkeys(range(10), 8)


def test_the_last_tasks_are_the_smallest():
    counts = Counter(file_tasks.assign_tasks([1] * 40, slots=2, task_bytes=100, task_files=8))
    assert list(counts.values()) == [8, 8, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]


def test_tasks_are_about_equal_and_the_largest_comes_first():
    sizes = [10, 90, 20, 100, 30, 60, 250]
    tasks = file_tasks.assign_tasks(sizes, task_bytes=100, task_files=8)
    assert loads(sizes, tasks) == [250, 100, 90, 90, 20, 10]
    assert tasks[6] == 0  # larger than a task may be: one of its own, and not the last


def test_nothing_is_packed_into_nothing():
    assert file_tasks.assign_tasks([]) == []


def test_a_known_reason_is_kept_as_it_is():
    assert file_tasks.reject_reason(UnusableFile("expected a, found b")) == "expected a, found b"


def test_a_system_error_is_said_in_its_words():
    with pytest.raises(OSError) as error:
        os.stat("/no/such/file")
    assert (
        file_tasks.reject_reason(error.value)
        == "expected a file that can be read and written, found: No such file or directory"
    )


def test_an_unknown_error_says_where():
    with pytest.raises(ZeroDivisionError) as error:
        _ = 1 / 0
    assert file_tasks.reject_reason(error.value).startswith(
        "unexpected ZeroDivisionError: division by zero (test_file_tasks.py:"
    )


def test_every_reason_is_one_line():
    for error in (UnusableFile("a\nb"), ValueError("a\nb")):
        try:
            raise error
        except ValueError as raised:
            assert "\n" not in file_tasks.reject_reason(raised)


class Counted:
    """What stands for a Spark accumulator."""

    def __init__(self):
        self.added = []

    def add(self, value):
        self.added.append(value)


def test_a_fault_ends_its_task_and_what_is_done_stays():
    def work(row):
        if row["path"] == "c":
            raise StepError("expected a disk, found none")
        return None if row["path"] == "a" else row

    table = Table("T", ("path",), (Column("path", "string", ""),))
    done, fault = Counted(), Counted()
    task = pa.RecordBatch.from_pylist([{"path": name} for name in "abcd"])
    (found,) = file_tasks._mapper(work, table, done, fault)(iter([task]))
    assert found.to_pylist() == [{"path": "b"}]  # a is gone, d was not tried
    assert (len(done.added), fault.added) == (2, ["expected a disk, found none"])


def in_a_child(row):
    return {**row, "done_by": os.getpid()}


def crash(row):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)
    return row


def leave(row):
    sys.stderr.close()
    os._exit(3)


def meet_a_fault(row):
    raise StepError("expected a disk, found none")


def sleep(row):
    time.sleep(4321)
    return row


def test_an_isolated_call_returns_its_row():
    row = file_tasks._Isolated(in_a_child)({"path": "a"})
    assert row["path"] == "a" and row["done_by"] != os.getpid()


@pytest.mark.parametrize(("function", "code"), [(crash, -11), (leave, 3)])
def test_an_isolated_crash_is_an_error(function, code):
    row = file_tasks._Isolated(function)({"path": "a"})
    assert row == {
        "path": "a",
        "error": f"expected audio that decodes, found that it crashes the decoder (exit {code})",
    }


def test_an_isolated_fault_is_no_crash():
    with pytest.raises(StepError, match="expected a disk, found none"):
        file_tasks._Isolated(meet_a_fault)({"path": "a"})


def test_an_isolated_hang_is_an_error_and_leaves_no_process(monkeypatch):
    monkeypatch.setattr(file_tasks, "ISOLATED_LIMIT_S", 0.3)
    before = set(psutil.Process().children())
    assert file_tasks._Isolated(sleep)({"path": "a"})["error"].endswith("found still at work")
    assert set(psutil.Process().children()) <= before
