"""Measure one Spark session and a pool of plain processes on the same files, in turn.

Started by bench_batch.py. Argument: a plan as JSON. The times are written, as JSON, to the plan's `results`.
"""

import argparse
import functools
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from jobs.lake import rejects
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.progress import StepResult
from jobs.spark import file_tasks, session
from jobs.steps import catalog, compress, extract

BIT_RATE = 64_000

log = logging.getLogger("bench")


class Clocked:
    """A function of a row that reports the seconds of each call to `add`."""

    def __init__(self, function: file_tasks.FileFunction, add: Callable[[float], Any]) -> None:
        self.function, self.add = function, add

    def __call__(self, row: file_tasks.TaskRow) -> file_tasks.TaskRow:
        begun = time.perf_counter()
        result = self.function(row)
        self.add(time.perf_counter() - begun)
        assert result is not None
        return result


def compress_and_extract(row: file_tasks.TaskRow, scratch: str) -> file_tasks.TaskRow:
    """Compress and extract one file, to warm a process up: everything is imported and compiled then."""
    root = tempfile.mkdtemp(dir=scratch)
    source = {"path": row["path"], "size": os.path.getsize(row["path"])}
    compressed = compress.compress_file(source, audio_root=root, bit_rate=BIT_RATE, in_place=False)
    assert compressed is not None
    result = extract.extract_file({**row, "audio_path": compressed["audio_path"]})
    shutil.rmtree(root)
    assert result is not None
    return result


class Pool:
    """The bare functions in plain processes, one per core, with everything imported and compiled."""

    def __init__(self, cores: int, row: file_tasks.TaskRow, scratch: str) -> None:
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(cores + 1)
        self._pool = context.Pool(cores, _prepare, (row, scratch, ready))
        ready.wait()

    def run(
        self, function: file_tasks.FileFunction, rows: list[file_tasks.TaskRow], sizes: list[int]
    ) -> dict[str, float]:
        """Apply the function to every row, largest first; return elapsed seconds and the sum of all calls."""
        order = sorted(range(len(rows)), key=lambda i: -sizes[i])
        begun = time.perf_counter()
        busy = sum(self._pool.imap_unordered(functools.partial(_seconds, function), [rows[i] for i in order]))
        return {"seconds": time.perf_counter() - begun, "busy": busy}

    def close(self) -> None:
        """End the processes."""
        self._pool.terminate()
        self._pool.join()


def _prepare(row: file_tasks.TaskRow, scratch: str, ready: Any) -> None:
    compress_and_extract(row, scratch)
    ready.wait()


def _seconds(function: file_tasks.FileFunction, row: file_tasks.TaskRow) -> float:
    took: list[float] = []
    result = Clocked(function, took.append)(row)
    if result.get("error"):
        raise RuntimeError(
            f"expected usable files for the measurement, found {result['path']}: {result['error']}"
        )
    return took[0]


class Spark:
    """The steps themselves, in this process, on one session."""

    def __init__(self, master: str, rows: list[file_tasks.TaskRow], scratch: str) -> None:
        self.master, self._rows, self._scratch = master, rows, scratch

    def warm_up(self) -> None:
        """Run a task on every worker.

        Spark ends workers that are idle for a minute, and a new one imports for seconds.
        """
        shutil.rmtree(Path(self._scratch, "warm-up"), ignore_errors=True)
        function = functools.partial(compress_and_extract, scratch=self._scratch)
        lake, sizes = Lake(Path(self._scratch, "warm-up")), [1] * len(self._rows)
        file_tasks.map_files(
            self.master,
            lake,
            self._rows,
            sizes,
            name="warm-up",
            function=function,
            table=FEATURES,
            results=extract._RESULTS,
            task_files=1,
        )

    def run(
        self, step: Callable[[argparse.Namespace], StepResult], arguments: argparse.Namespace
    ) -> dict[str, float]:
        """Run a step; return its elapsed seconds, those of its parts, and the sum of its function's calls."""
        self.warm_up()
        with _clocks(self.master) as times:
            begun = time.perf_counter()
            counts = step(arguments).counts
            times["seconds"] = time.perf_counter() - begun
        if counts["rejected"]:
            raise RuntimeError(
                f"expected usable files for the measurement, found {counts['rejected']} rejected"
            )
        return {"plan": times["map_begun"] - begun, **times}


@contextmanager
def _clocks(master: str) -> Iterator[dict[str, float]]:
    """Time a step: the map over files (`map`), its function (`busy`), its commits (`commit`)."""
    times: dict[str, float] = {"commit": 0.0}
    run = file_tasks.map_files

    def clocked_run(*arguments: Any, function: file_tasks.FileFunction, **named: Any) -> None:
        busy = session.get_session(master).sparkContext.accumulator(0.0)
        times["map_begun"] = time.perf_counter()
        run(*arguments, function=Clocked(function, busy.add), **named)
        times.update(map=time.perf_counter() - times["map_begun"], busy=busy.value)

    def clocked(commit: Callable[..., None]) -> Callable[..., None]:
        def clocked_commit(*arguments: Any) -> None:
            begun = time.perf_counter()
            commit(*arguments)
            times["commit"] += time.perf_counter() - begun

        return clocked_commit

    with (
        mock.patch.object(file_tasks, "map_files", clocked_run),
        mock.patch.object(Lake, "commit", clocked(Lake.commit)),
        mock.patch.object(Lake, "commit_arrow", clocked(Lake.commit_arrow)),
    ):
        yield times


class Rounds:
    """Rounds of work over folders, each on a new lake, so that no step finds earlier results."""

    def __init__(self, spark: Spark, pool: Pool, scratch: str) -> None:
        self._spark, self._pool, self._scratch = spark, pool, Path(scratch)

    def pair(self, folder: str, number: int) -> dict[str, Any]:
        """Measure each step on Spark and on the bare pool; which is first alternates from round to round."""
        arguments = self._arguments(folder, f"lake-{number}")
        lake, results = Lake(Path(arguments.lake)), {}
        for step in (compress, extract):
            turns = {
                "spark": lambda step=step: self._spark.run(step.main, arguments),
                "bare": lambda step=step: self._bare(step, folder, lake),
            }
            if step is extract:
                catalog.main(arguments)
            order = list(turns) if number % 2 == 0 else list(reversed(turns))
            results[step.__name__.removeprefix("jobs.steps.")] = {
                name: _log_times(name, step, turns[name]) for name in order
            }
        return {**results, **_size(lake)}

    def spark_only(self, folder: str, name: str) -> dict[str, Any]:
        """Measure each step on Spark."""
        arguments = self._arguments(folder, f"lake-part-{name}")
        first = _log_times("spark", compress, lambda: self._spark.run(compress.main, arguments))
        catalog.main(arguments)
        second = _log_times("spark", extract, lambda: self._spark.run(extract.main, arguments))
        return {"compress": first, "extract": second, **_size(Lake(Path(arguments.lake)))}

    def _bare(self, step: Any, folder: str, lake: Lake) -> dict[str, float]:
        if step is extract:
            rows = lake.read_arrow(TRACKS, *extract._TRACK_COLUMNS).to_pylist()
            return self._pool.run(
                extract.extract_file, rows, [row["duration_s"] * row["bit_rate"] for row in rows]
            )
        rows = [
            {**file, **rejects.new_attempt(file["path"], {})}
            for file in scan.scan(folder, self._scratch / "no lake").files
        ]
        with tempfile.TemporaryDirectory(dir=self._scratch) as root:
            function = functools.partial(
                compress.compress_file, audio_root=root, bit_rate=BIT_RATE, in_place=False
            )
            return self._pool.run(function, rows, [row["size"] for row in rows])

    def _arguments(self, folder: str, lake: str) -> argparse.Namespace:
        return argparse.Namespace(
            library=folder,
            bitrate=str(BIT_RATE),
            in_place=False,
            shard="1/1",
            metadata=None,
            skip_invalid=False,
            fma_ids=False,
            codec=None,
            no_mongo=True,
            retry_rejected=False,
            lake=str(self._scratch / lake),
            master=self._spark.master,
        )


def _size(lake: Lake) -> dict[str, float]:
    durations = lake.read_arrow(TRACKS, "duration_s")["duration_s"].to_pylist()
    return {"tracks": len(durations), "audio_s": sum(durations)}


def _log_times(name: str, step: Any, work: Callable[[], dict[str, float]]) -> dict[str, float]:
    times = work()
    log.info("  %-8s %-5s %6.1f s", step.__name__.removeprefix("jobs.steps."), name, times["seconds"])
    return times


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan's times: the cold starts, the paired rounds, the growth."""
    cores, scratch, folder = plan["cores"], plan["scratch"], plan["folder"]
    session.redirect_stderr_to(Path(scratch, "spark.log"))
    rows = [{"path": file["path"]} for file in _smallest(folder, 2 * cores)]
    cold = {"Python, imports": time.time() - psutil.Process().create_time()}
    spark = Spark(f"local[{cores}]", rows, scratch)
    cold["Spark's session"] = _clock(lambda: session.get_session(spark.master))
    cold["Spark's first task on every worker"] = _clock(spark.warm_up)
    pool: list[Pool] = []
    cold["the bare pool, first file"] = _clock(lambda: pool.append(Pool(cores, rows[0], scratch)))
    rounds = Rounds(spark, pool[0], scratch)
    pairs = [rounds.pair(folder, number) for number in range(plan["rounds"])]
    growth = [rounds.spark_only(part, str(number)) for number, part in enumerate(plan["growth"])]
    pool[0].close()
    return {"cold": cold, "growth": growth, "pairs": pairs}


def _smallest(folder: str, count: int) -> list[scan.ScannedFile]:
    return sorted(scan.scan(folder, Path(folder, "no lake")).files, key=lambda file: file["size"])[:count]


def _clock(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Run the plan of the command line."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    log.setLevel(logging.INFO)
    plan = json.loads(sys.argv[1])
    results = run(plan)
    Path(plan["results"]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
