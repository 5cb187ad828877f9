"""`segue fma import`: FMA's features.csv or echonest.csv into FEATURES, some rows at a time: a model without any audio."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from jobs import progress, settings
from jobs.errors import InputError
from jobs.fma.features_csv import ECHONEST_CSV, FEATURES_CSV, HEADER_ROWS, Layout, read_header
from jobs.lake import rejects
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.library import tracks_table
from jobs.paths import escape_control_chars
from jobs.progress import StepResult
from jobs.spark import session

# Bytes read at a time: 500 rows of features.csv, which are 10 MB once parsed.
_BLOCK_BYTES = 4 * 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="features.csv: becomes the version fma-librosa"
    )
    parser.add_argument(
        "--echonest", type=Path, metavar="FILE", help="echonest.csv: becomes the version fma-echonest"
    )
    parser.add_argument("--lenient", action="store_true", help="leave out broken records, and count them")
    settings.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Replace the versions' rows of FEATURES by the files', and add their tracks to TRACKS; return the counts."""
    given = [(arguments.features, FEATURES_CSV), (arguments.echonest, ECHONEST_CSV)]
    wanted = [(path.expanduser().absolute(), layout) for path, layout in given if path is not None]
    if not wanted:
        raise InputError("expected --features FILE or --echonest FILE, found neither")
    lake = open_lake(arguments)
    session.redirect_stderr_to(lake.root / "logs" / "spark.log")
    counts: dict[str, Any] = {}
    with lake.locked():
        for path, layout in wanted:
            if not path.is_file():
                raise InputError(f"expected a csv file, found none at {path}")
            csv = FeatureFile(path, layout, lenient=arguments.lenient)
            load_features(lake, csv)
            counts |= {
                f"rows of {layout.version}": len(csv.ids),
                "rejected": len(csv.faults),
                "left out": csv.left_out,
            }
        pa.default_memory_pool().release_unused()  # Spark needs it now
        tracks_table.update_tracks(arguments.master, lake)
        counts["tracks"] = lake.count_rows(TRACKS)
    return StepResult(counts)


class FeatureFile:
    """A csv file that is read once, in batches; what it had to say besides is known after that."""

    def __init__(self, path: Path, layout: Layout, *, lenient: bool) -> None:
        """InputError where the header is not the layout's."""
        self.path, self.layout, self.lenient = path, layout, lenient
        self.names = read_header(path, layout)
        self.ids: dict[str, None] = {}
        self.faults: dict[str, tuple[str, str]] = {}  # by path#id: what REJECTS keeps of records with gaps
        self.left_out = 0
        self.bytes_read = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield track_id and the layout's columns, float32; InputError with file and line at a broken record."""
        positions = {
            f"c{i}": self.layout.columns[name]
            for i, name in enumerate(self.names)
            if name in self.layout.columns
        }
        try:
            with self.path.open("rb") as file:
                for batch in self._reader(file, list(positions)):
                    self.bytes_read = file.tell()
                    yield self._checked(batch, positions)
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.path} {_line(str(error))}; --lenient takes the other records") from error

    def _reader(self, file: Any, columns: list[str]) -> pyarrow.csv.CSVStreamingReader:
        kind = pa.string() if self.lenient else pa.float32()
        return pyarrow.csv.open_csv(
            file,
            # One thread: only then does an error know its line.
            read_options=pyarrow.csv.ReadOptions(
                skip_rows=HEADER_ROWS,
                column_names=["track_id", *(f"c{i}" for i in range(len(self.names)))],
                block_size=_BLOCK_BYTES,
                use_threads=False,
            ),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=self._skip if self.lenient else None),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=["track_id", *columns],
                column_types={
                    "track_id": pa.string() if self.lenient else pa.int64(),
                    **dict.fromkeys(columns, kind),
                },
                strings_can_be_null=True,
            ),
        )

    def _skip(self, _: Any) -> str:
        self.left_out += 1
        return "skip"

    def _checked(self, batch: pa.RecordBatch, positions: dict[str, str]) -> pa.RecordBatch:
        """Return the batch by its columns' names, without records that have gaps or an id that was there before."""
        ids = [str(number) for number in batch.column("track_id").to_pylist()]
        values = {column: _numbers(batch.column(place)) for place, column in positions.items()}
        whole = np.logical_and.reduce([np.isfinite(column) for column in values.values()])
        taken = np.array(
            [self._accept_row(track_id, bool(fine)) for track_id, fine in zip(ids, whole, strict=True)], bool
        )
        named = {"track_id": pa.array(ids), **{name: pa.array(column) for name, column in values.items()}}
        return pa.RecordBatch.from_pydict(named).filter(pa.array(taken))

    def _accept_row(self, track_id: str, fine: bool) -> bool:
        if not track_id.isdecimal() or track_id in self.ids:
            if not self.lenient:
                line = HEADER_ROWS + 1 + len(self.ids) + len(self.faults)
                raise InputError(
                    f"{self.path} line {line}: expected each track_id once, a number, found {track_id} again; "
                    "--lenient takes the other records"
                )
            self.left_out += 1
            return False
        if not fine:
            error = f"expected {len(self.layout.columns)} numbers, found gaps or infinities"
            self.faults[f"{self.path}#{track_id}"] = ("", error)
            return False
        self.ids[track_id] = None
        return True


def _numbers(column: pa.Array) -> np.ndarray:
    """Return a column as float32, NaN where it is empty or no number."""
    if pa.types.is_string(column.type):
        return np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), dtype=np.float32)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)


def _line(error: str) -> str:
    """Return Arrow's message with its `Row #7` as `line 7`."""
    text = escape_control_chars(error.split("\n")[0])
    place = text.partition("Row #")[2].partition(":")[0]
    return (
        f"line {place or 'unknown'}: {text.rpartition(f'Row #{place}: ')[2][:160] if place else text[:160]}"
    )


def load_features(lake: Lake, csv: FeatureFile) -> None:
    """Make the version's rows of FEATURES those of the file, in bounded memory, and REJECTS its faults."""
    rows = lake.read_arrow(TRACKS, "track_id", "content_hash").to_pylist()
    hashes = {row["track_id"]: row["content_hash"] for row in rows}
    total = csv.path.stat().st_size
    with progress.watch(f"{csv.path.name}, MiB", total >> 20, lambda: csv.bytes_read >> 20):
        lake.commit_arrow(
            FEATURES, merge_features(lake.iter_batches(FEATURES), csv, lambda track_id: hashes.get(track_id))
        )
    rejects.replace_faults(lake, csv.faults, step=f"import {csv.layout.version}", untouched=frozenset())


def merge_features(
    old: Iterator[pa.RecordBatch], csv: FeatureFile, content_hash: Callable[[str], str | None]
) -> Iterator[pa.RecordBatch]:
    """Yield FEATURES' rows of the other versions, then the file's, with the content_hash that TRACKS has, or is to have."""
    for batch in old:
        yield batch.filter(pc.not_equal(batch.column("feature_version"), csv.layout.version))
    schema = FEATURES.arrow_schema()
    for batch in csv.batches():
        ids = batch.column("track_id").to_pylist()
        known = {
            "track_id": batch.column("track_id"),
            "feature_version": pa.array([csv.layout.version] * len(ids), pa.string()),
            "content_hash": pa.array(
                [content_hash(i) or tracks_table.no_audio_hash(i) for i in ids], pa.string()
            ),
            **{name: batch.column(name) for name in csv.layout.columns.values()},
        }
        arrays = [known[f.name] if f.name in known else pa.nulls(len(ids), f.type) for f in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
