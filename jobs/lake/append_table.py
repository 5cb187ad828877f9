"""A table by day, to which one process adds all the time: versioned as every table, and files of rows added since.

lake/PLAYS/current/day=2026-11-21  each day's rows
lake/PLAYS/live/<file>             rows that the stream has added since; a reader takes both, and each key once

It may hold years: what looks at all of it streams, and what needs a part of it reads that part.
"""

import bisect
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet
from pyarrow import acero

from jobs.errors import StepError
from jobs.lake import storage
from jobs.lake.schemas import Table
from jobs.lake.storage import Lake

# Appended files that are merged into one.
_MERGED_AT = 100

# Rows of a piece; pieces at most, each a file that is open while all are written.
_ROWS_PER_PIECE, _PIECES = 100_000, 500

# How the folders of pieces begin.
_SCRATCH = ".pieces-"

AggregateResult = TypeVar("AggregateResult")


class AppendTable:
    """A lake's table by day with what was added since."""

    def __init__(self, lake: Lake, table: Table) -> None:
        self._lake, self._table, self._live = lake, table, lake.root / table.name / "live"

    def append(self, name: str, rows: pa.Table) -> None:
        """Add rows beside the current version, on the disk when this returns; the same name again replaces the file.

        Without the lake's lock, by one process: the stream. What many small files would cost the readers, merging them
        saves: a hundred become one.
        """
        self._lake.table_folder(self._table)
        self._live.mkdir(exist_ok=True)
        storage.write_parquet(self._live / f"0-{name}.parquet", rows)
        for level in range(2):
            small = sorted(self._live.glob(f"{level}-*.parquet"))
            if len(small) >= _MERGED_AT:
                with suppress(FileNotFoundError):  # taken into a version meanwhile: there is nothing to merge
                    self._merge(small, level + 1)

    def _merge(self, small: Sequence[Path], level: int) -> None:
        """Make one file of many. The larger one first: killed in between, rows are there twice, and a key counts once."""
        merged = hashlib.sha256("".join(file.name for file in small).encode()).hexdigest()[:16]
        storage.write_parquet(
            self._live / f"{level}-{merged}.parquet", storage.read_parquet(self._table, small)
        )
        for file in small:
            file.unlink(missing_ok=True)

    def pending_files(self) -> list[Path]:
        """Return the files of rows that were appended since the current version."""
        return sorted(self._live.glob("[!.]*.parquet"))

    def read_pending(self, files: Sequence[Path]) -> pa.Table:
        """Return the rows of some of the appended files; those that are gone by now were merged or taken."""
        while True:
            try:
                return storage.read_parquet(self._table, [file for file in files if file.exists()])
            except FileNotFoundError:  # merged between the look and the reading
                continue

    def partitions(self) -> list[str]:
        """Return the days of the current version, in order."""
        version = self._lake.version(self._table)
        return sorted(day.name.removeprefix("day=") for day in version.glob("day=*")) if version else []

    def read_partitions(self, days: Collection[str]) -> pa.Table:
        """Return the rows of some days of the current version; other days are not read."""
        version = self._lake.version(self._table)
        folders = [version / f"day={day}" for day in sorted(days)] if version else []
        return storage.read_parquet(self._table, storage.parquet_files(folders))

    def read(self, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Return rows of the current version, then of those appended since; a key may be there more than once."""
        return self._all(lambda files: storage.read_parquet(self._table, files, columns, where))

    def max_by(self, value: str, by: Sequence[str], where: pc.Expression | None = None) -> pa.Table:
        """Return for each combination of `by` the largest of a column, over all rows; held are the results alone."""
        schema, columns = self._table.arrow_schema(), [*by, value]

        def found(files: Sequence[Path]) -> pa.Table:
            if not files:
                return schema.empty_table().select(columns)
            scan = acero.ScanNodeOptions(_dataset(files, schema), columns=columns, filter=where)
            steps = [acero.Declaration("scan", scan)]
            if where is not None:  # the scan's own filter only leaves out whole groups of rows
                steps.append(acero.Declaration("filter", acero.FilterNodeOptions(where)))
            largest = acero.AggregateNodeOptions([(value, "hash_max", None, value)], keys=list(by))
            steps.append(acero.Declaration("aggregate", largest))
            return acero.Declaration.from_sequence(steps).to_table().select(columns)

        return self._all(found)

    def iter_partitioned(self, by: str, where: pc.Expression) -> Iterator[pa.Table]:
        """Yield the chosen rows in pieces, in the order of the text column `by`: of every value all rows in one piece.

        Read twice, the second time put down in files, each from one value of `by` to another.
        """
        with tempfile.TemporaryDirectory(dir=self._live.parent, prefix=_SCRATCH) as folder:
            self._all(
                lambda files: _part(_dataset(files, self._table.arrow_schema()), by, where, Path(folder))
            )
            for file in sorted(Path(folder).iterdir()):
                yield pyarrow.parquet.read_table(file)
                file.unlink()

    def remove_scratch(self) -> None:
        """Delete what a kill -9 amid `pieces` has left; nobody else may be at them."""
        for left in self._live.parent.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left)

    def _all(self, read: Callable[[Sequence[Path]], AggregateResult]) -> AggregateResult:
        for _ in range(10):  # files are merged, and taken into a version, meanwhile
            # Those first: taken into a version in between they are read twice, the other way round not at all.
            live = self.pending_files()
            try:
                return read([*storage.parquet_files([self._lake.version(self._table)]), *live])
            except FileNotFoundError:
                continue
        name = self._table.name
        raise StepError(f"expected the files of {name} to stay for a moment, found them replaced ten times")

    def compact(self, days: Mapping[str, pa.Table], taken: Iterable[Path]) -> None:
        """Make a new version with these days' rows; the other days stay, by links. Then the taken live files go."""
        old = self._lake.version(self._table)
        with self._lake.new_version(self._table) as folder:
            folder.mkdir()
            for day in sorted(old.glob("day=*")) if old else []:
                if day.name.removeprefix("day=") not in days:
                    shutil.copytree(day, folder / day.name, copy_function=os.link)
            for name, rows in days.items():
                (folder / f"day={name}").mkdir()
                pyarrow.parquet.write_table(rows, folder / f"day={name}" / "part-00000.parquet")
        for file in taken:
            file.unlink(missing_ok=True)


def _dataset(files: Sequence[Path], schema: pa.Schema) -> pyarrow.dataset.Dataset:
    return pyarrow.dataset.dataset([str(file) for file in files], schema=schema, format="parquet")


def _part(rows: pyarrow.dataset.Dataset, by: str, where: pc.Expression, folder: Path) -> None:
    """Put rows down in files by ranges of one of their columns, anew."""
    bounds = _bounds(rows, by, where)
    for file in folder.iterdir():
        file.unlink()
    with ExitStack() as stack:
        writers: dict[int, pyarrow.parquet.ParquetWriter] = {}
        for batch in rows.to_batches(filter=where):
            values = batch[by].dictionary_encode()
            ranges = [bisect.bisect(bounds, value) for value in values.dictionary.to_pylist()]
            pieces = np.array(ranges, dtype=int)[values.indices.to_numpy()]
            for piece in np.unique(pieces).tolist():
                if piece not in writers:
                    path = folder / f"{piece:06d}.parquet"
                    writers[piece] = stack.enter_context(pyarrow.parquet.ParquetWriter(path, batch.schema))
                writers[piece].write_batch(batch.take(pa.array(np.flatnonzero(pieces == piece))))


def _bounds(rows: pyarrow.dataset.Dataset, by: str, where: pc.Expression) -> list[str]:
    """Return where each piece but the first begins, by a sample of the column, so that all are about as large."""
    rng, share, sample, count = np.random.default_rng(0), 100 / _ROWS_PER_PIECE, list[str](), 0
    for batch in rows.to_batches(columns=[by], filter=where):
        sample += batch[by].filter(pa.array(rng.random(len(batch)) < share)).to_pylist()
        count += len(batch)
    pieces = min(count // _ROWS_PER_PIECE + 1, _PIECES, len(sample) or 1)
    sample.sort()
    return [sample[len(sample) * piece // pieces] for piece in range(1, pieces)]
