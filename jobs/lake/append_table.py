"""A table partitioned by day, to which one process appends all the time: a versioned table plus files of
newer rows.

lake/PLAYS/current/day=2026-11-21  each day's rows
lake/PLAYS/live/<file>             rows that the stream has appended since; readers combine both

It may hold years of plays: a scan of all rows streams them, a query for some days reads only those.
"""

import bisect
import hashlib
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
from jobs.lake.parquet import DataFile, open_dataset, read_parquet
from jobs.lake.storage import Lake
from jobs.lake.table import Table

# So many appended files are merged into one; merged files once more.
_FILES_PER_MERGE = 100
_MERGE_LEVELS = 2

# `iter_partitioned`: rows per partition, and maximum partitions, each of which is an open file while all are
# written.
_ROWS_PER_PARTITION = 100_000
_MAX_PARTITIONS = 500
# Values sampled per partition, to find where the partitions begin.
_SAMPLES_PER_PARTITION = 100

# Prefix of the folders that hold these partitions.
_SCRATCH_PREFIX = ".pieces-"

# A reader begins again when its files were replaced meanwhile, at most so often.
_MAX_READ_ATTEMPTS = 10

AggregateResult = TypeVar("AggregateResult")


class AppendTable:
    """A table of the lake, partitioned by day, and the rows appended to it since its current version."""

    def __init__(self, lake: Lake, table: Table) -> None:
        self._lake = lake
        self._table = table
        # On this machine's disk, whatever the tables are on.
        self._scratch_parent = lake.root / table.name

    def append(self, name: str, rows: pa.Table) -> None:
        """Add rows beside the current version; they are on the disk when this returns.

        The same name again replaces the file. Only one process, the stream, may call this; it does not need
        the lake's lock. A hundred small files become one, since each costs the readers time.
        """
        self._lake.prepare(self._table)
        self._lake.files.write_live(self._table, f"0-{name}.parquet", rows)
        files = self.pending_files()
        for level in range(_MERGE_LEVELS):
            small_files = [file for file in files if file.name.startswith(f"{level}-")]
            if len(small_files) >= _FILES_PER_MERGE:
                with suppress(FileNotFoundError):  # `compact` took them meanwhile: nothing is left to merge
                    self._merge(small_files, level + 1)
                files = self.pending_files()

    def _merge(self, small_files: Sequence[DataFile], level: int) -> None:
        """Make one file of many.

        The merged file is written first: after a kill in between, rows are there twice, and readers
        deduplicate them.
        """
        names = "".join(file.name for file in small_files)
        merged = f"{level}-{hashlib.sha256(names.encode()).hexdigest()[:16]}.parquet"
        self._lake.files.write_live(self._table, merged, read_parquet(self._table, small_files))
        self._lake.files.delete_live(small_files)

    def pending_files(self) -> list[DataFile]:
        """Return the files of rows that were appended since the current version."""
        return list(self._lake.files.live_files(self._table))

    def read_pending(self, files: Sequence[DataFile]) -> pa.Table:
        """Return the rows of some appended files, without those that were merged or compacted meanwhile."""
        while True:
            existing = {file.name for file in self.pending_files()}
            try:
                return read_parquet(self._table, [file for file in files if file.name in existing])
            except FileNotFoundError:  # merged between the check and the read
                continue

    def partitions(self) -> list[str]:
        """Return the days of the current version, in order."""
        version = self._lake.version(self._table)
        return [] if version is None else version.days()

    def read_partitions(self, days: Collection[str]) -> pa.Table:
        """Return the rows of some days of the current version; other days are not read."""
        version = self._lake.version(self._table)
        files = [] if version is None else [file for day in sorted(days) for file in version.files_of(day)]
        return read_parquet(self._table, files)

    def read(self, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Return the rows of the current version, then the appended ones.

        A key may be there more than once.
        """
        return self._read_all(lambda files: read_parquet(self._table, files, columns, where))

    def max_by(self, value: str, by: Sequence[str], where: pc.Expression | None = None) -> pa.Table:
        """Return the maximum of the column `value` for each combination of the columns `by`, over all rows.

        The rows are streamed; only the result is in memory.
        """
        schema = self._table.arrow_schema()
        columns = [*by, value]

        def aggregate(files: Sequence[DataFile]) -> pa.Table:
            if not files:
                return schema.empty_table().select(columns)
            scan = acero.ScanNodeOptions(open_dataset(files, schema), columns=columns, filter=where)
            plan = [acero.Declaration("scan", scan)]
            if where is not None:  # the scan's own filter only skips whole row groups
                plan.append(acero.Declaration("filter", acero.FilterNodeOptions(where)))
            maximum = acero.AggregateNodeOptions([(value, "hash_max", None, value)], keys=list(by))
            plan.append(acero.Declaration("aggregate", maximum))
            return acero.Declaration.from_sequence(plan).to_table().select(columns)

        return self._read_all(aggregate)

    def iter_partitioned(self, by: str, where: pc.Expression) -> Iterator[pa.Table]:
        """Yield the matching rows in partitions, ordered by the text column `by`: all rows of a value are in
        one.

        The rows are read twice: to sample the values, and to write the partitions to temporary files.
        """
        schema = self._table.arrow_schema()
        self._scratch_parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch_parent, prefix=_SCRATCH_PREFIX) as scratch:
            folder = Path(scratch)
            self._read_all(lambda files: _write_partitions(open_dataset(files, schema), by, where, folder))
            for file in sorted(folder.iterdir()):
                yield pyarrow.parquet.read_table(file)
                file.unlink()

    def remove_scratch(self) -> None:
        """Delete what a killed `iter_partitioned` has left; no other process may be in one."""
        for folder in self._scratch_parent.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(folder)

    def _read_all(self, read: Callable[[Sequence[DataFile]], AggregateResult]) -> AggregateResult:
        """Return `read` of all files; it begins again if files were merged or compacted meanwhile."""
        for _ in range(_MAX_READ_ATTEMPTS):
            # Appended files first: rows compacted in between are then read twice, in the other order not at
            # all.
            appended = self.pending_files()
            try:
                version = self._lake.version(self._table)
                files: list[DataFile] = list(version.files()) if version else []
                return read(files + appended)
            except FileNotFoundError:
                continue
        raise StepError(
            f"expected the files of {self._table.name} to stay while they are read, "
            f"found them replaced {_MAX_READ_ATTEMPTS} times; re-run the same command"
        )

    def compact(self, days: Mapping[str, pa.Table], taken: Iterable[DataFile]) -> None:
        """Make a new version with these rows for these days, then delete the appended files that they
        include.

        The other days' files are those of the previous version.
        """
        with self._lake.files.new_version(self._table) as writer:
            for day in self.partitions():
                if day not in days:
                    writer.retain_day(day)
            for day, rows in days.items():
                writer.write_day(day, rows)
        self._lake.files.delete_live(taken)


def _write_partitions(rows: pyarrow.dataset.Dataset, by: str, where: pc.Expression, folder: Path) -> None:
    """Write the matching rows to `folder/<number>.parquet`, partitioned by ranges of the column `by`.

    Files of an earlier, interrupted attempt are deleted first.
    """
    bounds = _partition_bounds(rows, by, where)
    for file in folder.iterdir():
        file.unlink()
    with ExitStack() as stack:
        writers: dict[int, pyarrow.parquet.ParquetWriter] = {}
        for batch in rows.to_batches(filter=where):
            # The range of each distinct value, then of each row.
            values = batch[by].dictionary_encode()
            range_of_value = [bisect.bisect(bounds, value) for value in values.dictionary.to_pylist()]
            range_of_row = np.array(range_of_value, dtype=int)[values.indices.to_numpy()]
            for number in np.unique(range_of_row).tolist():
                if number not in writers:
                    path = folder / f"{number:06d}.parquet"
                    writers[number] = stack.enter_context(pyarrow.parquet.ParquetWriter(path, batch.schema))
                positions = np.flatnonzero(range_of_row == number)
                writers[number].write_batch(batch.take(pa.array(positions)))


def _partition_bounds(rows: pyarrow.dataset.Dataset, by: str, where: pc.Expression) -> list[str]:
    """Return the first value of every partition but the first, from a sample.

    All become about equally large.
    """
    rng = np.random.default_rng(0)
    sampled_fraction = _SAMPLES_PER_PARTITION / _ROWS_PER_PARTITION
    sample: list[str] = []
    row_count = 0
    for batch in rows.to_batches(columns=[by], filter=where):
        is_sampled = pa.array(rng.random(len(batch)) < sampled_fraction)
        sample += batch[by].filter(is_sampled).to_pylist()
        row_count += len(batch)
    n_partitions = min(row_count // _ROWS_PER_PARTITION + 1, _MAX_PARTITIONS, len(sample) or 1)
    sample.sort()
    return [sample[len(sample) * number // n_partitions] for number in range(1, n_partitions)]
