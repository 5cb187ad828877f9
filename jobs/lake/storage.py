"""The lake: versioned Parquet tables under one folder. No other module reads or writes a table.

lake/TRACKS/current -> v000002     what readers see; flipped by one rename
lake/TRACKS/v000001, v000002       whole tables: the one before stays for who is still reading it
lake/TRACKS/staged/<part>          finished parts of a step that is still at work; survive a kill
lake/PLAYS/...                     by day, and what was added since: jobs/lake/append_table.py
"""

import argparse
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

from jobs import settings
from jobs.errors import StepError
from jobs.lake import lake_version
from jobs.lake.schemas import Table
from jobs.paths import atomic_write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Rows of one Parquet file: 200,000 rows of FEATURES are about 240 MB, the size HDFS and object stores like.
_ROWS_PER_FILE = 200_000

# Rows held at a time where a table is copied by Arrow: 10 MB of FEATURES.
_ROWS_PER_GROUP = 2_500


class Lake:
    """The tables below one folder."""

    def __init__(self, root: Path, *, any_version: bool = False) -> None:
        """Create the folder if it is missing.

        Raises StepError if the folder cannot be created, InputError for a lake of another version (see `lake_version.py`)
        unless `any_version`.
        """
        self.root = root
        self._any_version = any_version
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(
                f"--lake: expected a folder that can be written, found {root}: {error.strerror}"
            ) from error
        if not any_version:
            lake_version.check_version(root)

    def table_folder(self, table: Table) -> Path:
        """Return the table's folder, created if it is missing; the lake's `VERSION` is written before."""
        if not self._any_version and not (self.root / lake_version.VERSION_FILE).exists():
            lake_version.write_version(self.root)
        folder = self.root / table.name
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lake for one writer; the kernel lets go of it when the process ends, however it ends."""
        lock = filelock.FileLock(self.root / ".lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except filelock.Timeout:
            raise StepError(
                f"expected the lake {self.root} to be free, found another segue at work in it; wait for it or stop it"
            ) from None

    def version(self, table: Table) -> Path | None:
        """Return the folder of the table's current version, None before the first."""
        pointer = self.root / table.name / "current"
        return pointer.resolve() if pointer.exists() else None

    def is_newer(self, table: Table, other: Table) -> bool:
        """Tell whether the table's current version was begun after the other's was: what follows from it is to be redone."""
        times = [version.stat().st_mtime_ns if (version := self.version(t)) else 0 for t in (table, other)]
        return times[0] > times[1]

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the table as it stands now; no rows before its first version."""
        version = self.version(table)
        schema = table.spark_schema()
        if version is None:
            return spark.createDataFrame([], schema)
        return spark.read.schema(schema).parquet(str(version)).select(table.names)

    def read_arrow(self, table: Table, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Return the table as it stands now without Spark, some columns of it or all: what planning a step needs."""
        return self._arrow(table, [self.version(table)], list(columns) or table.names, where)

    def read_staged_arrow(self, table: Table, *columns: str) -> pa.Table:
        """Return some columns, or all, of the finished parts; `table` names the columns they were staged with."""
        return self._arrow(table, self._parts(table), list(columns) or table.names)

    def iter_batches(self, table: Table, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the table as it stands now, some columns of it or all, some rows at a time."""
        return _batches(table, [self.version(table)], list(columns) or None)

    def iter_staged_batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Yield the finished parts, the last one first; `table` names the columns they were staged with."""
        return _batches(table, self._parts(table)[::-1])

    def _arrow(
        self,
        table: Table,
        folders: Sequence[Path | None],
        columns: list[str],
        where: pc.Expression | None = None,
    ) -> pa.Table:
        return read_parquet(table, parquet_files(folders), columns, where)

    def count_rows(self, table: Table) -> int:
        """Return the number of rows, read from the Parquet footers."""
        version = self.version(table)
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in parquet_files([version]))

    def missing_columns(self, table: Table) -> set[str]:
        """Return the columns that the current version was written without: readers find null there."""
        written = parquet_files([self.version(table)])
        return set(table.names) - set(pyarrow.parquet.read_schema(written[0]).names) if written else set()

    def commit(self, table: Table, frame: "DataFrame") -> None:
        """Replace the table by `frame`, sorted by key, as one new version."""
        frame = frame.select(*table.names)
        _check_types(table, frame)
        with self.new_version(table) as folder:
            frame.persist()
            try:
                files = frame.count() // _ROWS_PER_FILE + 1
                parts = frame.coalesce(1) if files == 1 else frame.repartitionByRange(files, *table.key)
                parts.sortWithinPartitions(*table.key).write.parquet(str(folder))
            finally:
                frame.unpersist()

    def commit_arrow(self, table: Table, batches: Iterable[pa.RecordBatch]) -> None:
        """Replace the table by the batches, in their order, as one new version; never more than a few at a time are held.

        For a table of a thousand columns Spark's plans cost more than the work; Arrow copies it at the disk's speed.
        """
        with self.new_version(table) as folder:
            folder.mkdir()  # also where there is no row to write
            _write(batches, folder, table.arrow_schema())

    @contextmanager
    def new_version(self, table: Table) -> Iterator[Path]:
        """Yield the folder to write a new version to, and flip the pointer when it is written whole.

        A reader sees the version before or this one; killed at any line, the one before stays. Staged parts are
        cleared last, since the new version holds them.
        """
        folder = self.table_folder(table)
        old = self.version(table)
        new = folder / f"v{int(old.name[1:]) + 1 if old else 1:06d}"
        shutil.rmtree(new, ignore_errors=True)  # what a killed run left half-written
        try:
            yield new
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _flush(new)
        _point(folder / "current", new.name)
        for version in folder.glob("v*"):
            if version.name not in (
                new.name,
                old and old.name,
            ):  # `old` is resolved, the lake may be reached by a link
                shutil.rmtree(version)
        shutil.rmtree(folder / "staged", ignore_errors=True)

    def stage(self, table: Table, part: str, write: Callable[[str], None]) -> None:
        """Let `write(folder)` make one finished part of the table's next version, whole or not at all."""
        staged = self.table_folder(table) / "staged"
        staged.mkdir(exist_ok=True)
        unfinished = staged / f".{part}"
        shutil.rmtree(unfinished, ignore_errors=True)
        write(str(unfinished))
        _flush(unfinished)
        unfinished.rename(staged / part)

    def staged(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the rows of all finished parts; `table` names the columns they were staged with."""
        parts = [str(part) for part in self._parts(table)]
        schema = table.spark_schema()
        return spark.read.schema(schema).parquet(*parts) if parts else spark.createDataFrame([], schema)

    def _parts(self, table: Table) -> list[Path]:
        return sorted((self.root / table.name / "staged").glob("[!.]*"))


def open_lake(arguments: argparse.Namespace) -> Lake:
    """Return the lake that `--lake` names."""
    return Lake(settings.lake_path(arguments.lake))


def parquet_files(folders: Sequence[Path | None]) -> list[Path]:
    """Return the Parquet files below folders, those of each in order."""
    return [file for folder in folders if folder is not None for file in sorted(folder.rglob("*.parquet"))]


def read_parquet(
    table: Table, files: Sequence[Path], columns: Sequence[str] = (), where: pc.Expression | None = None
) -> pa.Table:
    """Return the rows of files, one after the other, some columns of them or all."""
    schema, names = table.arrow_schema(), list(columns) or table.names
    if not files:
        return schema.empty_table().select(names)
    return pyarrow.dataset.dataset([str(file) for file in files], schema=schema).to_table(names, filter=where)


def write_parquet(path: Path, rows: pa.Table) -> None:
    """Write one Parquet file whole or not at all, and push it to the disk."""
    atomic_write(path, lambda file: pyarrow.parquet.write_table(rows, file))


def _batches(
    table: Table, folders: Sequence[Path | None], columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    for file in parquet_files(folders):  # one after the other: the order of the parts matters
        dataset = pyarrow.dataset.dataset(file, schema=table.arrow_schema())
        yield from dataset.to_batches(columns=columns, batch_size=_ROWS_PER_GROUP)


def _write(batches: Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema) -> None:
    """Write batches to Parquet files below `folder`, one row group at a time.

    Not `pyarrow.dataset.write_dataset`: its queue let a batch in out of its turn now and then, or, told to keep the order,
    grew by what the disk was behind (seen at 106,574 × 518 on a busy machine).
    """
    writer, rows, files = None, 0, 0
    try:
        for group in _groups(batches):
            if writer is None or rows >= _ROWS_PER_FILE:
                if writer is not None:
                    writer.close()
                writer, rows, files = (
                    pyarrow.parquet.ParquetWriter(folder / f"part-{files:05d}.parquet", schema),
                    0,
                    files + 1,
                )
            writer.write_table(pa.Table.from_batches(group, schema))
            rows += sum(map(len, group))
    finally:
        if writer is not None:
            writer.close()


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Yield the batches, in their order, in groups large enough for a row group; no group is empty."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group += [batch] if len(batch) else []
        if sum(map(len, group)) >= _ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def _check_types(table: Table, frame: "DataFrame") -> None:
    """Raise TypeError for a column of another type than the table's: Parquet would take it, and no reader could."""
    for declared, found in zip(table.spark_schema(), frame.schema, strict=True):
        if declared.dataType.simpleString() != found.dataType.simpleString():
            expected, is_now = declared.dataType.simpleString(), found.dataType.simpleString()
            raise TypeError(f"{table.name}.{declared.name}: expected {expected}, found {is_now}")


def _flush(folder: Path) -> None:
    """Push the files of a folder to the disk, so that a power cut cannot leave a pointer to empty files."""
    for path in (*folder.rglob("*"), folder):
        fsync(path)


def fsync(path: Path | str) -> None:
    """Push one file, or one folder's list of names, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(pointer: Path, target: str) -> None:
    """Make `pointer` a link to `target`, atomically."""
    new = pointer.with_name(".current")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(pointer)
    fsync(pointer.parent)
