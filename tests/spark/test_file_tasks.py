import faulthandler
import os
import signal

import pyarrow as pa
import pytest

from jobs import progress
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.schemas import Column, Table
from jobs.spark import file_tasks

RESULTS = Table(
    "SQUARES",
    ("path",),
    (Column("path", "string", ""), Column("bit_rate", "int", ""), *rejects.ATTEMPT_COLUMNS),
)


@pytest.fixture
def squares(spark, lake, monkeypatch):
    """Run a function over rows numbered by bit_rate; return the results by path, and the counts that progress saw."""
    seen = []
    watch = progress.watch

    def spy(name, total, count):
        seen.append((total, count))
        return watch(name, total, count)

    monkeypatch.setattr(progress, "watch", spy)

    def run(function, number, **options):
        rows = [{"path": f"{n:04d}", "bit_rate": n} for n in range(number)]
        table = Table("SQUARES", ("path",), RESULTS.columns)
        options = {"name": "squares", "function": function, "table": table, "results": RESULTS, **options}
        file_tasks.map_files("local[2]", lake, rows, [1] * number, **options)
        found = lake.read_staged_arrow(RESULTS).to_pylist()
        assert len(found) == number  # none lost, none twice
        total, count = seen[-1]
        return {row["path"]: row for row in found}, (count(), total)

    return run


def square(row):
    return {**row, "bit_rate": row["bit_rate"] ** 2}


def crash_at_7(row):
    if row["path"] == "0007":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    return square(row)


def fail_at_3(row):
    raise RuntimeError("a defect") if row["path"] == "0003" else None


def test_a_crash_costs_only_the_row_that_crashes(squares, caplog):
    found, (done, total) = squares(crash_at_7, 20)
    assert found.pop("0007")["error"] == (
        "expected audio that decodes, found that it crashes the decoder (exit -11)"
    )
    assert all(row["bit_rate"] == int(path) ** 2 and row["error"] is None for path, row in found.items())
    assert done == total == 20  # not counted again when tried again
    assert "a file has crashed its decoder" in caplog.text


def test_a_defect_of_ours_is_no_crash_of_a_decoder(squares):
    with pytest.raises(Exception, match="a defect"):
        squares(fail_at_3, 5)


def test_many_small_tasks_in_several_jobs(squares, lake):
    found, (done, total) = squares(square, 70, task_files=1)
    assert {path: row["bit_rate"] for path, row in found.items()} == {f"{n:04d}": n * n for n in range(70)}
    assert done == total == 70
    assert len(list((lake.root / "SQUARES" / "staged").iterdir())) == 2  # 64 tasks each: what a kill can cost


def test_a_job_that_fails_leaves_the_jobs_before_it(squares, lake, monkeypatch):
    monkeypatch.setattr(file_tasks, "_TASKS_PER_JOB", 1)
    with pytest.raises(Exception, match="a defect"):
        squares(lambda row: fail_at_3({"path": "0003"}) if row["path"] == "0020" else row, 24)
    assert pa.compute.max(lake.read_staged_arrow(RESULTS, "path")["path"]).as_py() == "0015"


def full_at_20(row):
    if row["path"] == "0020":
        raise StepError("expected room, found none")
    return square(row)


def test_a_fault_of_the_disk_ends_the_run_and_what_is_done_stays(squares, lake, monkeypatch):
    monkeypatch.setattr(file_tasks, "_TASKS_PER_JOB", 2)
    with pytest.raises(StepError, match="expected room, found none"):
        squares(full_at_20, 100)
    found = lake.read_staged_arrow(RESULTS, "path")["path"].to_pylist()
    assert 20 < len(found) < 32 and "0020" not in found  # but for that task's others, all of the job


def test_nothing_to_do_starts_nothing(lake):
    file_tasks.map_files(None, lake, [], [], name="x", function=square, table=RESULTS, results=RESULTS)
    assert not (lake.root / "SQUARES").exists()
