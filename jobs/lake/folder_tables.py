"""The tables' files in a folder: a version is a folder, and the link `current` points at the current one."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import filelock
import pyarrow as pa
import pyarrow.parquet

from jobs.errors import StepError
from jobs.lake import lake_version
from jobs.lake.parquet import DataFile, parquet_files, write_batches, write_parquet
from jobs.lake.table import Table
from jobs.lake.table_files import DAY_PREFIX
from jobs.paths import atomic_write, fsync_dir, make_private_dir

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession


@dataclass(frozen=True)
class FolderVersion:
    """One version of a table, in `folder`."""

    folder: Path

    @property
    def name(self) -> str:
        """As in v000002."""
        return self.folder.name

    @property
    def begun_at_ns(self) -> int:
        """When the folder was last changed, in nanoseconds since 1970."""
        return self.folder.stat().st_mtime_ns

    def files(self) -> list[Path]:
        """Return its Parquet files, sorted."""
        return parquet_files([self.folder])

    def days(self) -> list[str]:
        """Return the days that it has a partition of, in order."""
        return sorted(folder.name.removeprefix(DAY_PREFIX) for folder in self.folder.glob(f"{DAY_PREFIX}*"))

    def files_of(self, day: str) -> list[Path]:
        """Return the files of one day's partition."""
        return parquet_files([self.folder / f"{DAY_PREFIX}{day}"])


class FolderTables:
    """The tables below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_layout_version(self) -> int | None:
        """Return the version of the lake's layout, None if it has no table yet."""
        return lake_version.find_version(self._root)

    def prepare(self, table: Table, *, write_version: bool) -> None:
        """Create the table's folder; the layout's version is written before."""
        if write_version and not (self._root / lake_version.VERSION_FILE).exists():
            lake_version.write_version(self._root)
        self._folder(table).mkdir(exist_ok=True)

    def _folder(self, table: Table) -> Path:
        return self._root / table.name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lake for one writer.

        The kernel releases the lock when the process ends, however it ends.
        """
        lock = filelock.FileLock(self._root / ".lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except filelock.Timeout:
            raise StepError(
                f"expected the lake {self._root} to be free, found another segue at work in it; "
                "wait for it or stop it"
            ) from None

    def version(self, table: Table) -> FolderVersion | None:
        """Return the table's current version, None before the first."""
        pointer = self._folder(table) / "current"
        return FolderVersion(pointer.resolve()) if pointer.exists() else None

    @contextmanager
    def new_version(self, table: Table) -> Iterator["FolderWriter"]:
        """Let the block write a new version, and switch the pointer once it is written whole.

        Staged parts are deleted last, since the new version contains them.
        """
        folder = self._folder(table)
        old = self.version(table)
        old_name = None if old is None else old.name  # `old` is resolved, the lake may be reached by a link
        number = 1 if old_name is None else int(old_name[1:]) + 1
        new = folder / f"v{number:06d}"
        shutil.rmtree(new, ignore_errors=True)  # left half-written by a killed run
        try:
            yield FolderWriter(new, old)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _sync_tree(new)
        _switch_pointer(folder / "current", new.name)
        for version in folder.glob("v*"):
            if version.name not in (new.name, old_name):
                shutil.rmtree(version)
        self.delete_staged(table)

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the current version as a Spark DataFrame, None before the first."""
        version = self.version(table)
        if version is None:
            return None
        return _reader(spark).schema(table.spark_schema()).parquet(str(version.folder))

    def stage(self, table: Table, part: str, frame: "DataFrame") -> None:
        """Write a Spark DataFrame as a part of the next version, whole or not at all."""
        staged = self._folder(table) / "staged"
        staged.mkdir(exist_ok=True)
        unfinished = staged / f".{part}"
        shutil.rmtree(unfinished, ignore_errors=True)
        frame.write.parquet(str(unfinished))
        _sync_tree(unfinished)
        unfinished.rename(staged / part)

    def read_staged(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the staged parts as a Spark DataFrame, None without any."""
        parts = [str(part) for part in self._parts(table)]
        return _reader(spark).schema(table.spark_schema()).parquet(*parts) if parts else None

    def staged_files(self, table: Table) -> list[list[Path]]:
        """Return the files of each staged part, in the parts' order."""
        return [parquet_files([part]) for part in self._parts(table)]

    def delete_staged(self, table: Table) -> None:
        """Delete the staged parts."""
        shutil.rmtree(self._folder(table) / "staged", ignore_errors=True)

    def _parts(self, table: Table) -> list[Path]:
        return sorted((self._folder(table) / "staged").glob("[!.]*"))

    def live_files(self, table: Table) -> list[Path]:
        """Return the files of appended rows, sorted by name."""
        return sorted((self._folder(table) / "live").glob("[!.]*.parquet"))

    def write_live(self, table: Table, name: str, rows: pa.Table) -> None:
        """Write a file of appended rows whole or not at all; a file of the same name is replaced."""
        live = self._folder(table) / "live"
        live.mkdir(exist_ok=True)
        write_parquet(live / name, rows)

    def write_copy(self, name: str, file: Path) -> None:
        """Copy a file that is no table's into the lake's folder `copies`, whole or not at all."""
        atomic_write(make_private_dir(self._root / "copies") / name, file.read_bytes(), mode=0o600)

    def copies(self) -> list[str]:
        """Return the names of these copies, sorted."""
        return sorted(file.name for file in (self._root / "copies").glob("[!.]*"))

    def read_copy(self, name: str) -> bytes:
        """Return the content of a copy."""
        return (self._root / "copies" / name).read_bytes()

    def delete_copy(self, name: str) -> None:
        """Delete a copy."""
        (self._root / "copies" / name).unlink(missing_ok=True)

    def delete_live(self, files: Iterable[DataFile]) -> None:
        """Delete files of appended rows; what is gone already is fine."""
        for file in files:
            cast(Path, file).unlink(missing_ok=True)


class FolderWriter:
    """Writes a version to the folder `folder`, which it creates."""

    def __init__(self, folder: Path, old: FolderVersion | None) -> None:
        self._folder = folder
        self._old = old

    def write_batches(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write batches in their order."""
        self._folder.mkdir()  # even if there is no row to write
        write_batches(batches, lambda name: nullcontext(self._folder / name), schema)

    def write_frame(self, frame: "DataFrame", table: Table) -> None:
        """Write each partition of a Spark DataFrame to a file."""
        frame.write.parquet(str(self._folder))

    def write_day(self, day: str, rows: pa.Table) -> None:
        """Write the partition of one day."""
        folder = self._folder / f"{DAY_PREFIX}{day}"
        folder.mkdir(parents=True)
        pyarrow.parquet.write_table(rows, folder / "part-00000.parquet")

    def retain_day(self, day: str) -> None:
        """Take over a day's partition of the current version, as hard links."""
        if self._old is not None:
            name = f"{DAY_PREFIX}{day}"
            shutil.copytree(self._old.folder / name, self._folder / name, copy_function=os.link)


def _reader(spark: "SparkSession") -> "DataFrameReader":
    """Return a reader that takes paths as they are: [, { or * in a folder's name is no pattern."""
    return spark.read.option("__globPaths__", "false")


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
