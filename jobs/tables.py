"""Every table of the lake, declared once: its key, and per column the type, the unit and the meaning.

Conventions: durations and positions in seconds, rates in hertz or bits per second, times in UTC.
A `path` is absolute and readable text: a byte that is not UTF-8 stands as \\xNN and a backslash as two (see `paths.py`).
"""

from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import types as spark_types

# (Spark type, Arrow type) of each type name used below.
_TYPES = {
    "string": (spark_types.StringType(), pa.string()),
    "int": (spark_types.IntegerType(), pa.int32()),
    "long": (spark_types.LongType(), pa.int64()),
    "float": (spark_types.FloatType(), pa.float32()),
    "double": (spark_types.DoubleType(), pa.float64()),
    "timestamp": (spark_types.TimestampType(), pa.timestamp("us", tz="UTC")),
    "strings": (spark_types.ArrayType(spark_types.StringType()), pa.list_(pa.string())),
    "floats": (spark_types.ArrayType(spark_types.FloatType(), containsNull=False), pa.list_(pa.float32())),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, a type of `_TYPES`, and what it holds."""

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

    def spark_schema(self) -> spark_types.StructType:
        """Return the Spark schema; every column is nullable, as in Parquet written by others."""
        return spark_types.StructType([spark_types.StructField(c.name, _TYPES[c.type][0]) for c in self.columns])

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema, for workers and readers without Spark."""
        return pa.schema([(c.name, _TYPES[c.type][1]) for c in self.columns])

    def plus(self, *columns: Column) -> "Table":
        """Return the same table with more columns, as a step's unsorted results have them."""
        return Table(self.name, self.key, (*self.columns, *columns))


# FMA's features.csv: each feature's number of coefficients, and its statistics over the frames, in its order.
FEATURE_SIZES = {
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "zcr": 1,
}
STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
FEATURE_COLUMNS = tuple(
    f"{feature}_{statistic}_{number:02d}"
    for feature, size in FEATURE_SIZES.items()
    for statistic in STATISTICS
    for number in range(1, size + 1)
)

FILES = Table(
    "FILES",
    ("path",),
    (
        Column("path", "string", "file of the library"),
        Column("library", "string", "the folder that was given as --library"),
        Column("size", "long", "bytes; with the two times below, tells whether the file has changed"),
        Column("mtime_ns", "long", "modification time, nanoseconds since 1970"),
        Column("ctime_ns", "long", "change time, nanoseconds since 1970"),
        Column(
            "content_hash", "string", "SHA-256 of the source file, hex; of the original after an in-place compression"
        ),
        Column("audio_path", "string", "file to play and to analyse; null where the file was rejected"),
        Column("duration_s", "double", "seconds of audio that really decode; null where nothing was decoded"),
        Column("bit_rate", "int", "bits per second of audio_path"),
        Column("target_bit_rate", "int", "the --bitrate of the run that decided, bits per second"),
        Column("outcome", "string", "compressed, kept (already at or below the target) or rejected"),
    ),
)

TRACKS = Table(
    "TRACKS",
    ("track_id",),
    (
        Column("track_id", "string", "FMA's number without leading zeros, else 16 hex digits of content_hash"),
        Column("path", "string", "file of the library"),
        Column("audio_path", "string", "file to play and to analyse"),
        Column("content_hash", "string", "SHA-256 of the source file, hex"),
        Column("title", "string", "from the tags, else from the file name"),
        Column("artist", "string", "from the tags, else from the folder"),
        Column("album", "string", "from the tags, else from the folder; null where neither says"),
        Column("track_no", "int", "position on the album, from 1"),
        Column("year", "int", "of release"),
        Column("genre", "string", "the first genre"),
        Column("genres", "strings", "all genres, as written"),
        Column("duration_s", "double", "seconds"),
        Column("bit_rate", "int", "bits per second of audio_path"),
        Column("source", "string", "where title to genre come from: fma or tags"),
    ),
)

FEATURES = Table(
    "FEATURES",
    ("track_id", "feature_version"),
    (
        Column("track_id", "string", "of TRACKS"),
        Column("feature_version", "string", "names the set of features and the numerical version of the code"),
        Column("content_hash", "string", "SHA-256 of the source file, hex"),
        Column("duration_s", "double", "seconds analysed"),
        Column("sample_rate", "int", "hertz, the file's own"),
        *(Column(name, "float", "feature, statistic over the frames, coefficient") for name in FEATURE_COLUMNS),
    ),
)

REJECTS = Table(
    "REJECTS",
    ("path", "step"),
    (
        Column("path", "string", "file of the library"),
        Column("step", "string", "the command that could not use it"),
        Column("content_hash", "string", "SHA-256 of the source file, hex; null where it could not be read"),
        Column("error", "string", "one line: what was expected, what was found"),
        Column("first_seen", "timestamp", "UTC"),
        Column("attempts", "int", "times tried, from 1"),
    ),
)

PROJECTIONS = Table(
    "PROJECTIONS",
    ("projection_id", "feature"),
    (
        Column("projection_id", "string", "16 hex digits of the hash of everything it was fitted from"),
        Column("feature", "string", "a column of FEATURES"),
        Column("feature_version", "string", "of FEATURES"),
        Column("training_hash", "string", "SHA-256 of the training tracks' ids, contents and feature_version, hex"),
        Column("mean", "double", "over the training tracks, in the feature's unit"),
        Column("scale", "double", "standard deviation over the training tracks; 1 where the feature is constant"),
        Column("loadings", "floats", "the feature's weight in each dimension of the embedding"),
    ),
)

VECTORS = Table(
    "VECTORS",
    ("projection_id", "track_id"),
    (
        Column("projection_id", "string", "of PROJECTIONS"),
        Column("track_id", "string", "of TRACKS"),
        Column("embedding", "floats", "unit length"),
    ),
)

EMBEDDINGS = Table(
    "EMBEDDINGS",
    ("model_version", "track_id"),
    (
        Column("model_version", "string", "version of the registered model"),
        Column("track_id", "string", "of TRACKS"),
        Column("embedding", "floats", "unit length; the cosine of two is how alike they sound"),
        Column("cluster", "int", "K-Means cluster, from 0"),
    ),
)

ALL = (FILES, TRACKS, FEATURES, REJECTS, PROJECTIONS, VECTORS, EMBEDDINGS)
