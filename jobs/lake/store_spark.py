"""Spark reads and writes Parquet files of an object store through Arrow in its Python workers.

So a cluster needs no jar for the store, and a written file is put whole: no committer renames it afterwards,
and of a task's attempts only the one that Spark takes is in the result.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from jobs.lake.object_store import ObjectStore, ParquetObject, upload
from jobs.lake.parquet import open_dataset, write_batches
from jobs.lake.table import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Bytes of a file that one task reads; a file of several row groups is cut at them.
_BYTES_PER_TASK = 32 << 20

_WRITTEN = "partition int, key string, size long"


def read(spark: "SparkSession", files: Sequence[ParquetObject], table: Table) -> "DataFrame":
    """Return the rows of the files, the columns of `table` only."""
    slices = []
    for file in files:
        count = file.size // _BYTES_PER_TASK + 1
        slices += [(file, number, count) for number in range(count)]
    tasks = spark.range(0, max(1, len(slices)), 1, max(1, len(slices)))
    reader = partial(_read_slices, slices, table.arrow_schema())
    return tasks.mapInArrow(reader, table.spark_schema())


def _read_slices(
    slices: Sequence[tuple[ParquetObject, int, int]], schema: pa.Schema, tasks: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of slice `number` of `count` of a file, for each task of the batches."""
    for batch in tasks:
        for index in batch.column(0).to_pylist():
            if index < len(slices):
                file, number, count = slices[index]
                yield from _read_slice(file, number, count, schema)


def _read_slice(file: ParquetObject, number: int, count: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    (fragment,) = open_dataset([file], schema).get_fragments()
    n_groups = fragment.metadata.num_row_groups
    groups = list(range(n_groups * number // count, n_groups * (number + 1) // count))
    if groups:
        yield from fragment.subset(row_group_ids=groups, schema=schema).to_batches(schema=schema)


def write(
    frame: "DataFrame", store: ObjectStore, folder: str, schema: pa.Schema | None = None
) -> list[ParquetObject]:
    """Write each partition of a DataFrame to files below the key `folder`, as `schema` or as Spark has it.

    Return the files in the order of partitions; a partition without rows has none.
    """
    rows = frame.mapInArrow(partial(_write_partition, store, folder, schema), _WRITTEN).collect()
    ordered = sorted(rows, key=lambda row: (row.partition, row.key))
    return [ParquetObject(store, row.key, row.size) for row in ordered]


def _write_partition(
    store: ObjectStore, folder: str, schema: pa.Schema | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Write one partition; yield a row of `_WRITTEN` for each file."""
    from pyspark import TaskContext

    context = TaskContext.get()
    partition = 0 if context is None else context.partitionId()
    attempt = secrets.token_hex(4)
    uploaded: list[ParquetObject] = []

    @contextmanager
    def new_file(name: str) -> Iterator[BinaryIO]:
        key = f"{folder}/{partition:05d}-{attempt}-{name}"
        with upload(store, key, uploaded) as file:
            yield file

    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        return
    target = schema or first.schema
    write_batches((batch.cast(target) for batch in chain([first], remaining)), new_file, target)
    for file in uploaded:
        row = {"partition": [partition], "key": [file.key], "size": [file.size]}
        types = pa.schema([("partition", pa.int32()), ("key", pa.string()), ("size", pa.int64())])
        yield pa.RecordBatch.from_pydict(row, types)
