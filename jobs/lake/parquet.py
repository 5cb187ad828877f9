"""Parquet files of the lake: read them by a table's schema, and write them whole and in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

from jobs.lake.table import Table
from jobs.paths import atomic_write

# Rows of one Parquet file: 200,000 rows of FEATURES are about 240 MB, the size that HDFS and object stores
# like.
ROWS_PER_FILE = 200_000

# Rows of one row group, and rows in memory while a table is copied: 10 MB of FEATURES.
_ROWS_PER_GROUP = 2_500

# A request to an object store costs as much as some hundred kilobytes: closer ranges are read as one.
_STORE_CACHE = pa.CacheOptions(hole_size_limit=1 << 19, range_size_limit=1 << 25, lazy=True)
_STORE_FORMAT = pyarrow.dataset.ParquetFileFormat(
    default_fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(cache_options=_STORE_CACHE)
)


class StoredFile(Protocol):
    """A Parquet file in an object store."""

    @property
    def name(self) -> str:
        """The file's name without folders."""

    def open(self) -> pa.NativeFile:
        """Open it for random reads."""


# A file of a table, on a disk or in an object store.
DataFile = Path | StoredFile


def parquet_files(folders: Sequence[Path | None]) -> list[Path]:
    """Return the Parquet files below the folders (None is skipped), sorted within each folder."""
    files: list[Path] = []
    for folder in folders:
        if folder is not None:
            files += sorted(folder.rglob("*.parquet"))
    return files


def open_dataset(files: Sequence[DataFile], schema: pa.Schema) -> pyarrow.dataset.Dataset:
    """Return the rows of the files, in their order, as a dataset."""
    paths = [str(file) for file in files if isinstance(file, Path)]
    if len(paths) == len(files):
        return pyarrow.dataset.dataset(paths, schema=schema, format="parquet")
    fragments = [_STORE_FORMAT.make_fragment(_open(file)) for file in files]
    return pyarrow.dataset.FileSystemDataset(fragments, schema, _STORE_FORMAT)


def open_parquet(file: DataFile) -> pyarrow.parquet.ParquetFile:
    """Open one file, whose footer is read at once."""
    return pyarrow.parquet.ParquetFile(_open(file))


def _open(file: DataFile) -> Path | pa.NativeFile:
    return file if isinstance(file, Path) else file.open()


def read_parquet(
    table: Table, files: Sequence[DataFile], columns: Sequence[str] = (), where: pc.Expression | None = None
) -> pa.Table:
    """Return the rows of the files in their order: the given columns, or all of the table."""
    schema = table.arrow_schema()
    names = list(columns) or table.names
    if not files:
        return schema.empty_table().select(names)
    return open_dataset(files, schema).to_table(names, filter=where)


def iter_parquet_batches(
    table: Table, files: Sequence[DataFile], columns: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the files in batches of at most 2,500 rows, one file after the other."""
    for file in files:  # one dataset of all files could mix up their order
        dataset = open_dataset([file], table.arrow_schema())
        yield from dataset.to_batches(columns=list(columns) or None, batch_size=_ROWS_PER_GROUP)


def write_parquet(path: Path, rows: pa.Table) -> None:
    """Write one Parquet file whole or not at all, and push it to the disk."""
    atomic_write(path, lambda file: pyarrow.parquet.write_table(rows, file))


def write_batches(
    batches: Iterable[pa.RecordBatch],
    new_file: Callable[[str], AbstractContextManager[Path | BinaryIO]],
    schema: pa.Schema,
) -> None:
    """Write batches in their order to `part-00000.parquet` and so on; at most one row group is in memory.

    `new_file(name)` gives the path or the open file to write to; left without an error, the file is complete.

    `pyarrow.dataset.write_dataset` does not do: its queue now and then wrote a batch out of turn, or, asked
    to keep the order, grew by all that the disk lagged behind (seen at 106,574 × 518 on a busy machine).
    """
    writer: pyarrow.parquet.ParquetWriter | None = None
    rows_in_file = 0
    file_count = 0
    with ExitStack() as stack:
        for group in _row_groups(batches):
            if writer is None or rows_in_file >= ROWS_PER_FILE:
                stack.close()  # the previous file is complete
                target = stack.enter_context(new_file(f"part-{file_count:05d}.parquet"))
                writer = stack.enter_context(pyarrow.parquet.ParquetWriter(target, schema))
                rows_in_file = 0
                file_count += 1
            writer.write_table(pa.Table.from_batches(group, schema))
            rows_in_file += sum(len(batch) for batch in group)


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Yield the batches, in their order, in lists with enough rows for one row group; no list is empty."""
    group: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if len(batch) == 0:
            continue
        group.append(batch)
        rows += len(batch)
        if rows >= _ROWS_PER_GROUP:
            yield group
            group = []
            rows = 0
    if group:
        yield group
