"""Details of a track beyond the names: ids, dates, gains, technical facts, as columns in memory.

A hundred thousand tracks with a Python object for each value would be a hundred MiB; Arrow's columns are ten
to thirty, since values that repeat on an album are stored once and empty columns not at all.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

# Columns of TRACKS, by what they hold.
COLUMNS = (
    *("title_sort", "album_sort", "disc_title", "release_date", "original_date", "bpm", "comment", "isrcs"),
    *("track_gain_db", "track_peak", "album_gain_db", "album_peak"),
    *("recording_mbid", "release_track_mbid", "release_mbid", "artist_mbids", "album_artist_mbids"),
    *("sample_rate", "channels", "bit_depth"),
)

# Columns whose values repeat on an album or in a library.
_REPEATING = (
    *("album_sort", "disc_title", "release_date", "original_date", "comment", "release_mbid"),
    *("artist_mbids", "album_artist_mbids"),
)

# Several values of a column that repeats are one text in memory.
_LISTS = ("artist_mbids", "album_artist_mbids")

Details = dict[str, Any]


class TrackDetails:
    """The details of the catalog's tracks, by their row."""

    def __init__(self, tracks: pa.Table | None = None) -> None:
        """Keep COLUMNS of a table of tracks; those without a value are left out."""
        self._columns: dict[str, pa.Array] = {}
        if tracks is None:
            return
        for name in COLUMNS:
            column = tracks[name].combine_chunks()
            if column.null_count == len(column):
                continue
            if name in _LISTS:
                column = pa.array([" ".join(ids) if ids else None for ids in column.to_pylist()], pa.string())
            self._columns[name] = column.dictionary_encode() if name in _REPEATING else column

    def rows(self, numbers: Sequence[int], names: Sequence[str] = COLUMNS) -> list[Details]:
        """Return the details of these rows, by the names of columns; None for what is unknown."""
        places = pa.array(numbers, pa.int32())
        nothing: list[Any] = [None] * len(numbers)
        values = [self._values(name, places) if name in self._columns else nothing for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    def _values(self, name: str, places: pa.Array) -> list[Any]:
        column = self._columns[name].take(places)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        values: list[Any] = column.to_pylist()
        return [text.split() if text else None for text in values] if name in _LISTS else values

    def row(self, number: int) -> Details:
        """Return the details of one row."""
        return self.rows([number])[0]
