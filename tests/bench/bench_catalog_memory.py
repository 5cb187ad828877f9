"""Memory of the processes that hold a model version's item catalog: serving, stream, workers of `recommend`.

    .venv/bin/python -m tests.bench.bench_catalog_memory --sizes 100000,1000000

Writes TRACKS and EMBEDDINGS of made tracks (96 dimensions, 2 √n clusters), then starts two processes that
load the catalog and search 300 tracks. Per process: PSS (pages that both map count half) and private memory,
less what the process had before the catalog, in MiB and per track; and the seconds of loading.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.lake.table import Table
from jobs.model.embedding import l2_normalize

DIMENSIONS, ROWS = 96, 2_500

# Loads the catalog, says what it costs, and waits, so that both processes are there while one is measured.
PROCESS = """
import gc, json, sys, time
from pathlib import Path
import numpy as np, psutil
from jobs.lake.storage import Lake
from jobs.recommender import item_catalog

process = psutil.Process()
before = process.memory_full_info()
started = time.process_time()
catalog = item_catalog.load(Lake(Path(sys.argv[1])), "1")
loaded = time.process_time() - started
for track in np.linspace(0, len(catalog.ids) - 1, 300).astype(int).tolist():
    catalog.nearest(track)
gc.collect()
print("ready", flush=True)
sys.stdin.readline()
after = process.memory_full_info()
figures = {"pss": after.pss - before.pss, "private": after.uss - before.uss, "seconds": loaded}
print(json.dumps(figures), flush=True)
sys.stdin.readline()
"""


def write(lake: Lake, table: Table, batches: Iterator[dict[str, object]]) -> None:
    """Write a table; columns that a batch does not name are null."""
    schema = table.arrow_schema()

    def complete() -> Iterator[pa.RecordBatch]:
        for columns in batches:
            n_rows = len(columns["track_id"])  # type: ignore[arg-type]
            arrays = [pa.array(columns.get(field.name, [None] * n_rows), field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    lake.commit_arrow(table, complete())


def write_lake(lake: Lake, n_tracks: int) -> None:
    """Write `n_tracks` tracks around the centers of 2 √n clusters."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((int(2 * np.sqrt(n_tracks)), DIMENSIONS)).astype(np.float32)
    blocks = [range(start, min(start + ROWS, n_tracks)) for start in range(0, n_tracks, ROWS)]

    def tracks() -> Iterator[dict[str, object]]:
        for block in blocks:
            yield {
                "track_id": [f"{track:07d}" for track in block],
                "title": [f"A song of {track} evenings" for track in block],
                "artist": [f"Artist {track // 7}" for track in block],
                "recording_id": [f"{track:07d}" for track in block],
            }

    def embeddings() -> Iterator[dict[str, object]]:
        for block in blocks:
            clusters = rng.integers(len(centers), size=len(block))
            noise = rng.standard_normal((len(block), DIMENSIONS)).astype(np.float32)
            yield {
                "model_version": ["1"] * len(block),
                "track_id": [f"{track:07d}" for track in block],
                "embedding": list(l2_normalize(centers[clusters] + noise)),
                "cluster": clusters,
            }

    write(lake, TRACKS, tracks())
    write(lake, EMBEDDINGS, embeddings())


def measure(folder: Path, n_tracks: int) -> None:
    """Print the line of one size."""
    lake = Lake(folder)
    write_lake(lake, n_tracks)
    command = [sys.executable, "-c", PROCESS, str(folder)]
    processes = []
    for _ in range(2):  # one after the other: the first writes the file of vectors, if there is one
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        processes.append(process)
    rows = []
    for process in processes:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        rows.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate("\n")
    pss, private, seconds = (rows[-1][name] for name in ("pss", "private", "seconds"))
    print(
        f"{n_tracks:9,} {pss / 2**20:9,.0f} {pss / n_tracks:9,.0f} {private / 2**20:9,.0f} "
        f"{private / n_tracks:9,.0f} {rows[0]['seconds']:9.1f} {seconds:9.1f}",
        flush=True,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="100000,1000000", help="numbers of tracks")
    arguments = parser.parse_args()
    names = ("tracks", "PSS MiB", "B/track", "private", "B/track", "first s", "next s")
    print(" ".join(f"{name:>9}" for name in names))
    for size in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="segue-catalog-") as folder:
            measure(Path(folder), size)


if __name__ == "__main__":
    main()
