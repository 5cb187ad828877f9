"""The lake: versioned Parquet tables, in a folder or in an object store. No other package reads or writes a
table's files.

lake/VERSION                       version of this layout (`lake_version.py`)
lake/TRACKS/current -> v000002     the version that readers see; switched by one rename
lake/TRACKS/v000001, v000002       whole tables; the previous one stays for readers that have begun to read it
lake/TRACKS/staged/<part>          finished parts of a step that still runs; they survive a kill
lake/PLAYS/...                     by day, and the rows appended since (`append_table.py`)

In an object store nothing can be renamed: `store_tables.py` has its layout.
"""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import settings
from jobs.errors import InputError, StepError
from jobs.lake import lake_version
from jobs.lake.folder_tables import FolderTables
from jobs.lake.parquet import (
    ROWS_PER_FILE,
    DataFile,
    iter_parquet_batches,
    open_parquet,
    read_parquet,
)
from jobs.lake.table import Table
from jobs.lake.table_files import TableFiles, TableVersion
from jobs.paths import atomic_write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


# In the folder of state: the address of the lake in an object store that it belongs to.
_STORE_FILE = "STORE"


class Lake:
    """The tables of one lake.

    Attributes
    ----------
    root
        The lake's folder; of a lake in an object store, the folder on this machine with everything but the
        tables: accounts, spool, logs, embedded servers (`settings.lake_path`).
    store
        Address of the tables in an object store; None: they are in `root`.
    files
        The tables' files, for this package.
    """

    def __init__(self, root: Path, store: str | None = None, *, any_version: bool = False) -> None:
        """Create the folder if it is missing.

        Parameters
        ----------
        root
            As the attribute.
        store
            Address of the tables in an object store, as in s3://bucket/prefix; None: they are in `root`.
        any_version
            Open a lake of another version, too.

        Raises
        ------
        StepError
            The folder cannot be created, or the object store cannot be read.
        InputError
            The lake has another version (`lake_version.py`), or the folder is that of another lake.
        """
        self.root = root
        self.store = store
        self._any_version = any_version
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(
                f"--lake: expected a folder that can be written, found {root}: {error.strerror}"
            ) from error
        if store is not None:
            _check_state_folder(root, store)
        self.files: TableFiles = FolderTables(root) if store is None else _open_store(store, root)
        if not any_version:
            lake_version.check(self.files.find_layout_version(), root)

    def prepare(self, table: Table) -> None:
        """Make ready for files of the table; the lake's `VERSION` is written before."""
        self.files.prepare(table, write_version=not self._any_version)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lake for one writer; StepError if another one holds it."""
        return self.files.locked()

    def version(self, table: Table) -> TableVersion | None:
        """Return the table's current version, None before the first."""
        return self.files.version(table)

    def is_newer(self, table: Table, other: Table) -> bool:
        """Return whether the table's current version was begun after the other's.

        The other is out of date.
        """
        return self._begun_at(table) > self._begun_at(other)

    def _begun_at(self, table: Table) -> int:
        version = self.version(table)
        return 0 if version is None else version.begun_at_ns

    def _files(self, table: Table) -> list[DataFile]:
        version = self.version(table)
        return [] if version is None else list(version.files())

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the current version as a Spark DataFrame; no rows before the first version.

        Of an object store only the columns of `table` are read: use `Table.select` for a wide one.
        """
        frame = self.files.read(spark, table)
        return spark.createDataFrame([], table.spark_schema()) if frame is None else frame.select(table.names)

    def read_arrow(self, table: Table, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Return the current version without Spark.

        The given columns or all, of the rows that match `where`.
        """
        return read_parquet(table, self._files(table), columns, where)

    def read_staged_arrow(self, table: Table, *columns: str) -> pa.Table:
        """Return the finished parts, some columns or all; `table` has the columns they were staged with."""
        files = [file for part in self.files.staged_files(table) for file in part]
        return read_parquet(table, files, columns)

    def iter_batches(self, table: Table, *columns: str) -> Iterator[pa.RecordBatch]:
        """Yield the current version in batches of at most 2,500 rows, some columns or all."""
        return iter_parquet_batches(table, self._files(table), columns)

    def iter_rows(self, table: Table, *columns: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of the current version, some columns or all, with one batch of them in memory."""
        for batch in self.iter_batches(table, *columns):
            yield from batch.to_pylist()

    def iter_staged_batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Yield the finished parts, the last one first; `table` has the columns they were staged with."""
        files = [file for part in reversed(self.files.staged_files(table)) for file in part]
        return iter_parquet_batches(table, files)

    def count_rows(self, table: Table) -> int:
        """Return the number of rows, read from the Parquet footers."""
        return sum(open_parquet(file).metadata.num_rows for file in self._files(table))

    def missing_columns(self, table: Table) -> set[str]:
        """Return the table's columns that the current version was written without: they are null in it."""
        files = self._files(table)
        if not files:
            return set()
        return set(table.names) - set(open_parquet(files[0]).schema_arrow.names)

    def commit(self, table: Table, frame: "DataFrame") -> None:
        """Replace the table by `frame`, sorted by key, as one new version.

        Raises TypeError for a column of another type than the table declares.
        """
        frame = frame.select(*table.names)
        _check_types(table, frame)
        self.prepare(table)
        with self.files.new_version(table) as writer:
            frame.persist()
            try:
                file_count = frame.count() // ROWS_PER_FILE + 1
                if file_count == 1:
                    parts = frame.coalesce(1)
                else:
                    parts = frame.repartitionByRange(file_count, *table.key)
                writer.write_frame(parts.sortWithinPartitions(*table.key), table)
            finally:
                frame.unpersist()

    def commit_arrow(self, table: Table, batches: Iterable[pa.RecordBatch]) -> None:
        """Replace the table by the batches, in their order, as one new version, with few batches in memory.

        For a table of a thousand columns Spark's plans cost more than the work; Arrow copies at the disk's
        speed.
        """
        self.prepare(table)
        with self.files.new_version(table) as writer:
            writer.write_batches(batches, table.arrow_schema())

    def stage(self, table: Table, part: str, frame: "DataFrame") -> None:
        """Write `frame` as one finished part of the table's next version, whole or not at all."""
        self.prepare(table)
        self.files.stage(table, part, frame)

    def staged(self, spark: "SparkSession", table: Table) -> "DataFrame":
        """Return the rows of all finished parts; `table` has the columns they were staged with."""
        frame = self.files.read_staged(spark, table)
        return spark.createDataFrame([], table.spark_schema()) if frame is None else frame

    def delete_staged(self, table: Table) -> None:
        """Delete the finished parts of a table that a step goes without committing."""
        self.files.delete_staged(table)


def open_lake(arguments: argparse.Namespace) -> Lake:
    """Return the lake that `--lake` names; see `Lake` for the errors."""
    return lake_at(arguments.lake)


def lake_at(uri: str) -> Lake:
    """Return the lake at an address as `--lake` takes it; see `Lake` for the errors."""
    return Lake(settings.lake_path(uri), settings.lake_store(uri))


def _check_state_folder(root: Path, store: str) -> None:
    """Record which lake a folder of state belongs to; InputError if it is another one's.

    Accounts, plays on their way and checkpoints of two lakes must not mix.
    """
    file = root / _STORE_FILE
    if file.exists() or (root / lake_version.VERSION_FILE).exists():
        found = file.read_text().strip() if file.exists() else "tables of a lake"
        if found != store:
            raise InputError(
                f"SEGUE_STATE: expected a folder for the lake {store}, found that of {found} at {root}; "
                "name another folder"
            )
    else:
        atomic_write(file, f"{store}\n")


def _open_store(store: str, root: Path) -> TableFiles:
    from jobs.lake.store_tables import StoreTables  # here: a lake on a disk goes without its libraries

    return StoreTables(store, root)


def _check_types(table: Table, frame: "DataFrame") -> None:
    """Raise TypeError for a column of another type.

    Parquet would take it, and no reader of the table could.
    """
    for declared, actual in zip(table.spark_schema(), frame.schema, strict=True):
        expected = declared.dataType.simpleString()
        found = actual.dataType.simpleString()
        if expected != found:
            raise TypeError(f"{table.name}.{declared.name}: expected {expected}, found {found}")
