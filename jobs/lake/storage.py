"""The lake: versioned Parquet tables under one folder. No other package reads or writes a table's files.

lake/VERSION                       version of this layout (`lake_version.py`)
lake/TRACKS/current -> v000002     the version that readers see; switched by one rename
lake/TRACKS/v000001, v000002       whole tables; the previous one stays for readers that have begun to read it
lake/TRACKS/staged/<part>          finished parts of a step that still runs; they survive a kill
lake/PLAYS/...                     by day, and the rows appended since (`append_table.py`)
"""

import argparse
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from jobs import settings
from jobs.errors import StepError
from jobs.lake import lake_version
from jobs.lake.parquet import (
    ROWS_PER_FILE,
    iter_parquet_batches,
    parquet_files,
    read_parquet,
    write_batches,
)
from jobs.lake.table import Table
from jobs.paths import fsync_dir

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession


class Lake:
    """The tables below one folder."""

    def __init__(self, root: Path, *, any_version: bool = False) -> None:
        """Create the folder if it is missing.

        Raises StepError if the folder cannot be created, and InputError for a lake of another version
        (`lake_version.py`) unless `any_version` is set.
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
        """Hold the lake for one writer.

        The kernel releases the lock when the process ends, however it ends.
        """
        lock = filelock.FileLock(self.root / ".lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except filelock.Timeout:
            raise StepError(
                f"expected the lake {self.root} to be free, found another segue at work in it; "
                "wait for it or stop it"
            ) from None

    def version(self, table: Table) -> Path | None:
        """Return the folder of the table's current version, None before the first."""
        pointer = self.root / table.name / "current"
        return pointer.resolve() if pointer.exists() else None

    def is_newer(self, table: Table, other: Table) -> bool:
        """Return whether the table's current version was begun after the other's.

        The other is out of date.
        """
        return self._begun_at(table) > self._begun_at(other)

    def _begun_at(self, table: Table) -> int:
        version = self.version(table)
        return 0 if version is None else version.stat().st_mtime_ns

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the current version as a Spark DataFrame; no rows before the first version."""
        version = self.version(table)
        schema = table.spark_schema()
        if version is None:
            return spark.createDataFrame([], schema)
        return _reader(spark).schema(schema).parquet(str(version)).select(table.names)

    def read_arrow(self, table: Table, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Return the current version without Spark.

        The given columns or all, of the rows that match `where`.
        """
        return read_parquet(table, parquet_files([self.version(table)]), columns, where)

    def read_staged_arrow(self, table: Table, *columns: str) -> pa.Table:
        """Return the finished parts, some columns or all; `table` has the columns they were staged with."""
        return read_parquet(table, parquet_files(self._parts(table)), columns)

    def iter_batches(self, table: Table, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the current version in batches of at most 2,500 rows, some columns or all."""
        return iter_parquet_batches(table, parquet_files([self.version(table)]), columns)

    def iter_rows(self, table: Table, *columns: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of the current version, some columns or all, with one batch of them in memory."""
        for batch in self.iter_batches(table, *columns):
            yield from batch.to_pylist()

    def iter_staged_batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Yield the finished parts, the last one first; `table` has the columns they were staged with."""
        return iter_parquet_batches(table, parquet_files(self._parts(table)[::-1]))

    def count_rows(self, table: Table) -> int:
        """Return the number of rows, read from the Parquet footers."""
        files = parquet_files([self.version(table)])
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)

    def missing_columns(self, table: Table) -> set[str]:
        """Return the table's columns that the current version was written without: they are null in it."""
        files = parquet_files([self.version(table)])
        if not files:
            return set()
        return set(table.names) - set(pyarrow.parquet.read_schema(files[0]).names)

    def commit(self, table: Table, frame: "DataFrame") -> None:
        """Replace the table by `frame`, sorted by key, as one new version.

        Raises TypeError for a column of another type than the table declares.
        """
        frame = frame.select(*table.names)
        _check_types(table, frame)
        with self.new_version(table) as folder:
            frame.persist()
            try:
                file_count = frame.count() // ROWS_PER_FILE + 1
                if file_count == 1:
                    parts = frame.coalesce(1)
                else:
                    parts = frame.repartitionByRange(file_count, *table.key)
                parts.sortWithinPartitions(*table.key).write.parquet(str(folder))
            finally:
                frame.unpersist()

    def commit_arrow(self, table: Table, batches: Iterable[pa.RecordBatch]) -> None:
        """Replace the table by the batches, in their order, as one new version, with few batches in memory.

        For a table of a thousand columns Spark's plans cost more than the work; Arrow copies at the disk's
        speed.
        """
        with self.new_version(table) as folder:
            folder.mkdir()  # even if there is no row to write
            write_batches(batches, folder, table.arrow_schema())

    @contextmanager
    def new_version(self, table: Table) -> Iterator[Path]:
        """Yield the folder to write a new version to, and switch the pointer once it is written whole.

        A reader sees the previous version or this one; after a kill at any line the previous one stays.
        Staged parts are deleted last, since the new version contains them.
        """
        folder = self.table_folder(table)
        old = self.version(table)
        old_name = None if old is None else old.name  # `old` is resolved, the lake may be reached by a link
        number = 1 if old_name is None else int(old_name[1:]) + 1
        new = folder / f"v{number:06d}"
        shutil.rmtree(new, ignore_errors=True)  # left half-written by a killed run
        try:
            yield new
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _sync_tree(new)
        _switch_pointer(folder / "current", new.name)
        for version in folder.glob("v*"):
            if version.name not in (new.name, old_name):
                shutil.rmtree(version)
        shutil.rmtree(folder / "staged", ignore_errors=True)

    def stage(self, table: Table, part: str, write: Callable[[str], None]) -> None:
        """Let `write(folder)` make one finished part of the table's next version, whole or not at all."""
        staged = self.table_folder(table) / "staged"
        staged.mkdir(exist_ok=True)
        unfinished = staged / f".{part}"
        shutil.rmtree(unfinished, ignore_errors=True)
        write(str(unfinished))
        _sync_tree(unfinished)
        unfinished.rename(staged / part)

    def staged(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the rows of all finished parts; `table` has the columns they were staged with."""
        parts = [str(part) for part in self._parts(table)]
        schema = table.spark_schema()
        if not parts:
            return spark.createDataFrame([], schema)
        return _reader(spark).schema(schema).parquet(*parts)

    def _parts(self, table: Table) -> list[Path]:
        return sorted((self.root / table.name / "staged").glob("[!.]*"))


def open_lake(arguments: argparse.Namespace) -> Lake:
    """Return the lake that `--lake` names; see `Lake` for the errors."""
    return Lake(settings.lake_path(arguments.lake))


def _reader(spark: "SparkSession") -> "DataFrameReader":
    """Return a reader that takes paths as they are: [, { or * in a folder's name is no pattern."""
    return spark.read.option("__globPaths__", "false")


def _check_types(table: Table, frame: "DataFrame") -> None:
    """Raise TypeError for a column of another type.

    Parquet would take it, and no reader of the table could.
    """
    for declared, actual in zip(table.spark_schema(), frame.schema, strict=True):
        expected = declared.dataType.simpleString()
        found = actual.dataType.simpleString()
        if expected != found:
            raise TypeError(f"{table.name}.{declared.name}: expected {expected}, found {found}")


def _sync_tree(folder: Path) -> None:
    """Push a folder's files and names to the disk: after a power cut no pointer leads to an empty file."""
    for path in (*folder.rglob("*"), folder):
        fsync_dir(path)  # works for a file, too


def _switch_pointer(pointer: Path, target: str) -> None:
    """Make `pointer` a symbolic link to `target`, atomically."""
    new = pointer.with_name(".current")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(pointer)
    fsync_dir(pointer.parent)
