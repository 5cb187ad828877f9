"""The declared tables: Spark and Arrow types agree with what is on disk, and importing them is cheap."""

import subprocess
import sys

import pyarrow as pa
import pytest
from pyspark.sql import types as spark_types

from jobs.lake.schemas import TABLES, TRACKS
from jobs.lake.table import COLUMN_TYPES, Column

ITEM = spark_types.StructType(
    [
        spark_types.StructField("rank", spark_types.IntegerType()),
        spark_types.StructField("track_id", spark_types.StringType()),
        spark_types.StructField("score", spark_types.DoubleType()),
        spark_types.StructField("reason", spark_types.StringType()),
    ]
)
SPARK_TYPES = {
    "string": spark_types.StringType(),
    "boolean": spark_types.BooleanType(),
    "int": spark_types.IntegerType(),
    "long": spark_types.LongType(),
    "float": spark_types.FloatType(),
    "double": spark_types.DoubleType(),
    "timestamp": spark_types.TimestampType(),
    "strings": spark_types.ArrayType(spark_types.StringType()),
    "ints": spark_types.ArrayType(spark_types.IntegerType(), containsNull=False),
    "doubles": spark_types.ArrayType(spark_types.DoubleType(), containsNull=False),
    "floats": spark_types.ArrayType(spark_types.FloatType(), containsNull=False),
    "items": spark_types.ArrayType(ITEM),
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_spark_schema_equals_struct_type(table) -> None:
    fields = [spark_types.StructField(column.name, SPARK_TYPES[column.type]) for column in table.columns]
    schema = table.spark_schema()
    assert schema == spark_types.StructType(fields)
    assert schema.json() == spark_types.StructType(fields).json()  # nullability of the elements, too


def test_every_type_is_compared() -> None:
    assert set(SPARK_TYPES) == set(COLUMN_TYPES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_is_well_formed(table) -> None:
    assert len(set(table.names)) == len(table.names)
    assert set(table.key) <= set(table.names)
    assert table.arrow_schema().names == table.names
    assert all(len(column.meaning.split()) >= 2 or "/" in column.meaning for column in table.columns)


def test_table_names_are_unique() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_select_and_with_columns_keep_the_order() -> None:
    selected = TRACKS.select("title", "track_id").with_columns(Column("extra", "boolean", "one more column"))
    assert selected.names == ["title", "track_id", "extra"]
    assert selected.arrow_schema().field("extra").type == pa.bool_()
    assert selected.key == TRACKS.key


@pytest.mark.slow
def test_player_and_dsp_load_no_pyspark() -> None:
    modules = "serving.app, jobs.dsp.features, jobs.cli, jobs.commands.serve"
    code = f"import sys; import {modules}; print('pyspark' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


def test_schemas_load_no_heavy_package() -> None:
    heavy = ("librosa", "numba", "soxr", "pyspark")
    code = f"import sys; import jobs.lake.schemas; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
