"""Genre labels for evaluation: those of TRACKS, or of a CSV file."""

import csv
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import InputError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.paths import to_text


@dataclass(frozen=True)
class GenreLabel:
    """A track's genre, and its artist, "" where unknown."""

    genre: str
    artist: str = ""


def read_labels(lake: Lake, file: str | None) -> dict[str, GenreLabel]:
    """Return the label of every track that has one, by track_id: from TRACKS, or from a CSV file.

    The file has the columns genre, path or track_id, and artist where known. A path is one in the library,
    whole or its end. Raises InputError for a file without these columns, or without any track of the lake.
    """
    tracks = lake.read_arrow(TRACKS, "track_id", "path", "genre", "artist").to_pylist()
    if file is None:
        return {
            track["track_id"]: GenreLabel(track["genre"], track["artist"] or "")
            for track in tracks
            if track["genre"]
        }
    rows = _read_rows(file)
    resolver = _TrackResolver(tracks)
    labels = {}
    for row in rows:
        track_id = resolver.resolve_track(row)
        if track_id and row["genre"]:
            labels[track_id] = GenreLabel(row["genre"], row.get("artist") or "")
    if not labels:
        raise InputError(
            f"--labels: expected tracks of the lake, found none among the {len(rows)} rows of {file}"
        )
    return labels


def _read_rows(file: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file, by column."""
    try:
        with Path(file).expanduser().open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--labels: expected a CSV file in UTF-8, found {file}: {error}") from error
    columns = set(rows[0]) if rows else set()
    if "genre" not in columns or not columns & {"path", "track_id"}:
        described = ", ".join(map(str, columns)) or "no rows"
        raise InputError(f"--labels: expected columns genre and path or track_id, found {described}")
    return rows


class _TrackResolver:
    """Finds the track that a row of the file is about, by track_id or by the end of a path."""

    def __init__(self, tracks: list[dict[str, Any]]) -> None:
        self._ids = {track["track_id"] for track in tracks}
        counts = Counter(end for track in tracks for end in _path_ends(track["path"]))
        self._by_path_end = {}
        for track in tracks:
            for end in _path_ends(track["path"]):
                if counts[end] == 1:  # an end that two tracks share (`01.mp3`) identifies neither
                    self._by_path_end[end] = track["track_id"]

    def resolve_track(self, row: dict[str, str]) -> str | None:
        """Return the track_id of a row with `track_id` or `path`, or None."""
        if row.get("track_id") in self._ids:
            return row["track_id"]
        path = row.get("path")
        if not path:
            return None
        normalized = to_text(os.path.normpath(path.strip()).lstrip("/"))
        track_id: str | None = self._by_path_end.get(normalized)
        return track_id


def _path_ends(path: str) -> list[str]:
    """Return every end of a path, whole components: a/b/c, b/c, c."""
    parts = path.strip("/").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]
