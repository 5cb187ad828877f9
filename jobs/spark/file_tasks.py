"""Run a plain function over files on Spark's Python workers: small tasks of about equal size, progress, crashes.

The function takes one row as a dict and returns one as a dict, or None where its file is gone meanwhile. What a crash (a
decoder's segmentation fault takes the whole Python worker with it) leaves undone is run again, each row in a process of its
own, so that only the file that crashes is lost, and says so. A fault of disk or machine (StepError) ends the run, and what
is done by then is staged.
"""

import logging
import multiprocessing
import os
import stat
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.accumulators import Accumulator, AccumulatorParam
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import progress
from jobs.errors import StepError, UnusableFile, raise_if_system_fault
from jobs.lake.schemas import Table
from jobs.lake.storage import Lake
from jobs.paths import escape_control_chars, to_text
from jobs.spark import session

log = logging.getLogger("segue")

FileRow = dict[str, Any]
FileFunction = Callable[[FileRow], FileRow | None]

# A task: small enough that the last one to end does not keep the other cores waiting, large enough (about a second of
# decoding) that Spark's 10 to 30 ms per task do not count.
TASK_BYTES = 32 * 2**20
TASK_FILES = 8

# Seconds for one file in a process of its own: far above any honest decode.
ISOLATED_LIMIT_S = 1800

# Tasks of one Spark job, per core: what a kill can cost is at most one job's work.
_TASKS_PER_JOB = 32

_CRASHED = ("exited unexpectedly", "Python worker exited", "EOFException", "Connection reset", "crashed")


def assign_tasks(
    sizes: list[int], *, slots: int = 1, task_bytes: int = TASK_BYTES, task_files: int = TASK_FILES
) -> list[int]:
    """Return the task number of each file, given the sizes in bytes and the tasks that run at one time.

    Largest first, so that none starts last; and ever fewer files where the end is near, so that all slots are done at
    about the same time (guided self-scheduling: Polychronopoulos and Kuck, 1987).
    """
    tasks = [0] * len(sizes)
    task, load, files = -1, task_bytes + 1, 0
    limit, least = (
        task_files,
        max(1, task_files // 8),
    )  # a task of its own for every file would cost more than it saves
    for count, position in enumerate(sorted(range(len(sizes)), key=lambda i: -sizes[i])):
        if files >= limit or load + sizes[position] > task_bytes:
            task, load, files = task + 1, 0, 0
            limit = min(task_files, max(least, (len(sizes) - count) // (2 * slots)))
        tasks[position] = task
        load += sizes[position]
        files += 1
    return tasks


def map_files(
    master: str,
    lake: Lake,
    rows: list[FileRow],
    sizes: list[int],
    *,
    name: str,
    function: FileFunction,
    table: Table,
    results: Table,
    task_files: int = TASK_FILES,
) -> None:
    """Apply `function` to each row on the workers and stage what it returns for the table.

    `results` declares the columns of the rows, going in and coming out. The work is cut into Spark jobs, each staged when
    it is done: a kill costs at most one job's work. `sizes` are the files' bytes; `name` is shown as progress. StepError,
    after the job that has met it, for a fault of disk or machine.
    """
    if not rows:
        return
    spark = session.get_session(master)
    done, fault = spark.sparkContext.accumulator(0), spark.sparkContext.accumulator("", _FirstMessage())
    slots = spark.sparkContext.defaultParallelism
    per_job = slots * _TASKS_PER_JOB * task_files
    with progress.watch(name, len(rows), lambda: done.value):
        for start in range(0, len(rows), per_job):
            tasks = assign_tasks(sizes[start : start + per_job], slots=slots, task_files=task_files)
            job = [
                {**row, "task": task} for row, task in zip(rows[start : start + per_job], tasks, strict=True)
            ]
            schema = results.arrow_schema().append(pa.field("task", pa.int32()))
            frame = spark.createDataFrame(pa.Table.from_pylist(job, schema=schema))
            _run_job(
                frame.repartitionById(max(tasks) + 1, F.col("task")),
                lake,
                function,
                table,
                results,
                done,
                fault,
            )
            if fault.value:
                raise StepError(fault.value)


class _FirstMessage(AccumulatorParam[str]):
    """Keeps one of the texts that the workers add, the first to arrive."""

    def zero(self, value: str) -> str:
        return ""

    def addInPlace(self, value1: str, value2: str) -> str:  # noqa: N802 - Spark's name
        return value1 or value2


def _run_job(
    frame: DataFrame,
    lake: Lake,
    function: FileFunction,
    table: Table,
    results: Table,
    done: "Accumulator[int]",
    fault: "Accumulator[str]",
) -> None:
    """Stage one job's results; after a worker's crash, with each row in a process of its own."""
    schema, part, before = results.spark_schema(), f"{time.time_ns()}", done.value
    try:
        lake.stage(
            table, part, frame.mapInArrow(_mapper(function, results, done, fault), schema).write.parquet
        )
    except (PySparkException, Py4JError) as error:
        if not any(sign in str(error) for sign in _CRASHED):
            raise
        log.warning(
            "a file has crashed its decoder: each of this job's %d files is tried on its own", frame.count()
        )
        done.value = before
        isolated = _mapper(_Isolated(function), results, done, fault)
        lake.stage(table, part, frame.mapInArrow(isolated, schema).write.parquet)


def _mapper(
    function: FileFunction, results: Table, done: "Accumulator[int]", fault: "Accumulator[str]"
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    schema = results.arrow_schema()

    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            try:
                for row in batch.to_pylist():
                    if (result := function(row)) is not None:
                        rows.append(result)
                    done.add(1)
            except StepError as error:  # the task's other files are likely to meet it too
                fault.add(str(error))
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    return apply


class _Isolated:
    """`function`, each call in a process of its own; a crash or a hang becomes the row's `error`."""

    def __init__(self, function: FileFunction) -> None:
        self.function = function

    def __call__(self, row: FileRow) -> FileRow | None:
        fork = multiprocessing.get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=_send, args=(self.function, row, sender))
        process.start()
        sender.close()
        try:
            if receiver.poll(ISOLATED_LIMIT_S):
                found: FileRow | None | StepError = receiver.recv()
                if isinstance(found, StepError):
                    raise found
                return found
            error = f"expected to be done within {ISOLATED_LIMIT_S} s, found still at work"
        except EOFError:
            process.join()
            error = (
                f"expected audio that decodes, found that it crashes the decoder (exit {process.exitcode})"
            )
        finally:
            process.kill()
            process.join()
        return {**row, "error": error}


def _send(function: FileFunction, row: FileRow, sender: Connection) -> None:
    try:
        sender.send(function(row))
    except StepError as error:
        sender.send(error)


def reject_row(row: FileRow, error: Exception, path: str) -> FileRow | None:
    """Return the row of the file at `path` with why it cannot be used, None where it is gone meanwhile.

    StepError where disk or machine failed. To a decoder a disk that goes away amid a file is a file that ends there, so
    the file is read again, all of it.
    """
    raise_if_system_fault(error, to_text(path))
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                while file.read(2**20):
                    pass
    except FileNotFoundError:
        return None
    except OSError as again:
        raise_if_system_fault(again, to_text(path))
    return {**row, "error": reject_reason(error)}


def reject_reason(error: Exception) -> str:
    """Return the one line that REJECTS keeps: a BadFile's own message, else where in the code it went wrong."""
    if isinstance(error, UnusableFile):
        return escape_control_chars(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"expected a file that can be read and written, found: {error.strerror}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    return escape_control_chars(f"unexpected {type(error).__name__}: {error} ({place})")
