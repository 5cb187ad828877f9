"""The tables' files in an object store, where nothing can be renamed.

s3://bucket/prefix/VERSION                       version of the layout
s3://bucket/prefix/lease.json                    the writer (`lease.py`)
s3://bucket/prefix/TRACKS/current.json           the manifest of the version that readers see, and of the
                                                 previous one: names and sizes of their files; switched by one
                                                 conditional put
s3://bucket/prefix/TRACKS/versions/<version>/…   Parquet files; no name is used twice
s3://bucket/prefix/TRACKS/staged/<part>.json     a finished part: its files; put after them
s3://bucket/prefix/TRACKS/staged/<part>-<id>/…   its Parquet files
s3://bucket/prefix/PLAYS/live/…                  files of appended rows

A version's manifest may name files of older versions: so a day of PLAYS stays without being copied. Files
that neither the current manifest nor the previous one names are deleted after each commit.
"""

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet

from jobs.errors import StepError
from jobs.lake import lake_version, store_spark
from jobs.lake.lease import Lease
from jobs.lake.object_store import ConflictError, ObjectStore, ParquetObject, upload
from jobs.lake.parquet import DataFile, write_batches
from jobs.lake.table import Table
from jobs.lake.table_files import DAY_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class StoredVersion:
    """One version of a table, from a manifest: its files by their key."""

    name: str
    begun_at_ns: int = field(compare=False)
    objects: tuple[ParquetObject, ...] = field(compare=False)

    def files(self) -> list[ParquetObject]:
        """Return its Parquet files, in order."""
        return list(self.objects)

    def days(self) -> list[str]:
        """Return the days that it has a partition of, in order."""
        return sorted({_day(each) for each in self.objects} - {""})

    def files_of(self, day: str) -> list[ParquetObject]:
        """Return the files of one day's partition."""
        return [each for each in self.objects if _day(each) == day]

    def to_json(self) -> dict[str, Any]:
        """Return the manifest."""
        files = {each.key: each.size for each in self.objects}
        return {"version": self.name, "begun_at_ns": self.begun_at_ns, "files": files}


def _day(file: ParquetObject) -> str:
    folder = file.key.split("/")[-2]
    return folder.removeprefix(DAY_PREFIX) if folder.startswith(DAY_PREFIX) else ""


class StoreTables:
    """The tables in the object store `url`; temporary files and the lock of this machine are in `root`."""

    def __init__(self, url: str, root: Path) -> None:
        self._store = ObjectStore(url)
        self._lease = Lease(self._store, root)
        self._has_version = False  # as far as is known

    def find_layout_version(self) -> int | None:
        """Return the version of the lake's layout, None if it has no table yet."""
        found = self._store.get(lake_version.VERSION_FILE)
        if found is None:
            return None
        return lake_version.parse(found[0].decode(), f"{self._store.url}/{lake_version.VERSION_FILE}")

    def prepare(self, table: Table, *, write_version: bool) -> None:
        """Write the layout's version unless it is there; a table needs no folder."""
        if write_version and not self._has_version:
            if self.find_layout_version() is None:
                self._store.put(lake_version.VERSION_FILE, f"{lake_version.LAKE_VERSION}\n".encode())
            self._has_version = True

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lake for one writer; StepError if another one holds it."""
        return self._lease.held()

    def version(self, table: Table) -> StoredVersion | None:
        """Return the table's current version, None before the first: one request."""
        found = self._store.get(_pointer(table))
        return None if found is None else self._parse(json.loads(found[0]))

    def _parse(self, manifest: Mapping[str, Any]) -> StoredVersion:
        return StoredVersion(manifest["version"], manifest["begun_at_ns"], self._files(manifest["files"]))

    def _files(self, sizes: Mapping[str, int]) -> tuple[ParquetObject, ...]:
        return tuple(ParquetObject(self._store, key, size) for key, size in sizes.items())

    @contextmanager
    def new_version(self, table: Table) -> Iterator["StoreWriter"]:
        """Let the block write a new version, and switch the pointer once it is written whole.

        Raises StepError if another process has committed the table meanwhile, or has taken the lease.
        """
        found = self._store.get(_pointer(table))
        old = None if found is None else self._parse(json.loads(found[0]))
        number = 1 if old is None else int(old.name[1:7]) + 1
        name = f"v{number:06d}-{secrets.token_hex(4)}"
        writer = StoreWriter(self._store, f"{table.name}/versions/{name}", old)
        begun_at_ns = time.time_ns()
        yield writer
        new = StoredVersion(name, begun_at_ns, tuple(writer.files))
        manifest = {**new.to_json(), "previous": None if old is None else old.to_json()}
        self._lease.check()
        try:
            content = json.dumps(manifest, indent=1).encode()
            self._store.put_if(_pointer(table), content, found[1] if found else None)
        except ConflictError:
            raise StepError(
                f"expected one writer of {table.name} in {self._store.url}, found that another has committed "
                "it meanwhile; re-run the same command"
            ) from None
        retained = {each.key for version in (old, new) if version for each in version.objects}
        written = {each.key for each in self._store.list(f"{table.name}/versions")}
        self._store.delete(written - retained)
        self.delete_staged(table)

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the current version as a Spark DataFrame, None before the first."""
        version = self.version(table)
        return None if version is None else store_spark.read(spark, version.files(), table)

    def stage(self, table: Table, part: str, frame: "DataFrame") -> None:
        """Write a Spark DataFrame as a part of the next version, whole or not at all."""
        folder = f"{_staged(table)}/{part}-{secrets.token_hex(4)}"
        files = store_spark.write(frame, self._store, folder)
        sizes = {each.key: each.size for each in files}
        self._store.put(f"{_staged(table)}/{part}.json", json.dumps(sizes).encode())

    def read_staged(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the staged parts as a Spark DataFrame, None without any."""
        files = [file for part in self.staged_files(table) for file in part]
        return store_spark.read(spark, files, table) if files else None

    def staged_files(self, table: Table) -> list[list[ParquetObject]]:
        """Return the files of each staged part, in the parts' order."""
        parts = []
        for each in self._store.list(_staged(table)):
            if each.key.endswith(".json"):
                found = self._store.get(each.key)
                parts.append(list(self._files(json.loads(found[0]))) if found else [])
        return parts

    def delete_staged(self, table: Table) -> None:
        """Delete the staged parts: their lists first, so that none is there without its files."""
        keys = [each.key for each in self._store.list(_staged(table))]
        self._store.delete(key for key in keys if key.endswith(".json"))
        self._store.delete(key for key in keys if not key.endswith(".json"))

    def live_files(self, table: Table) -> list[ParquetObject]:
        """Return the files of appended rows, sorted by name."""
        listed = self._store.list(f"{table.name}/live")
        return [ParquetObject(self._store, each.key, each.size) for each in listed]

    def write_live(self, table: Table, name: str, rows: pa.Table) -> None:
        """Write a file of appended rows whole or not at all; a file of the same name is replaced."""
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(rows, sink)
        self._store.put(f"{table.name}/live/{name}", sink.getvalue().to_pybytes())

    def write_copy(self, name: str, file: Path) -> None:
        """Copy a file that is no table's below the key `copies`, whole or not at all."""
        with file.open("rb") as opened:
            self._store.put(f"copies/{name}", opened)

    def copies(self) -> list[str]:
        """Return the names of these copies, sorted."""
        return [each.key.removeprefix("copies/") for each in self._store.list("copies")]

    def read_copy(self, name: str) -> bytes:
        """Return the content of a copy; FileNotFoundError if there is none."""
        found = self._store.get(f"copies/{name}")
        if found is None:
            raise FileNotFoundError(f"copies/{name}")
        return found[0]

    def delete_copy(self, name: str) -> None:
        """Delete a copy."""
        self._store.delete([f"copies/{name}"])

    def delete_live(self, files: Iterable[DataFile]) -> None:
        """Delete files of appended rows; what is gone already is fine."""
        self._store.delete(cast(ParquetObject, file).key for file in files)


class StoreWriter:
    """Writes the files of a version below the key `folder`, and notes them in `files`."""

    def __init__(self, store: ObjectStore, folder: str, old: StoredVersion | None) -> None:
        self.files: list[ParquetObject] = []
        self._store = store
        self._folder = folder
        self._old = old

    def write_batches(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write batches in their order."""
        write_batches(batches, self._new_file, schema)

    def write_frame(self, frame: "DataFrame", table: Table) -> None:
        """Write each partition of a Spark DataFrame to a file, in the order of partitions."""
        self.files += store_spark.write(frame, self._store, self._folder, table.arrow_schema())

    def write_day(self, day: str, rows: pa.Table) -> None:
        """Write the partition of one day."""
        with self._new_file(f"{DAY_PREFIX}{day}/part-00000.parquet") as file:
            pyarrow.parquet.write_table(rows, file)

    def retain_day(self, day: str) -> None:
        """Take over a day's partition of the current version: its files are named once more."""
        if self._old is not None:
            self.files += self._old.files_of(day)

    @contextmanager
    def _new_file(self, name: str) -> Iterator[BinaryIO]:
        with upload(self._store, f"{self._folder}/{name}", self.files) as file:
            yield file


def _pointer(table: Table) -> str:
    return f"{table.name}/current.json"


def _staged(table: Table) -> str:
    return f"{table.name}/staged"
