from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from jobs.errors import StepError
from jobs.lake import parquet, store_spark
from jobs.lake.schemas import VECTORS
from jobs.lake.storage import Lake
from jobs.lake.table import COLUMN_TYPES, Column, Table


def vectors(spark, *ids, embedder="p"):
    rows = [(embedder, track_id, [1.0, 0.0]) for track_id in ids]
    return spark.createDataFrame(rows, VECTORS.spark_schema())


def ids(table):
    return table["track_id"].to_pylist()


def test_table_without_a_version_is_empty(spark, any_lake):
    lake = any_lake
    assert lake.read(spark, VECTORS).count() == 0
    assert lake.count_rows(VECTORS) == 0 and ids(lake.read_arrow(VECTORS)) == []


def test_commit_replaces_the_table_sorted_by_key(spark, any_lake):
    lake = any_lake
    lake.commit(VECTORS, vectors(spark, "b", "a"))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]
    lake.commit(VECTORS, vectors(spark, "c"))
    assert [row.track_id for row in lake.read(spark, VECTORS).collect()] == ["c"]


def test_table_can_be_committed_from_itself(spark, any_lake):
    lake = any_lake
    lake.commit(VECTORS, vectors(spark, "a"))
    lake.commit(VECTORS, lake.read(spark, VECTORS).unionByName(vectors(spark, "b")))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]


def test_reader_of_the_previous_version_can_continue(spark, any_lake):
    lake = any_lake
    lake.commit(VECTORS, vectors(spark, "a"))
    reader = lake.read(spark, VECTORS)
    lake.commit(VECTORS, vectors(spark, "b"))
    assert [row.track_id for row in reader.collect()] == ["a"]


def test_commit_retains_one_previous_version(spark, tmp_path):
    lake = Lake(tmp_path)
    for name in "abc":
        lake.commit(VECTORS, vectors(spark, name))
    assert sorted(path.name for path in (tmp_path / "VECTORS").glob("v*")) == ["v000002", "v000003"]


def test_any_parquet_reader_can_read_the_table(spark, tmp_path):
    Lake(tmp_path).commit(VECTORS, vectors(spark, "a"))
    assert ids(pyarrow.parquet.read_table(tmp_path / "VECTORS" / "current")) == ["a"]


def test_killed_commit_leaves_the_previous_version(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    unfinished = tmp_path / "VECTORS" / "v000002"
    unfinished.mkdir()
    (unfinished / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert ids(lake.read_arrow(VECTORS)) == ["a"]
    lake.commit(VECTORS, vectors(spark, "b"))
    assert ids(lake.read_arrow(VECTORS)) == ["b"]


def test_staged_parts_are_whole_or_missing(spark, any_lake):
    lake = any_lake
    lake.stage(VECTORS, "1", vectors(spark, "a"))
    broken = vectors(spark, "b").mapInArrow(fail_halfway, VECTORS.spark_schema())
    with pytest.raises(PySparkException, match="disk unmounted"):
        lake.stage(VECTORS, "2", broken)
    assert ids(lake.read_staged_arrow(VECTORS)) == ["a"]
    assert [row.track_id for row in lake.staged(spark, VECTORS).collect()] == ["a"]
    lake.commit(VECTORS, lake.staged(spark, VECTORS))
    assert ids(lake.read_staged_arrow(VECTORS)) == []


def fail_halfway(batches):
    yield from batches
    raise RuntimeError("disk unmounted")


def test_rows_are_the_same_in_a_folder_and_in_a_store(spark, tmp_path, store_url):
    """Every type of the lake, null, empty and full; many partitions; a step's columns beside a table's."""
    columns = tuple(Column(name, name, "") for name in COLUMN_TYPES)
    table = Table("EVERY_TYPE", ("long",), columns)
    when = datetime(2026, 11, 27, 12, 30, 1, 234567, UTC)
    item = {"rank": 1, "track_id": "é", "score": 0.1, "reason": None}
    full = {
        **{"string": "a'b", "boolean": True, "int": -1, "float": 0.5, "double": 1e-300, "timestamp": when},
        **{"strings": ["x", None], "ints": [1], "doubles": [0.1], "floats": [0.5], "items": [item]},
    }
    rows = [{**(full if number % 3 else {}), "long": number} for number in range(40)]
    rows[1] |= {"strings": [], "ints": [], "items": []}
    frame = spark.createDataFrame(
        pa.Table.from_pylist(rows, schema=table.arrow_schema()).to_pandas(), table.spark_schema()
    )
    read = []
    for lake in (Lake(tmp_path / "a"), Lake(tmp_path / "b", store_url)):
        lake.commit(table, frame.repartition(3))
        lake.stage(table, "1", frame.where("long < 20").repartition(3))
        lake.stage(table, "2", frame.where("long >= 20").coalesce(1))
        by_spark = [row.asDict(recursive=True) for row in lake.read(spark, table).collect()]
        staged = [row.asDict(recursive=True) for row in lake.staged(spark, table).orderBy("long").collect()]
        assert by_spark == staged
        narrow = [row.long for row in lake.read(spark, table.select("long")).collect()]
        read.append((by_spark, lake.read_arrow(table).to_pylist(), narrow, lake.count_rows(table)))
        staged_rows = lake.read_staged_arrow(table, "long", "items").sort_by("long").to_pylist()
        assert staged_rows == [{"long": row["long"], "items": row["items"]} for row in read[-1][1]]
    assert read[0] == read[1]
    assert [row["long"] for row in read[1][1]] == list(range(40))


def test_large_files_are_read_in_slices(spark, tmp_path, store_url, monkeypatch):
    monkeypatch.setattr(store_spark, "_BYTES_PER_TASK", 4_000)
    monkeypatch.setattr(parquet, "_ROWS_PER_GROUP", 5)
    lake = Lake(tmp_path, store_url)
    names = [f"{number:03d}" for number in range(53)]
    rows = [{"embedder_id": "p", "track_id": name, "embedding": [1.0]} for name in names]
    lake.commit_arrow(VECTORS, [pa.RecordBatch.from_pylist([row], VECTORS.arrow_schema()) for row in rows])
    frame = lake.read(spark, VECTORS)
    assert frame.rdd.getNumPartitions() > 1
    assert [row.track_id for row in frame.collect()] == names


def test_column_of_another_type_is_refused(spark, tmp_path):
    wrong = vectors(spark, "a").withColumn("track_id", F.col("track_id").cast("binary"))
    with pytest.raises(TypeError, match="VECTORS.track_id: expected string, found binary"):
        Lake(tmp_path).commit(VECTORS, wrong)


def test_second_writer_is_refused(tmp_path):
    with (
        Lake(tmp_path).locked(),
        pytest.raises(StepError, match="found another segue at work"),
        Lake(tmp_path).locked(),
    ):
        pass
    with Lake(tmp_path).locked():
        pass


def test_lake_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StepError, match="--lake: expected a folder that can be written"):
        Lake(tmp_path / "file" / "lake")


@pytest.mark.parametrize("name", ["Music [FLAC]", "a{b}c", "what*", "_x", ".y", "q?", "back\\slash"])
def test_lake_below_any_name(spark, tmp_path, name):
    lake = Lake(tmp_path / name / "lake")
    lake.commit(VECTORS, vectors(spark, "a"))
    lake.stage(VECTORS, "1", vectors(spark, "b"))
    assert [row.track_id for row in lake.read(spark, VECTORS).collect()] == ["a"]
    assert [row.track_id for row in lake.staged(spark, VECTORS).collect()] == ["b"]
