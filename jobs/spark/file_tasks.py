"""Apply a plain function to files on Spark's Python workers: small tasks of equal size, progress, crash
isolation.

The function takes one row as a dictionary and returns one, or None if the file is gone. A decoder's
segmentation fault kills the whole Python worker: its job is then run again with each row in a process of its
own, so that only the file that crashes is rejected. A fault of disk or machine (StepError) ends the run after
the job that met it; finished rows are staged.
"""

import logging
import multiprocessing
import os
import stat
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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
from jobs.lake.storage import Lake
from jobs.lake.table import Table
from jobs.paths import escape_control_chars, to_text
from jobs.spark import session

log = logging.getLogger("segue")

TaskRow = dict[str, Any]
FileFunction = Callable[[TaskRow], TaskRow | None]

# A task: small enough that the last one to end does not leave the other cores idle, large enough (about a
# second of decoding) that Spark's 10 to 30 ms per task do not count.
TASK_BYTES = 32 * 2**20
TASK_FILES = 8

# Seconds for one file in a process of its own: far above any real decode.
ISOLATED_LIMIT_S = 1800

# Tasks of one Spark job, per core: a kill costs at most one job's work.
_TASKS_PER_JOB = 32

# Java exceptions behind a failed job whose Python worker has died: its pipe ended, or broke while rows were
# written to it. A function that raises is a PythonException instead.
_WORKER_DEATH_CLASSES = frozenset({"java.io.EOFException", "java.net.SocketException"})


def assign_tasks(
    sizes: list[int], *, slots: int = 1, task_bytes: int = TASK_BYTES, task_files: int = TASK_FILES
) -> list[int]:
    """Return the task number of each file.

    The largest files come first, so that none starts last, and tasks get smaller towards the end, so that all
    slots finish at about the same time (guided self-scheduling: Polychronopoulos and Kuck, 1987).

    Parameters
    ----------
    sizes
        The files' sizes in bytes.
    slots
        Tasks that run at the same time.
    task_bytes
        Maximum bytes of a task with more than one file.
    task_files
        Maximum files of a task.
    """
    tasks = [0] * len(sizes)
    task = -1
    task_load = task_bytes + 1  # the first file begins a task
    files_in_task = 0
    max_files = task_files
    min_files = max(1, task_files // 8)  # a task per file would cost more than it saves
    largest_first = sorted(range(len(sizes)), key=lambda position: -sizes[position])
    for n_assigned, position in enumerate(largest_first):
        if files_in_task >= max_files or task_load + sizes[position] > task_bytes:
            task += 1
            task_load = 0
            files_in_task = 0
            fair_share = (len(sizes) - n_assigned) // (2 * slots)
            max_files = min(task_files, max(min_files, fair_share))
        tasks[position] = task
        task_load += sizes[position]
        files_in_task += 1
    return tasks


@dataclass(frozen=True, kw_only=True)
class FileTask:
    """One function over files and where its results go.

    Attributes
    ----------
    table
        The table whose parts the results become.
    results
        The columns of the rows, going in and coming out.
    done
        Counts finished rows.
    fault
        The text of the first StepError on a worker, "" as long as there is none.
    """

    lake: Lake
    function: FileFunction
    table: Table
    results: Table
    done: "Accumulator[int]"
    fault: "Accumulator[str]"

    def run_job(self, frame: DataFrame) -> None:
        """Stage one job's results; after a worker's crash, with each row in a process of its own."""
        part = f"{time.time_ns()}"
        done_before = self.done.value
        try:
            self._stage(part, frame, self.function)
        except (PySparkException, Py4JError) as error:
            if not is_worker_crash(error):
                raise
            log.warning(
                "a file has crashed its decoder: each of this job's %d files runs in a process of its own",
                frame.count(),
            )
            self.done.value = done_before
            self._stage(part, frame, partial(run_isolated, self.function))

    def _stage(self, part: str, frame: DataFrame, function: FileFunction) -> None:
        mapper = batch_mapper(function, self.results, self.done, self.fault)
        mapped = frame.mapInArrow(mapper, self.results.spark_schema())
        self.lake.stage(self.table, part, mapped)


def map_files(
    master: str,
    lake: Lake,
    rows: list[TaskRow],
    sizes: list[int],
    *,
    name: str,
    function: FileFunction,
    table: Table,
    results: Table,
    task_files: int = TASK_FILES,
) -> None:
    """Apply `function` to each row on the workers and stage its results for the table.

    The work is cut into Spark jobs, each of which is staged when it is done.

    Parameters
    ----------
    master
        Spark master.
    lake
        The lake that has the table.
    rows
        The function's arguments.
    sizes
        The files' sizes in bytes, for equal tasks.
    name
        What the progress display shows.
    function
        Applied to each row; it must be picklable.
    table
        The table whose parts the results become.
    results
        The columns of the rows, going in and coming out.
    task_files
        Maximum files of a Spark task.

    Raises
    ------
    StepError
        A fault of disk or machine, after the job that met it.
    """
    if not rows:
        return
    context = session.get_session(master).sparkContext
    file_task = FileTask(
        lake=lake,
        function=function,
        table=table,
        results=results,
        done=context.accumulator(0),
        fault=context.accumulator("", _FirstMessage()),
    )
    slots = context.defaultParallelism
    rows_per_job = slots * _TASKS_PER_JOB * task_files
    with progress.watch(name, len(rows), lambda: file_task.done.value):
        for start in range(0, len(rows), rows_per_job):
            end = start + rows_per_job
            tasks = assign_tasks(sizes[start:end], slots=slots, task_files=task_files)
            file_task.run_job(_job_frame(master, rows[start:end], tasks, results))
            if file_task.fault.value:
                raise StepError(file_task.fault.value)


def _job_frame(master: str, rows: list[TaskRow], tasks: list[int], results: Table) -> DataFrame:
    """Return the rows of one job, one partition per task."""
    schema = results.arrow_schema().append(pa.field("task", pa.int32()))
    rows_with_task = [{**row, "task": task} for row, task in zip(rows, tasks, strict=True)]
    frame = session.get_session(master).createDataFrame(pa.Table.from_pylist(rows_with_task, schema=schema))
    return frame.repartitionById(max(tasks) + 1, F.col("task"))


class _FirstMessage(AccumulatorParam[str]):
    """Stores the first non-empty text that a worker adds."""

    def zero(self, value: str) -> str:
        return ""

    def addInPlace(self, value1: str, value2: str) -> str:  # noqa: N802 - Spark's name
        return value1 or value2


def is_worker_crash(error: Exception) -> bool:
    """Return whether a Spark job failed because a Python worker died, not because its function raised."""
    cause = getattr(error, "java_exception", None)
    while cause is not None:
        if cause.getClass().getName() in _WORKER_DEATH_CLASSES:
            return True
        cause = cause.getCause()
    return False


def batch_mapper(
    function: FileFunction, results: Table, done: "Accumulator[int]", fault: "Accumulator[str]"
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return `function` as `DataFrame.mapInArrow` takes it: it runs on a worker, row by row.

    Rows without a result are left out. A StepError ends its batch, since the task's other files are likely to
    meet it too.
    """
    schema = results.arrow_schema()

    def map_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            try:
                for row in batch.to_pylist():
                    result = function(row)
                    if result is not None:
                        rows.append(result)
                    done.add(1)
            except StepError as error:
                fault.add(str(error))
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    return map_batches


def run_isolated(function: FileFunction, row: TaskRow) -> TaskRow | None:
    """Return `function(row)`, computed in a process of its own; a crash or a hang becomes the row's `error`.

    Raises StepError if the function does.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_send_result, args=(function, row, sender))
    process.start()
    sender.close()
    try:
        if receiver.poll(ISOLATED_LIMIT_S):
            result: TaskRow | None | StepError = receiver.recv()
            if isinstance(result, StepError):
                raise result
            return result
        error = f"expected to be done within {ISOLATED_LIMIT_S} s, found still at work"
    except EOFError:
        process.join()
        error = f"expected audio that decodes, found that it crashes the decoder (exit {process.exitcode})"
    finally:
        process.kill()
        process.join()
    return {**row, "error": error}


def _send_result(function: FileFunction, row: TaskRow, sender: Connection) -> None:
    try:
        sender.send(function(row))
    except StepError as error:
        sender.send(error)


def reject_row(row: TaskRow, error: Exception, path: str) -> TaskRow | None:
    """Return the row of the file at `path` with the reason why it cannot be used, None if the file is gone.

    Raises StepError if disk or machine failed. A decoder takes a disk that fails amid a file for the file's
    end, so the whole file is read again to find out.
    """
    raise_if_system_fault(error, to_text(path))
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                while file.read(2**20):
                    pass
    except FileNotFoundError:
        return None
    except OSError as read_error:
        raise_if_system_fault(read_error, to_text(path))
    return {**row, "error": reject_reason(error)}


def reject_reason(error: Exception) -> str:
    """Return the one line that REJECTS stores.

    The message of an UnusableFile, else the error and its place in the code.
    """
    if isinstance(error, UnusableFile):
        return escape_control_chars(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"expected a file that can be read and written, found: {error.strerror}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    return escape_control_chars(f"unexpected {type(error).__name__}: {error} ({place})")
