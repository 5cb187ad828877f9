"""What `Lake` asks of the place where its tables' files are: a folder (`folder_tables.py`) or an object store
(`store_tables.py`).
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from jobs.lake.parquet import DataFile
from jobs.lake.table import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A partition of PLAYS lies below this prefix and its day.
DAY_PREFIX = "day="


class TableVersion(Protocol):
    """One version of a table: it does not change. Two are equal if they are the same version."""

    @property
    def name(self) -> str:
        """The version's name, unique in its table."""

    @property
    def begun_at_ns(self) -> int:
        """When the version was begun, in nanoseconds since 1970."""

    def files(self) -> Sequence[DataFile]:
        """Return its Parquet files, in order."""

    def days(self) -> list[str]:
        """Return the days that it has a partition of, in order."""

    def files_of(self, day: str) -> Sequence[DataFile]:
        """Return the files of one day's partition."""


class VersionWriter(Protocol):
    """Writes the files of a table's next version."""

    def write_batches(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Write batches in their order."""

    def write_frame(self, frame: "DataFrame", table: Table) -> None:
        """Write each partition of a Spark DataFrame to a file, in the order of partitions."""

    def write_day(self, day: str, rows: pa.Table) -> None:
        """Write the partition of one day."""

    def retain_day(self, day: str) -> None:
        """Take over a day's partition of the current version without copying it."""


class TableFiles(Protocol):
    """The tables' files, by the name of the table."""

    def find_layout_version(self) -> int | None:
        """Return the version of the lake's layout, None if it has no table yet (`lake_version.py`)."""

    def prepare(self, table: Table, *, write_version: bool) -> None:
        """Make ready for files of the table, and write the layout's version unless it is there."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lake for one writer; StepError if another one holds it."""

    def version(self, table: Table) -> TableVersion | None:
        """Return the table's current version, None before the first."""

    def new_version(self, table: Table) -> AbstractContextManager[VersionWriter]:
        """Let the block write a new version, then make it the current one, and delete the staged parts."""

    def read(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the current version as a Spark DataFrame, None before the first."""

    def stage(self, table: Table, part: str, frame: "DataFrame") -> None:
        """Write a Spark DataFrame as a part of the next version, whole or not at all."""

    def read_staged(self, spark: "SparkSession", table: Table) -> "DataFrame | None":
        """Return the staged parts as a Spark DataFrame, None without any."""

    def staged_files(self, table: Table) -> Sequence[Sequence[DataFile]]:
        """Return the files of each staged part, in the parts' order."""

    def delete_staged(self, table: Table) -> None:
        """Delete the staged parts."""

    def live_files(self, table: Table) -> Sequence[DataFile]:
        """Return the files of appended rows, sorted by name."""

    def write_live(self, table: Table, name: str, rows: pa.Table) -> None:
        """Write a file of appended rows whole or not at all; a file of the same name is replaced."""

    def write_copy(self, name: str, file: Path) -> None:
        """Copy a file that is no table's into the lake's folder `copies`, whole or not at all."""

    def copies(self) -> list[str]:
        """Return the names of these copies, sorted."""

    def read_copy(self, name: str) -> bytes:
        """Return the content of a copy."""

    def delete_copy(self, name: str) -> None:
        """Delete a copy."""

    def delete_live(self, files: Iterable[DataFile]) -> None:
        """Delete files of appended rows; what is gone already is fine."""
