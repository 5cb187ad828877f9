import faulthandler
import os
import signal

import pyarrow as pa
import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

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
    """Run a function over rows numbered by bit_rate.

    Return the results by path, and the progress (done, total).
    """
    watched = []
    watch = progress.watch

    def spy(name, total, count):
        watched.append((total, count))
        return watch(name, total, count)

    monkeypatch.setattr(progress, "watch", spy)

    def run(function, number, **options):
        rows = [{"path": f"{n:04d}", "bit_rate": n} for n in range(number)]
        table = Table("SQUARES", ("path",), RESULTS.columns)
        options = {"name": "squares", "function": function, "table": table, "results": RESULTS, **options}
        file_tasks.map_files("local[2]", lake, rows, [1] * number, **options)
        results = lake.read_staged_arrow(RESULTS).to_pylist()
        assert len(results) == number  # none lost, none twice
        total, count = watched[-1]
        return {row["path"]: row for row in results}, (count(), total)

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


def test_crash_rejects_only_the_crashing_row(squares, caplog):
    results, (done, total) = squares(crash_at_7, 20)
    assert results.pop("0007")["error"] == (
        "expected audio that decodes, found that it crashes the decoder (exit -11)"
    )
    assert all(row["bit_rate"] == int(path) ** 2 and row["error"] is None for path, row in results.items())
    assert done == total == 20  # rows of the first attempt are not counted twice
    assert "a file has crashed its decoder" in caplog.text


@pytest.mark.parametrize("signal_number", [signal.SIGSEGV, signal.SIGKILL])
def test_dead_worker_is_a_crash(spark, signal_number):
    def die(batches):
        faulthandler.disable()
        for batch in batches:
            os.kill(os.getpid(), signal_number)
            yield batch

    with pytest.raises(Py4JError) as error:
        spark.range(100).mapInArrow(die, "id long").collect()
    assert file_tasks.is_worker_crash(error.value)


def test_raising_worker_is_no_crash(spark):
    def fail(batches):
        raise RuntimeError("Python worker exited unexpectedly (crashed): EOFException, Connection reset")

    with pytest.raises(PySparkException) as error:
        spark.range(100).mapInArrow(fail, "id long").collect()
    assert not file_tasks.is_worker_crash(error.value)


def test_exception_is_no_crash(squares):
    with pytest.raises(Exception, match="a defect"):
        squares(fail_at_3, 5)


def test_many_small_tasks_run_in_several_jobs(squares, lake):
    results, (done, total) = squares(square, 70, task_files=1)
    assert {path: row["bit_rate"] for path, row in results.items()} == {f"{n:04d}": n * n for n in range(70)}
    assert done == total == 70
    assert (
        len(list((lake.root / "SQUARES" / "staged").iterdir())) == 2
    )  # 64 tasks each: a kill costs at most one


def test_failed_job_leaves_the_jobs_before_it(squares, lake, monkeypatch):
    monkeypatch.setattr(file_tasks, "_TASKS_PER_JOB", 1)
    with pytest.raises(Exception, match="a defect"):
        squares(lambda row: fail_at_3({"path": "0003"}) if row["path"] == "0020" else row, 24)
    assert pa.compute.max(lake.read_staged_arrow(RESULTS, "path")["path"]).as_py() == "0015"


def raise_at_20(row):
    if row["path"] == "0020":
        raise StepError("expected room, found none")
    return square(row)


def test_disk_fault_ends_the_run_and_finished_rows_stay(squares, lake, monkeypatch):
    monkeypatch.setattr(file_tasks, "_TASKS_PER_JOB", 2)
    with pytest.raises(StepError, match="expected room, found none"):
        squares(raise_at_20, 100)
    paths = lake.read_staged_arrow(RESULTS, "path")["path"].to_pylist()
    assert 20 < len(paths) < 32 and "0020" not in paths  # all of the job but the rest of that task


def test_no_rows_start_nothing(lake):
    file_tasks.map_files(None, lake, [], [], name="x", function=square, table=RESULTS, results=RESULTS)
    assert not (lake.root / "SQUARES").exists()
