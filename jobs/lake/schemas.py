"""Every table of the lake, declared once: its key, and per column the type, the unit and the meaning.

Conventions: durations and positions in seconds, rates in hertz or bits per second, times in UTC. A `path` is
absolute and readable text: a byte that is not UTF-8 is written as \\xNN and a backslash is doubled (see
`paths.py`). `docs/data-model.md` is generated from this file.
"""

from jobs.lake.feature_columns import (
    DESCRIPTORS,
    ECHONEST_COLUMNS,
    FEATURE_SIZES,
    PRETRAINED,
    all_statistic_columns,
    descriptor_columns,
)
from jobs.lake.table import Column as Column
from jobs.lake.table import Table as Table


def _statistic_column(name: str) -> Column:
    feature, statistic, number = name.rsplit("_", 2)
    return Column(name, "float", f"{statistic} over the frames of {feature}, coefficient {int(number)}")


FILES = Table(
    "FILES",
    ("path",),
    (
        Column("path", "string", "file of the library"),
        Column("library", "string", "folder that was given as --library"),
        Column("size", "long", "size in bytes; with both times below it shows whether the file has changed"),
        Column("mtime_ns", "long", "modification time, nanoseconds since 1970"),
        Column("ctime_ns", "long", "change time, nanoseconds since 1970"),
        Column(
            "content_hash",
            "string",
            "identity of the content: SHA-256, hex, of the source file when it was first seen; it stays when "
            "the file moves, when its tags change and when it is compressed in place",
        ),
        Column("file_hash", "string", "SHA-256 of the file as it is, hex"),
        Column("audio_hash", "string", "SHA-256 of the file's audio alone, without any tag, hex"),
        Column("fma_id", "string", "FMA's number of the track, if the file is one of FMA's; else null"),
        Column("moved_from", "string", "path that the file had before it moved; null if it has not"),
        Column("audio_path", "string", "file to play and to analyse; null if the file was rejected"),
        Column("duration_s", "double", "seconds of audio that decode; null if nothing was decoded"),
        Column("bit_rate", "int", "bit rate of audio_path, bits per second"),
        Column("target_bit_rate", "int", "--bitrate of the run that decided the outcome, bits per second"),
        Column(
            "outcome",
            "string",
            "compressed, unchanged (already at or below the target), not_tried (only listed) or rejected",
        ),
    ),
)

# What only the tags of a file say; null where they say nothing.
TAG_COLUMNS = (
    Column("album_artist", "string", "artist of the album, as credited"),
    Column("album_artists", "strings", "all artists of the album"),
    Column("disc_no", "int", "disc of the album, from 1; from the folder (CD 2) if no tag has it"),
    Column("disc_title", "string", "title of the disc"),
    Column("is_compilation", "boolean", "whether the tags say that the album is a compilation"),
    Column("title_sort", "string", "title as it is sorted"),
    Column("artist_sort", "string", "artist as it is sorted"),
    Column("album_sort", "string", "album as it is sorted"),
    Column("album_artist_sort", "string", "artist of the album as it is sorted"),
    Column("release_date", "string", "date of this release: YYYY, YYYY-MM or YYYY-MM-DD"),
    Column("original_date", "string", "date of the first release: YYYY, YYYY-MM or YYYY-MM-DD"),
    Column("bpm", "float", "beats per minute; FEATURES.tempo is the computed value"),
    Column("comment", "string", "comment, with its line breaks, at most 1,000 characters"),
    Column("isrcs", "strings", "International Standard Recording Codes"),
    Column("track_gain_db", "float", "ReplayGain of the track, decibels (R128 gains are converted)"),
    Column("track_peak", "float", "peak of the track, 1 is full scale"),
    Column("album_gain_db", "float", "ReplayGain of the album, decibels"),
    Column("album_peak", "float", "peak of the album, 1 is full scale"),
    Column("release_mbid", "string", "MusicBrainz identifier (UUID) of the release"),
    Column("release_track_mbid", "string", "MusicBrainz identifier of the track on the release"),
    Column("artist_mbids", "strings", "MusicBrainz identifiers of the artists"),
    Column("album_artist_mbids", "strings", "MusicBrainz identifiers of the album's artists"),
    Column("sample_rate", "int", "sample rate of path, hertz"),
    Column("channels", "int", "number of channels of path"),
    Column("bit_depth", "int", "bits per sample of path; null for a lossy format"),
)

TRACKS = Table(
    "TRACKS",
    ("track_id",),
    (
        Column("track_id", "string", "id of TRACK_IDS; FMA's number for a track without a file"),
        Column("path", "string", "file of the library; null if only metadata and features were imported"),
        Column("audio_path", "string", "file to play and to analyse; null as path is"),
        Column("content_hash", "string", "content_hash of FILES; fma:<track_id> without a file"),
        Column("title", "string", "title from FMA's metadata, else from the tags, else from the file name"),
        Column("artist", "string", "artist from FMA's metadata, else from the tags, else from the folder"),
        Column(
            "album", "string", "album from FMA's metadata, else from the tags, else from the folder; or null"
        ),
        Column("artists", "strings", "all artists of the track, guests too, the main artist first"),
        Column("track_no", "int", "position on the album, from 1"),
        Column("year", "int", "year of release"),
        Column("genre", "string", "top genre if there is one, else the first genre"),
        Column("genres", "strings", "all genres, as written in the tags or in FMA's metadata"),
        Column("duration_s", "double", "seconds of audio; without a file, of FMA's untrimmed track"),
        Column("bit_rate", "int", "bit rate of audio_path, bits per second"),
        Column("source", "string", "source of title to genre: fma (tags fill its gaps) or tags"),
        Column(
            "mtime_ns", "long", "modification time of path when its tags were read, nanoseconds since 1970"
        ),
        Column("top_genre", "string", "root of FMA's genre tree; null if the genres have several roots"),
        Column("genre_parents", "strings", "ancestors of the genres in FMA's tree, nearest first"),
        Column("listens", "int", "number of listens on FMA when the data set was made"),
        Column("favourites", "int", "number of favourites on FMA when the data set was made"),
        Column("licence", "string", "licence, as FMA names it"),
        Column("split", "string", "part of FMA's data set: training, validation or test"),
        Column("subset", "string", "smallest FMA subset that has the track: small, medium or large"),
        Column(
            "recording_id", "string", "track_id of the first track with the same recording, usually its own"
        ),
        Column(
            "recording_mbid",
            "string",
            "MusicBrainz identifier (UUID) of the recording, from the tags; or null",
        ),
        Column("tag_error", "string", "why a tag of path could not be read, in one line; null if all could"),
        *TAG_COLUMNS,
        Column(
            "added_ns",
            "long",
            "time when the track was first seen, nanoseconds since 1970; in a lake's first run mtime_ns",
        ),
    ),
)

TRACK_IDS = Table(
    "TRACK_IDS",
    ("content_hash",),
    (
        Column("content_hash", "string", "content_hash of FILES, also of files that are gone"),
        Column("audio_hash", "string", "audio_hash of the file when it was first cataloged"),
        Column(
            "track_id",
            "string",
            "FMA's number without leading zeros, else 16 hex digits of content_hash; a new encoding of a "
            "recording has the id of the one that it replaced",
        ),
        Column("fma_id", "string", "fma_id of FILES"),
        Column("added_ns", "long", "added_ns of TRACKS, of a track that has left; it comes back with it"),
    ),
)

FEATURES = Table(
    "FEATURES",
    ("track_id", "feature_version"),
    (
        Column("track_id", "string", "track_id of TRACKS"),
        Column("feature_version", "string", "set of features and numerical version of the code"),
        Column("content_hash", "string", "content_hash of TRACKS"),
        Column("duration_s", "double", "seconds analysed"),
        Column("sample_rate", "int", "sample rate of the file, hertz"),
        *(_statistic_column(name) for name in all_statistic_columns(FEATURE_SIZES)),
        *(
            Column(name, "float", meaning)
            for descriptor, (_, meaning) in {**DESCRIPTORS, **PRETRAINED}.items()
            for name in descriptor_columns(descriptor)
        ),
        *(
            Column(name, "float", "column of FMA's echonest.csv of the same name")
            for name in ECHONEST_COLUMNS
        ),
    ),
)

# The columns of FMA's tracks.csv by the type of their values; "html" is text after its tags are removed.
_FMA_KINDS = {
    "int": (
        "album/comments album/favorites album/id album/listens album/tracks artist/comments artist/favorites "
        "artist/id track/bit_rate track/comments track/duration track/favorites track/interest track/listens "
        "track/number"
    ),
    "double": "artist/latitude artist/longitude",
    "timestamp": (
        "album/date_created album/date_released artist/active_year_begin artist/active_year_end "
        "artist/date_created track/date_created track/date_recorded"
    ),
    "strings": "album/tags artist/tags track/tags",
    "ints": "track/genres track/genres_all",
    "html": "album/information artist/bio track/information",
    "string": (
        "album/engineer album/producer album/title album/type artist/associated_labels artist/location "
        "artist/members artist/name artist/related_projects artist/website artist/wikipedia_page set/split "
        "set/subset track/composer track/genre_top track/language_code track/license track/lyricist "
        "track/publisher track/title"
    ),
}
FMA_KINDS = {name: kind for kind, names in _FMA_KINDS.items() for name in names.split()}

FMA_METADATA = Table(
    "FMA_METADATA",
    ("track_id",),
    (
        Column("track_id", "string", "FMA's number of the track"),
        Column("line", "int", "line of tracks.csv where the record begins"),
        Column(
            "file_hash", "string", "SHA-256 of tracks.csv, hex; with a suffix if invalid records were allowed"
        ),
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
        Column("genre_id", "int", "FMA's number of the genre"),
        Column("title", "string", "title, as FMA writes it"),
        Column("parent_id", "int", "genre_id of the parent genre; null at a root"),
        Column("top_id", "int", "genre_id of the root of its tree; its own at a root"),
        Column("tracks", "int", "number of tracks of the whole data set with this genre or one below it"),
        Column("colour", "string", "colour as in #cc3300, if raw_genres.csv is present; else null"),
    ),
)

REJECTS = Table(
    "REJECTS",
    ("path", "step"),
    (
        Column("path", "string", "file of the library"),
        Column("step", "string", "step that could not use the file"),
        Column("content_hash", "string", "content_hash of FILES; null if the file could not be read"),
        Column("error", "string", "reason in one line: what was expected, what was found"),
        Column("first_seen", "timestamp", "time of the first failed attempt, UTC"),
        Column("attempts", "int", "number of attempts, from 1"),
    ),
)

EMBEDDERS = Table(
    "EMBEDDERS",
    ("embedder_id", "array"),
    (
        Column("embedder_id", "string", "16 hex digits of the hash of everything that it was fitted from"),
        Column("array", "string", "name of one array of `embedding.Embedder`"),
        Column("feature_version", "string", "feature_version of FEATURES"),
        Column(
            "training_hash",
            "string",
            "SHA-256 of the training tracks' ids, contents and feature_version, hex",
        ),
        Column("parameters", "string", "JSON: the recipe, its arguments, and metrics of the fit"),
        Column("text", "string", "the array `structure` as JSON; null for the other arrays"),
        Column("shape", "ints", "shape of the array"),
        Column("values", "doubles", "values of the array, row by row"),
    ),
)

VECTORS = Table(
    "VECTORS",
    ("embedder_id", "track_id"),
    (
        Column("embedder_id", "string", "embedder_id of EMBEDDERS"),
        Column("track_id", "string", "track_id of TRACKS"),
        Column("embedding", "floats", "embedding of the track, unit length"),
    ),
)

EMBEDDINGS = Table(
    "EMBEDDINGS",
    ("model_version", "track_id"),
    (
        Column("model_version", "string", "version of the registered model"),
        Column("track_id", "string", "track_id of TRACKS"),
        Column("embedding", "floats", "embedding of the track, unit length; cosine = similarity of sound"),
        Column("cluster", "int", "K-Means cluster, from 0"),
    ),
)

PLAYS = Table(
    "PLAYS",
    ("event_id",),
    (
        Column("event_id", "string", "identifier of the event, given by the player"),
        Column("user_id", "string", "user who played the track"),
        Column("track_id", "string", "track_id of TRACKS"),
        Column("event", "string", "started, finished, skipped, liked, disliked or unrated"),
        Column("position_s", "double", "seconds into the track; null if the player does not report it"),
        Column("played_at", "timestamp", "time of the event, UTC"),
        Column("session_id", "string", "listening session; null if the player does not report it"),
        Column("duration_s", "double", "seconds of the track according to the player"),
        Column(
            "origin",
            "string",
            "source partition: Kafka topic and partition, as in plays-0@<topic id>",
        ),
        Column("offset", "long", "offset of the message in its source partition"),
    ),
)

ITEM_SIMILARITIES = Table(
    "ITEM_SIMILARITIES",
    ("track_id",),
    (
        Column("track_id", "string", "track_id of TRACKS; every track with a play or a neighbour"),
        Column("listeners", "int", "number of users who finished or liked it"),
        Column("neighbours", "strings", "track_ids of the most similar tracks by co-listening, best first"),
        Column("scores", "floats", "similarity of each neighbour, 0 to 1 (`recommender/collaborative.py`)"),
        Column("factors", "floats", "item factors (`recommender/implicit_als.py`); empty without plays"),
    ),
)

RECOMMENDATIONS = Table(
    "RECOMMENDATIONS",
    ("user_id",),
    (
        Column("user_id", "string", "user whom the list is for"),
        Column("model_version", "string", "model_version of EMBEDDINGS"),
        Column("as_of", "timestamp", "time of the newest play that the list includes, UTC"),
        Column(
            "items", "items", "recommended tracks, best first: rank from 1, track_id, score, reason as text"
        ),
        Column("offsets", "string", "JSON: the last offset of each source partition that the list includes"),
    ),
)

FINGERPRINTS = Table(
    "FINGERPRINTS",
    ("content_hash",),
    (
        Column("content_hash", "string", "content_hash of TRACKS"),
        Column("duration_s", "double", "duration of the track in seconds, as in TRACKS"),
        Column(
            "fingerprint",
            "ints",
            "Chromaprint's fingerprint of the first 120 s, 32 bits for each 0.124 s; empty if there is none",
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
            "the smaller content_hash of two tracks whose fingerprints have frames in common",
        ),
        Column("other_hash", "string", "content_hash of the other track"),
        Column(
            "bit_errors",
            "float",
            "share of the fingerprints' bits that differ, 0 to 1; null if they are too short or too plain",
        ),
        Column("is_same", "boolean", "whether both are the same recording"),
    ),
)

TABLES = (
    FILES,
    TRACKS,
    TRACK_IDS,
    FEATURES,
    REJECTS,
    FMA_METADATA,
    FMA_GENRES,
    FINGERPRINTS,
    DUPLICATE_PAIRS,
    EMBEDDERS,
    VECTORS,
    EMBEDDINGS,
    PLAYS,
    ITEM_SIMILARITIES,
    RECOMMENDATIONS,
)
