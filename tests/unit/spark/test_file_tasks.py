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


def bytes_per_task(sizes, tasks):
    totals = [0] * (max(tasks) + 1)
    for size, task in zip(sizes, tasks, strict=True):
        totals[task] += size
    return totals


def test_tasks_have_the_maximum_of_files():
    tasks = file_tasks.assign_tasks([1] * 100, task_bytes=100, task_files=8)
    assert Counter(tasks[:80]) == dict.fromkeys(range(10), 8)


def test_tasks_get_smaller_towards_the_end():
    counts = Counter(file_tasks.assign_tasks([1] * 40, slots=2, task_bytes=100, task_files=8))
    assert list(counts.values()) == [8, 8, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1]


def test_tasks_are_equal_and_the_largest_is_first():
    sizes = [10, 90, 20, 100, 30, 60, 250]
    tasks = file_tasks.assign_tasks(sizes, task_bytes=100, task_files=8)
    assert bytes_per_task(sizes, tasks) == [250, 100, 90, 90, 20, 10]
    assert tasks[6] == 0  # larger than a task may be: alone in a task, and not the last


def test_no_files_are_no_tasks():
    assert file_tasks.assign_tasks([]) == []


def test_unusable_file_message_is_the_reason():
    assert file_tasks.reject_reason(UnusableFile("expected a, found b")) == "expected a, found b"


def test_system_error_gives_its_text():
    with pytest.raises(OSError) as error:
        os.stat("/no/such/file")
    assert (
        file_tasks.reject_reason(error.value)
        == "expected a file that can be read and written, found: No such file or directory"
    )


def test_unknown_error_gives_its_place():
    with pytest.raises(ZeroDivisionError) as error:
        _ = 1 / 0
    assert file_tasks.reject_reason(error.value).startswith(
        "unexpected ZeroDivisionError: division by zero (test_file_tasks.py:"
    )


def test_reason_is_one_line():
    for error in (UnusableFile("a\nb"), ValueError("a\nb")):
        try:
            raise error
        except ValueError as raised:
            assert "\n" not in file_tasks.reject_reason(raised)


class FakeAccumulator:
    """Records what a Spark accumulator would add up."""

    def __init__(self):
        self.added = []

    def add(self, value):
        self.added.append(value)


def test_fault_ends_its_task_and_finished_rows_stay():
    def work(row):
        if row["path"] == "c":
            raise StepError("expected a disk, found none")
        return None if row["path"] == "a" else row

    table = Table("T", ("path",), (Column("path", "string", ""),))
    done, fault = FakeAccumulator(), FakeAccumulator()
    task = pa.RecordBatch.from_pylist([{"path": name} for name in "abcd"])
    (results,) = file_tasks.batch_mapper(work, table, done, fault)(iter([task]))
    assert results.to_pylist() == [{"path": "b"}]  # a is gone, d was not tried
    assert (len(done.added), fault.added) == (2, ["expected a disk, found none"])


def add_process_id(row):
    return {**row, "process_id": os.getpid()}


def crash(row):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)
    return row


def exit_3(row):
    sys.stderr.close()
    os._exit(3)


def raise_step_error(row):
    raise StepError("expected a disk, found none")


def sleep(row):
    time.sleep(4321)
    return row


def test_isolated_call_returns_its_row():
    row = file_tasks.run_isolated(add_process_id, {"path": "a"})
    assert row["path"] == "a" and row["process_id"] != os.getpid()


@pytest.mark.parametrize(("function", "code"), [(crash, -11), (exit_3, 3)])
def test_isolated_crash_is_the_rows_error(function, code):
    row = file_tasks.run_isolated(function, {"path": "a"})
    assert row == {
        "path": "a",
        "error": f"expected audio that decodes, found that it crashes the decoder (exit {code})",
    }


def test_isolated_step_error_is_raised():
    with pytest.raises(StepError, match="expected a disk, found none"):
        file_tasks.run_isolated(raise_step_error, {"path": "a"})


def test_isolated_hang_is_an_error_and_leaves_no_process(monkeypatch):
    monkeypatch.setattr(file_tasks, "ISOLATED_LIMIT_S", 0.3)
    before = set(psutil.Process().children())
    assert file_tasks.run_isolated(sleep, {"path": "a"})["error"].endswith("found still at work")
    assert set(psutil.Process().children()) <= before


def test_error_without_java_is_no_worker_crash():
    assert not file_tasks.is_worker_crash(RuntimeError("Python worker exited unexpectedly (crashed)"))
