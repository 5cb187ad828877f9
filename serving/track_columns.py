"""TRACKS as Python lists, one per column: what repeats is one object, so that a large collection fits."""

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Columns of TRACKS that the catalog's tracks are made of.
COLUMNS = (
    *("track_id", "path", "audio_path", "title", "artist", "artists", "album", "album_artist"),
    *("album_artists", "is_compilation", "track_no", "disc_no", "year", "genre", "genres"),
    *("duration_s", "bit_rate", "source", "recording_id", "release_mbid", "artist_sort"),
    *("album_sort", "album_artist_sort", "added_ns", "mtime_ns"),
)

# What the catalog adds: whether `genre` is predicted from the sound (`jobs/model/predicted_genres.py`).
_ALL_COLUMNS = (*COLUMNS, "genre_predicted")

# Rows of a list column that are Python objects at a time.
_BATCH = 4_096


class TrackColumns(SimpleNamespace):
    """COLUMNS and `genre_predicted` as attributes: lists with text, a number, a tuple or None per track."""

    def __len__(self) -> int:
        return len(self.track_id)

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "TrackColumns":
        """Return the columns of rows; None for what a row does not have."""
        return cls(**{name: [row.get(name) for row in rows] for name in _ALL_COLUMNS})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "TrackColumns":
        """Return the columns of a table; a path or recording that equals the track's own is None."""
        equal = {"path": "audio_path", "recording_id": "track_id"}
        columns = {}
        for name in _ALL_COLUMNS:
            column = table[name]
            if name in equal:
                column = pc.if_else(pc.equal(column, table[equal[name]]), None, column)
            columns[name] = _to_python(column)
        return cls(**columns)


def _to_python(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_list(column.type):
        shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        return [shared.setdefault(values, values) for values in _tuples(column)]
    encoded = column.combine_chunks().dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]  # index -1
    return [values[index] for index in encoded.indices.fill_null(-1).to_numpy()]


def _tuples(column: pa.ChunkedArray) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(column), _BATCH):
        for values in column.slice(start, _BATCH).to_pylist():
            yield tuple(values or ())
