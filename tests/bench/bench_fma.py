"""Measure import and export of FMA's features.csv at full size: `python -m tests.bench.bench_fma [--tracks
N]`.

Writes a synthetic file with the data set's layout and size (106,574 tracks × 518; FMA's file has 951 MB),
imports it into an empty lake, exports it and compares every value. Each step runs in a process of its own.
"""

import argparse
import csv
import os
import platform
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv

from jobs.fma import features_csv
from jobs.lake.feature_columns import FMA_COLUMNS

ROOT = Path(__file__).resolve().parents[2]

_BLOCK_TRACKS = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=106_574, help="tracks to write (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder for 4 GB of files (default: a temporary one)")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(
        f"{cores} cores, {platform.platform()}, Python {platform.python_version()}, pyarrow {pa.__version__}"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        write(folder / "features.csv", arguments.tracks)
        size = (folder / "features.csv").stat().st_size
        print(f"features.csv: {arguments.tracks:,} tracks × {len(FMA_COLUMNS)}, {size / 1e6:,.0f} MB\n")
        lake = ["--lake", str(folder / "lake")]
        step("import", ["fma", "import", "--features", str(folder / "features.csv"), *lake])
        step("export", ["fma", "export", "--out", str(folder / "again.csv"), *lake])
        compare(folder / "features.csv", folder / "again.csv")


def blocks(tracks: int) -> "list[tuple[int, int]]":
    return [(start, min(start + _BLOCK_TRACKS, tracks)) for start in range(0, tracks, _BLOCK_TRACKS)]


def write(path: Path, tracks: int) -> None:
    """Write numbers of all magnitudes with ten digits each, as in FMA's file."""
    random = np.random.default_rng(7)
    scale = 10.0 ** random.integers(-3, 4, len(FMA_COLUMNS))
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(features_csv.header())
        for start, end in blocks(tracks):
            numbers = (random.normal(size=(end - start, len(FMA_COLUMNS))) * scale).astype(np.float32)
            text = (",".join(f"{x:.10e}" for x in row) for row in numbers.tolist())
            rows = (f"{start + i + 2},{numbers}" for i, numbers in enumerate(text))
            file.write("\n".join(rows) + "\n")


def step(name: str, command: list[str]) -> None:
    """Run a command; print its time and the peak memory of all its processes."""
    started = time.monotonic()
    peak = 0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(
            [sys.executable, "-m", "jobs", *command], cwd=ROOT, stdout=output, stderr=output
        )
        while process.poll() is None:
            peak = max(peak, memory(process))
            time.sleep(0.1)
        output.seek(0)
        print(
            f"{name}: {time.monotonic() - started:.0f} s, at most {peak / 2**30:.2f} GiB\n{output.read()}",
            flush=True,
        )
    if process.returncode:
        sys.exit(process.returncode)


def memory(process: psutil.Process) -> int:
    """Return the memory of a process and its descendants in bytes, shared pages divided among them (PSS)."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += member.memory_full_info().pss
    return total


def compare(original: Path, exported: Path) -> None:
    """Compare every number of two files as float32."""
    compared = 0
    with reader(original) as first, reader(exported) as second:
        for batch in first:
            rows = second_rows(second, len(batch))
            for column in batch.schema.names:
                np.testing.assert_array_equal(np.asarray(batch[column]), np.asarray(rows[column]))
            compared += len(batch) * (batch.num_columns - 1)
    print(f"round trip: {compared:,} numbers compared, all equal")


_rest: dict[int, pa.Table] = {}


def second_rows(stream: pyarrow.csv.CSVStreamingReader, count: int) -> pa.Table:
    """Return the stream's next `count` rows; the blocks of the two files differ."""
    rows = _rest.pop(id(stream), None)
    while rows is None or len(rows) < count:
        more = pa.Table.from_batches([stream.read_next_batch()])
        rows = more if rows is None else pa.concat_tables([rows, more])
    _rest[id(stream)] = rows.slice(count)
    return rows.slice(0, count)


def reader(path: Path) -> pyarrow.csv.CSVStreamingReader:
    names = ["track_id", *FMA_COLUMNS]
    kinds = {"track_id": pa.int64(), **dict.fromkeys(FMA_COLUMNS, pa.float32())}
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(
            skip_rows=features_csv.HEADER_ROWS, column_names=names, block_size=2**22
        ),
        convert_options=pyarrow.csv.ConvertOptions(column_types=kinds),
    )


if __name__ == "__main__":
    main()
