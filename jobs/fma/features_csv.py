"""FMA's CSV files of features: their header layouts, and a reader in batches.

`features.csv` begins with four header rows (feature, statistics, number, then `track_id`), `echonest.csv`
with three and one (`echonest`, its groups, its names, then `track_id`); pandas reads them with `index_col=0,
header=[0, 1, 2]`.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from jobs.errors import InputError
from jobs.lake.feature_columns import ECHONEST_COLUMNS, ECHONEST_FIELDS, FMA_COLUMNS, FMA_SIZES, STATISTICS
from jobs.paths import escape_control_chars

HEADER_ROWS = 4

# Bytes per batch: 500 rows of features.csv, which are 10 MB once parsed.
_BLOCK_BYTES = 4 * 2**20


def _features_csv_names() -> list[tuple[str, str, str]]:
    """Return the three header names of each column of features.csv, in the order of FMA_COLUMNS."""
    names = []
    for feature, size in FMA_SIZES.items():
        for statistic in STATISTICS:
            for number in range(1, size + 1):
                names.append((feature, statistic, f"{number:02d}"))
    return names


_FEATURE_NAMES = _features_csv_names()
_ECHONEST_NAMES = [("echonest", group, name) for group, name in ECHONEST_FIELDS]


@dataclass(frozen=True)
class Layout:
    """One file's layout: its feature_version, and the column of FEATURES for each triple of header names."""

    version: str
    columns: dict[tuple[str, str, str], str]


FEATURES_CSV = Layout("fma-librosa", dict(zip(_FEATURE_NAMES, FMA_COLUMNS, strict=True)))
ECHONEST_CSV = Layout("fma-echonest", dict(zip(_ECHONEST_NAMES, ECHONEST_COLUMNS, strict=True)))


def header() -> list[list[str]]:
    """Return the header rows of features.csv."""
    features, statistics, numbers = zip(*_FEATURE_NAMES, strict=True)
    return [
        ["feature", *features],
        ["statistics", *statistics],
        ["number", *numbers],
        ["track_id", *[""] * len(FMA_COLUMNS)],
    ]


def read_header(path: Path, layout: Layout) -> list[tuple[str, str, str]]:
    """Return the three header names of each column after the first.

    Raises
    ------
    InputError
        The file has no such header, or one of the layout's columns is missing.
    """
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(file)
        rows = [next(reader, []) for _ in range(HEADER_ROWS)]
    if not rows[-1] or rows[-1][0] != "track_id" or len({len(row) for row in rows}) != 1:
        raise InputError(
            f"{path} line {HEADER_ROWS}: expected FMA's header of {HEADER_ROWS} rows, the last one "
            f"beginning with track_id, found {','.join(rows[-1][:3])[:60]!r}"
        )
    names = list(zip(rows[0][1:], rows[1][1:], rows[2][1:], strict=True))
    missing = [name for name in layout.columns if name not in set(names)]
    if missing:
        raise InputError(
            f"{path} line 1: expected the column {'/'.join(missing[0])}, found none ({len(missing)} of "
            f"{len(layout.columns)} missing)"
        )
    return names


class FeatureFile:
    """A CSV file of features that is read once, in batches.

    Attributes:
        track_ids: ids of the accepted records, in order; complete after `batches()`.
        faults: REJECTS' entries of records with gaps, by `path#track_id`; complete after `batches()`.
        n_skipped: invalid records that were skipped; complete after `batches()`.
        bytes_read: progress of the reading.
    """

    def __init__(self, path: Path, layout: Layout, *, skip_invalid: bool) -> None:
        """Read the header; raise InputError if it is not the layout's."""
        self.path = path
        self.layout = layout
        self.skip_invalid = skip_invalid
        self.names = read_header(path, layout)
        # A dict, because it keeps the order and finds an id at once.
        self.track_ids: dict[str, None] = {}
        self.faults: dict[str, tuple[str, str]] = {}
        self.n_skipped = 0
        self.bytes_read = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield track_id and the layout's columns, float32.

        Raises
        ------
        InputError
            Naming file and line of an invalid record, unless `skip_invalid`.
        """
        # Position in the file -> column of FEATURES; Arrow knows the file's columns as c0, c1, ...
        positions = {}
        for i, name in enumerate(self.names):
            if name in self.layout.columns:
                positions[f"c{i}"] = self.layout.columns[name]
        try:
            with self.path.open("rb") as file:
                for batch in self._reader(file, list(positions)):
                    self.bytes_read = file.tell()
                    yield self._accepted(batch, positions)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{self.path} {_with_line(str(error))}; --skip-invalid imports the other records"
            ) from error

    def _reader(self, file: IO[bytes], columns: list[str]) -> pyarrow.csv.CSVStreamingReader:
        column_types: dict[str, pa.DataType] = {
            "track_id": pa.int64(),
            **dict.fromkeys(columns, pa.float32()),
        }
        if self.skip_invalid:  # as text, so that one wrong cell does not end the reading
            column_types = dict.fromkeys(["track_id", *columns], pa.string())
        return pyarrow.csv.open_csv(
            file,
            # One thread: with several, Arrow's errors have no line number.
            read_options=pyarrow.csv.ReadOptions(
                skip_rows=HEADER_ROWS,
                column_names=["track_id", *(f"c{i}" for i in range(len(self.names)))],
                block_size=_BLOCK_BYTES,
                use_threads=False,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                invalid_row_handler=self._skip_row if self.skip_invalid else None
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=["track_id", *columns], column_types=column_types, strings_can_be_null=True
            ),
        )

    def _skip_row(self, _: Any) -> str:
        self.n_skipped += 1
        return "skip"

    def _accepted(self, batch: pa.RecordBatch, positions: dict[str, str]) -> pa.RecordBatch:
        """Return the batch with the names of FEATURES, without records that have gaps or a repeated id."""
        track_ids = [str(number) for number in batch.column("track_id").to_pylist()]
        values = {name: _to_float32(batch.column(position)) for position, name in positions.items()}
        is_complete = np.logical_and.reduce([np.isfinite(column) for column in values.values()])
        is_accepted = []
        for track_id, complete in zip(track_ids, is_complete, strict=True):
            is_accepted.append(self._accept_row(track_id, is_complete=bool(complete)))
        arrays = {"track_id": pa.array(track_ids)}
        arrays |= {name: pa.array(column) for name, column in values.items()}
        return pa.RecordBatch.from_pydict(arrays).filter(pa.array(is_accepted, pa.bool_()))

    def _accept_row(self, track_id: str, *, is_complete: bool) -> bool:
        if not track_id.isdecimal() or track_id in self.track_ids:
            if not self.skip_invalid:
                line = HEADER_ROWS + 1 + len(self.track_ids) + len(self.faults)
                raise InputError(
                    f"{self.path} line {line}: expected each track_id once, a number, found {track_id} "
                    "again; --skip-invalid imports the other records"
                )
            self.n_skipped += 1
            return False
        if not is_complete:
            error = f"expected {len(self.layout.columns)} numbers, found gaps or infinities"
            self.faults[f"{self.path}#{track_id}"] = ("", error)
            return False
        self.track_ids[track_id] = None
        return True


def _to_float32(column: pa.Array) -> np.ndarray:
    """Return a column as float32, NaN where a cell is empty or not a number."""
    if pa.types.is_string(column.type):
        return np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), dtype=np.float32)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)


def _with_line(error: str) -> str:
    """Return Arrow's message with its `Row #7` as `line 7`."""
    text = escape_control_chars(error.split("\n")[0])
    line = text.partition("Row #")[2].partition(":")[0]
    if not line:
        return f"line unknown: {text[:160]}"
    return f"line {line}: {text.rpartition(f'Row #{line}: ')[2][:160]}"
