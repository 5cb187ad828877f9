"""Parquet files of the lake: read them by a table's schema, and write them whole and in order."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

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


def parquet_files(folders: Sequence[Path | None]) -> list[Path]:
    """Return the Parquet files below the folders (None is skipped), sorted within each folder."""
    files: list[Path] = []
    for folder in folders:
        if folder is not None:
            files += sorted(folder.rglob("*.parquet"))
    return files


def read_parquet(
    table: Table, files: Sequence[Path], columns: Sequence[str] = (), where: pc.Expression | None = None
) -> pa.Table:
    """Return the rows of the files in their order: the given columns, or all of the table."""
    schema = table.arrow_schema()
    names = list(columns) or table.names
    if not files:
        return schema.empty_table().select(names)
    dataset = pyarrow.dataset.dataset([str(file) for file in files], schema=schema)
    return dataset.to_table(names, filter=where)


def iter_parquet_batches(
    table: Table, files: Sequence[Path], columns: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the files in batches of at most 2,500 rows, one file after the other."""
    for file in files:  # one dataset of all files could mix up their order
        dataset = pyarrow.dataset.dataset(file, schema=table.arrow_schema())
        yield from dataset.to_batches(columns=list(columns) or None, batch_size=_ROWS_PER_GROUP)


def write_parquet(path: Path, rows: pa.Table) -> None:
    """Write one Parquet file whole or not at all, and push it to the disk."""
    atomic_write(path, lambda file: pyarrow.parquet.write_table(rows, file))


def write_batches(batches: Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema) -> None:
    """Write batches in their order to `folder/part-00000.parquet` and so on; at most one row group is in
    memory.

    `pyarrow.dataset.write_dataset` does not do: its queue now and then wrote a batch out of turn, or, asked
    to keep the order, grew by all that the disk lagged behind (seen at 106,574 × 518 on a busy machine).
    """
    writer: pyarrow.parquet.ParquetWriter | None = None
    rows_in_file = 0
    file_count = 0
    try:
        for group in _row_groups(batches):
            if writer is None or rows_in_file >= ROWS_PER_FILE:
                if writer is not None:
                    writer.close()
                writer = pyarrow.parquet.ParquetWriter(folder / f"part-{file_count:05d}.parquet", schema)
                rows_in_file = 0
                file_count += 1
            writer.write_table(pa.Table.from_batches(group, schema))
            rows_in_file += sum(len(batch) for batch in group)
    finally:
        if writer is not None:
            writer.close()


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
