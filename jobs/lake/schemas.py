"""Every table of the lake, declared once: its key, and per column the type, the unit and the meaning.

Conventions: durations and positions in seconds, rates in hertz or bits per second, times in UTC.
A `path` is absolute and readable text: a byte that is not UTF-8 stands as \\xNN and a backslash as two (see `paths.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from pyspark.sql import types as spark_types

# (Spark type, Arrow type) of each type name used below.
_TYPES = {
    "string": (spark_types.StringType(), pa.string()),
    "boolean": (spark_types.BooleanType(), pa.bool_()),
    "int": (spark_types.IntegerType(), pa.int32()),
    "long": (spark_types.LongType(), pa.int64()),
    "float": (spark_types.FloatType(), pa.float32()),
    "double": (spark_types.DoubleType(), pa.float64()),
    "timestamp": (spark_types.TimestampType(), pa.timestamp("us", tz="UTC")),
    "strings": (spark_types.ArrayType(spark_types.StringType()), pa.list_(pa.string())),
    "ints": (spark_types.ArrayType(spark_types.IntegerType(), containsNull=False), pa.list_(pa.int32())),
    "doubles": (spark_types.ArrayType(spark_types.DoubleType(), containsNull=False), pa.list_(pa.float64())),
    "floats": (spark_types.ArrayType(spark_types.FloatType(), containsNull=False), pa.list_(pa.float32())),
    "items": (
        spark_types.ArrayType(
            spark_types.StructType(
                [
                    spark_types.StructField("rank", spark_types.IntegerType()),
                    spark_types.StructField("track_id", spark_types.StringType()),
                    spark_types.StructField("score", spark_types.DoubleType()),
                    spark_types.StructField("reason", spark_types.StringType()),
                ]
            )
        ),
        pa.list_(
            pa.struct(
                [("rank", pa.int32()), ("track_id", pa.string()), ("score", pa.float64()), ("reason", pa.string())]
            )
        ),
    ),
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

    def with_columns(self, *columns: Column) -> "Table":
        """Return the same table with more columns, as a step's unsorted results have them."""
        return Table(self.name, self.key, (*self.columns, *columns))

    def select(self, *names: str) -> "Table":
        """Return the same table with some of its columns."""
        return Table(self.name, self.key, tuple(next(c for c in self.columns if c.name == name) for name in names))


# FMA's features.csv: each feature's number of coefficients, and its statistics over the frames, in its order.
FMA_SIZES = {
    "chroma_cens": 12,
    "chroma_cqt": 12,
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "tonnetz": 6,
    "zcr": 1,
}
STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")

# Beyond FMA: one more feature with the same statistics, and descriptors, numbers that a recording has one of each.
FEATURE_SIZES = {**FMA_SIZES, "mfcc_delta": 20}
DESCRIPTORS = {
    "key": (1, "0 to 11: C major to B major; 12 to 23: C minor to B minor"),
    "key_strength": (1, "correlation of the summed constant-Q chroma with the key's profile, -1 to 1"),
    "mfcc_covariance": (210, "of mfcc 1 to 20 over the frames, upper triangle row by row, dB^2"),
    "onset_density": (1, "note onsets per second"),
    "tempo": (1, "beats per minute"),
    "tempogram": (48, "autocorrelation of the onset strength at 30 to 300 beats per minute, evenly spaced in octaves"),
}


def feature_columns(feature: str, statistic: str) -> tuple[str, ...]:
    """Return the columns of one statistic of one feature, `<feature>_<statistic>_<number>` from 01, as FMA has them."""
    return tuple(f"{feature}_{statistic}_{number:02d}" for number in range(1, FEATURE_SIZES[feature] + 1))


def descriptor_columns(descriptor: str) -> tuple[str, ...]:
    """Return the columns of one descriptor: its name, or `<name>_<number>` from 001 where it has several numbers."""
    size, _ = DESCRIPTORS[descriptor]
    return (descriptor,) if size == 1 else tuple(f"{descriptor}_{number:03d}" for number in range(1, size + 1))


def _layout(features: Iterable[str]) -> tuple[str, ...]:
    return tuple(chain(*(feature_columns(feature, statistic) for feature in features for statistic in STATISTICS)))


# The 518 of FMA's features.csv, by its names and in its order; then all that FEATURES has.
FMA_COLUMNS = _layout(FMA_SIZES)
FEATURE_COLUMNS = (*_layout(FEATURE_SIZES), *chain(*map(descriptor_columns, DESCRIPTORS)))

# The numbers of FMA's echonest.csv: (its second header row, third header row). Its metadata and ranks are no features.
_ECHONEST_AUDIO = (
    "acousticness",
    "danceability",
    "energy",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
    "valence",
)
ECHONEST_FIELDS = (
    *(("audio_features", name) for name in _ECHONEST_AUDIO),
    *(("temporal_features", f"{number:03d}") for number in range(224)),
)
ECHONEST_COLUMNS = tuple(f"echonest_{name}" for _, name in ECHONEST_FIELDS)

# Every feature_version that this code can read, oldest first: the set, then the numerical version of the code (raise it
# when any column changes by more than rounding). Each with the columns that the embedding is made from; an older
# version's rows have null in the other ones. A key is a name, no quantity. What is made of them: `recipes.py`.
# The two that begin with `fma-` are imported from the data set's own files, without audio.
_BASIC = set(FMA_SIZES) - {"chroma_cens", "chroma_cqt", "tonnetz"}
MODEL_INPUT_COLUMNS = {
    "fma-echonest": ECHONEST_COLUMNS,
    "fma-librosa": FMA_COLUMNS,
    "basic-1": _layout(sorted(_BASIC)),
    "fma518+1": (
        *_layout(FEATURE_SIZES),
        *chain(*map(descriptor_columns, ("key_strength", "mfcc_covariance", "onset_density", "tempo", "tempogram"))),
    ),
}
FEATURE_VERSION = list(MODEL_INPUT_COLUMNS)[-1]


def newest_feature_version(versions: Iterable[str]) -> str | None:
    """Return the newest of the feature versions found in a table; None where this code knows none of them."""
    found = set(versions)
    return next((version for version in reversed(MODEL_INPUT_COLUMNS) if version in found), None)


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
        Column(
            "outcome", "string", "compressed, unchanged (already at or below the target), not_tried or rejected"
        ),
    ),
)

TRACKS = Table(
    "TRACKS",
    ("track_id",),
    (
        Column("track_id", "string", "FMA's number without leading zeros, else 16 hex digits of content_hash"),
        Column("path", "string", "file of the library; null where there is metadata and features only"),
        Column("audio_path", "string", "file to play and to analyse; null as path is"),
        Column("content_hash", "string", "SHA-256 of the source file, hex; fma:<track_id> where there is none"),
        Column("title", "string", "from FMA's metadata, else from the tags, else from the file name"),
        Column("artist", "string", "from FMA's metadata, else from the tags, else from the folder"),
        Column(
            "album", "string", "from FMA's metadata, else from the tags, else from the folder; null where none says"
        ),
        Column("track_no", "int", "position on the album, from 1"),
        Column("year", "int", "of release"),
        Column("genre", "string", "the top genre where there is one, else the first"),
        Column("genres", "strings", "all genres, as written"),
        Column("duration_s", "double", "seconds of audio; of FMA's untrimmed track where there is no audio"),
        Column("bit_rate", "int", "bits per second of audio_path"),
        Column("source", "string", "where title to genre come from: fma (tags fill its gaps) or tags"),
        Column("mtime_ns", "long", "of path when its tags were read, nanoseconds since 1970"),
        Column("top_genre", "string", "root of FMA's genre tree; null where the genres have several roots"),
        Column("genre_parents", "strings", "what the genres are below in FMA's tree, nearest first"),
        Column("listens", "int", "on FMA, when the data set was made"),
        Column("favourites", "int", "on FMA, when the data set was made"),
        Column("licence", "string", "as FMA names it"),
        Column("split", "string", "of FMA's data set: training, validation or test"),
        Column("subset", "string", "smallest of FMA's subsets that the track is in: small, medium or large"),
        Column("recording_id", "string", "track_id of the first track with the same recording: its own in most cases"),
        Column("recording_mbid", "string", "MusicBrainz's id of the recording, a UUID; null where no tag says it"),
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
        *(Column(name, "float", "feature, statistic over the frames, coefficient") for name in _layout(FEATURE_SIZES)),
        *(Column(c, "float", meaning) for name, (_, meaning) in DESCRIPTORS.items() for c in descriptor_columns(name)),
        *(Column(c, "float", "of FMA's echonest.csv, by its name there") for c in ECHONEST_COLUMNS),
    ),
)

# FMA's tracks.csv, all of it: what its columns hold where that is no text. "html" is text once its tags are taken out.
_FMA_KINDS = {
    "int": (
        "album/comments album/favorites album/id album/listens album/tracks artist/comments artist/favorites artist/id "
        "track/bit_rate track/comments track/duration track/favorites track/interest track/listens track/number"
    ),
    "double": "artist/latitude artist/longitude",
    "timestamp": (
        "album/date_created album/date_released artist/active_year_begin artist/active_year_end artist/date_created "
        "track/date_created track/date_recorded"
    ),
    "strings": "album/tags artist/tags track/tags",
    "ints": "track/genres track/genres_all",
    "html": "album/information artist/bio track/information",
    "string": (
        "album/engineer album/producer album/title album/type artist/associated_labels artist/location artist/members "
        "artist/name artist/related_projects artist/website artist/wikipedia_page set/split set/subset track/composer "
        "track/genre_top track/language_code track/license track/lyricist track/publisher track/title"
    ),
}
FMA_KINDS = {name: kind for kind, names in _FMA_KINDS.items() for name in names.split()}

FMA_METADATA = Table(
    "FMA_METADATA",
    ("track_id",),
    (
        Column("track_id", "string", "FMA's number"),
        Column("line", "int", "of tracks.csv, where the record begins"),
        Column("file_hash", "string", "SHA-256 of tracks.csv, hex; with -lenient where records may be left out"),
        *(
            Column(name.replace("/", "_"), "string" if kind == "html" else kind, f"{name} of tracks.csv")
            for name, kind in sorted(FMA_KINDS.items())
        ),
    ),
)

FMA_GENRES = Table(
    "FMA_GENRES",
    ("genre_id",),
    (
        Column("genre_id", "int", "FMA's number"),
        Column("title", "string", "as FMA writes it"),
        Column("parent_id", "int", "of FMA_GENRES; null at a root"),
        Column("top_id", "int", "the root it is below; its own number at a root"),
        Column("tracks", "int", "of the whole data set, that have it or one below it"),
        Column("colour", "string", "as in #cc3300, where raw_genres.csv is there"),
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

EMBEDDERS = Table(
    "EMBEDDERS",
    ("projection_id", "array"),
    (
        Column("projection_id", "string", "16 hex digits of the hash of everything it was fitted from"),
        Column("array", "string", "name of one array of `embedding.Embedder`"),
        Column("feature_version", "string", "of FEATURES"),
        Column("training_hash", "string", "SHA-256 of the training tracks' ids, contents and feature_version, hex"),
        Column("parameters", "string", "JSON: the recipe, its arguments, what was measured while fitting"),
        Column("text", "string", "the array `structure`, JSON; null for the others"),
        Column("shape", "ints", "of the array"),
        Column("values", "doubles", "of the array, row by row; as many as the shape says"),
    ),
)

VECTORS = Table(
    "VECTORS",
    ("projection_id", "track_id"),
    (
        Column("projection_id", "string", "of EMBEDDERS"),
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

PLAYS = Table(
    "PLAYS",
    ("event_id",),
    (
        Column("event_id", "string", "of the player"),
        Column("user_id", "string", "who"),
        Column("track_id", "string", "of TRACKS"),
        Column("event", "string", "started, finished, skipped, liked, disliked or unrated"),
        Column("position_s", "double", "seconds into the track; null where the player does not say"),
        Column("played_at", "timestamp", "UTC"),
        Column("session_id", "string", "one sitting; null where the player does not say"),
        Column("duration_s", "double", "seconds that the player takes the track for"),
        Column("origin", "string", "Kafka's topic and partition, as in plays-0@<topic id>; where an import came from"),
        Column("offset", "long", "of the message in its origin"),
    ),
)

ITEM_SIMILARITIES = Table(
    "ITEM_SIMILARITIES",
    ("track_id",),
    (
        Column("track_id", "string", "of TRACKS; every track that somebody has played, or that goes with one"),
        Column("listeners", "int", "people who finished or liked it"),
        Column("neighbours", "strings", "tracks that the same people play, the strongest first"),
        Column("scores", "floats", "of each, 0 to 1: how much hearing the track speaks for it (`together.py`)"),
    ),
)

RECOMMENDATIONS = Table(
    "RECOMMENDATIONS",
    ("user_id",),
    (
        Column("user_id", "string", "who"),
        Column("model_version", "string", "of EMBEDDINGS"),
        Column("as_of", "timestamp", "UTC; of the newest play that the list knows"),
        Column("items", "items", "rank from 1, track_id, score, reason in words; best first"),
        Column("offsets", "string", "JSON: the last offset of each origin that the list knows"),
    ),
)

FINGERPRINTS = Table(
    "FINGERPRINTS",
    ("content_hash",),
    (
        Column("content_hash", "string", "of a track"),
        Column("duration_s", "double", "seconds, of TRACKS"),
        Column(
            "fingerprint", "ints", "Chromaprint's, 32 bits for each 0.124 s of the first 120; empty where there is none"
        ),
    ),
)

DUPLICATE_PAIRS = Table(
    "DUPLICATE_PAIRS",
    ("content_hash", "other_hash"),
    (
        Column(
            "content_hash",
            "string",
            "of a track whose fingerprint has frames in common with another's; the smaller of the two",
        ),
        Column("other_hash", "string", "content_hash of the other track"),
        Column(
            "bit_errors", "float", "share of the fingerprints' bits that differ, 0 to 1; null where they say too little"
        ),
        Column("is_same", "boolean", "whether both are the same recording"),
    ),
)

TABLES = (
    *(FILES, TRACKS, FEATURES, REJECTS, FMA_METADATA, FMA_GENRES, FINGERPRINTS, DUPLICATE_PAIRS, EMBEDDERS, VECTORS, EMBEDDINGS),
    *(PLAYS, ITEM_SIMILARITIES, RECOMMENDATIONS),
)
