"""How a table is declared: columns with a type of the lake, and their schemas for Arrow and Spark."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


@dataclass(frozen=True)
class ColumnType:
    """One type of the lake, for Arrow and for Spark (in the JSON form that `StructType.fromJson` reads)."""

    arrow: pa.DataType
    spark: str | Mapping[str, Any]


def _spark_array(element: str | Mapping[str, Any], *, contains_null: bool) -> dict[str, Any]:
    return {"type": "array", "elementType": element, "containsNull": contains_null}


def _spark_struct(fields: Mapping[str, str | Mapping[str, Any]]) -> dict[str, Any]:
    """Return a Spark struct whose fields are all nullable."""
    return {
        "type": "struct",
        "fields": [
            {"name": name, "type": spark_type, "nullable": True, "metadata": {}}
            for name, spark_type in fields.items()
        ],
    }


_RECOMMENDED_ITEM = ColumnType(
    pa.struct(
        [("rank", pa.int32()), ("track_id", pa.string()), ("score", pa.float64()), ("reason", pa.string())]
    ),
    _spark_struct({"rank": "integer", "track_id": "string", "score": "double", "reason": "string"}),
)

# The types that a column can have, by the name used below.
COLUMN_TYPES = {
    "string": ColumnType(pa.string(), "string"),
    "boolean": ColumnType(pa.bool_(), "boolean"),
    "int": ColumnType(pa.int32(), "integer"),
    "long": ColumnType(pa.int64(), "long"),
    "float": ColumnType(pa.float32(), "float"),
    "double": ColumnType(pa.float64(), "double"),
    "timestamp": ColumnType(pa.timestamp("us", tz="UTC"), "timestamp"),
    "strings": ColumnType(pa.list_(pa.string()), _spark_array("string", contains_null=True)),
    "ints": ColumnType(pa.list_(pa.int32()), _spark_array("integer", contains_null=False)),
    "doubles": ColumnType(pa.list_(pa.float64()), _spark_array("double", contains_null=False)),
    "floats": ColumnType(pa.list_(pa.float32()), _spark_array("float", contains_null=False)),
    "items": ColumnType(
        pa.list_(_RECOMMENDED_ITEM.arrow), _spark_array(_RECOMMENDED_ITEM.spark, contains_null=True)
    ),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, a type of `COLUMN_TYPES`, and what it holds."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of the lake; rows are unique in `key`."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return [column.name for column in self.columns]

    def spark_schema(self) -> "StructType":
        """Return the Spark schema; every column is nullable, as in Parquet files of any writer."""
        from pyspark.sql.types import StructType  # here, so that readers without Spark do not load it

        types = {column.name: COLUMN_TYPES[column.type].spark for column in self.columns}
        return StructType.fromJson(_spark_struct(types))

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema, for workers and readers without Spark."""
        return pa.schema([(column.name, COLUMN_TYPES[column.type].arrow) for column in self.columns])

    def with_columns(self, *columns: Column) -> "Table":
        """Return the same table with more columns, as a step's unsorted results have them."""
        return Table(self.name, self.key, (*self.columns, *columns))

    def select(self, *names: str) -> "Table":
        """Return the same table with some of its columns, in the order of `names`."""
        by_name = {column.name: column for column in self.columns}
        return Table(self.name, self.key, tuple(by_name[name] for name in names))
