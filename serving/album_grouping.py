"""Which album a track belongs to, by whom it is, and who performs it: rows of TRACKS in, names out.

The album artist of a track is the tags' one; else "Various Artists" of a compilation; else what the tracks of
one album name in one folder agree on: an artist with guests, or several artists, which is a compilation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from jobs.audio.artist_names import (
    VARIOUS_ARTISTS,
    common_artist,
    is_various,
    split_artists,
    without_artist,
)
from jobs.audio.path_tags import album_folder
from serving.search_index import normalize_identity

# Columns of TRACKS that the grouping needs.
COLUMNS = (
    *("path", "artist", "artists", "album", "album_artist", "album_artists", "is_compilation"),
    *("disc_no", "track_no", "source", "release_mbid", "added_ns", "mtime_ns"),
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Credits:
    """The names of a track and of its album; `release` tells two releases of one name apart."""

    artists: tuple[str, ...]  # performers, the main artist first
    album_artist: str  # as credited
    album_artists: tuple[str, ...]
    release: str = ""  # "" or MusicBrainz's id of the release


def credit_tracks(rows: Sequence[Row]) -> list[Credits]:
    """Return the credits of every row, in the order of the rows."""
    artists = [_artists(row) for row in rows]
    album_artists = [_tagged_album_artists(row) for row in rows]
    folders: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        if row["album"] and row["path"] and row["source"] != "fma":
            folder = str(album_folder(PurePath(row["path"])))
            folders.setdefault((folder, normalize_identity(row["album"])), []).append(number)
    for numbers in folders.values():
        if not all(album_artists[number] for number in numbers):
            _fill_album_artists(rows, numbers, artists, album_artists)
    found = []
    for row, performers, names in zip(rows, artists, album_artists, strict=True):
        credit = _album_credit(row, names) if names else performers[0]
        found.append((_with_album_artist(row, performers, credit), credit, names or (credit,)))
    releases = _releases(rows, [credit for _, credit, _ in found])
    return [Credits(*names, release) for names, release in zip(found, releases, strict=True)]


def _artists(row: Row) -> tuple[str, ...]:
    """Return the performers; tables of older versions do not have guests apart."""
    listed = row["artists"] or []
    if len(listed) > 1:
        return tuple(listed)
    return tuple(split_artists(listed[0] if listed else row["artist"] or ""))


def _tagged_album_artists(row: Row) -> tuple[str, ...]:
    """Return the album artists by the tags, () if they do not say."""
    names = tuple(row["album_artists"] or ()) or ((row["album_artist"],) if row["album_artist"] else ())
    if len(names) == 1 and is_various(names[0]):
        return (VARIOUS_ARTISTS,) if row["album"] else ()
    return names or ((VARIOUS_ARTISTS,) if row["is_compilation"] and row["album"] else ())


def _album_credit(row: Row, names: tuple[str, ...]) -> str:
    """Return the album artist as one text: as the tags credit several, else joined."""
    return row["album_artist"] if row["album_artist"] and names != (VARIOUS_ARTISTS,) else ", ".join(names)


def _fill_album_artists(
    rows: Sequence[Row],
    numbers: list[int],
    artists: list[tuple[str, ...]],
    album_artists: list[tuple[str, ...]],
) -> None:
    """Set the album artists of the tracks that have none, of one album name in one folder."""
    untagged = [number for number in numbers if not album_artists[number]]
    tagged = {album_artists[number] for number in numbers if album_artists[number]}
    mains = [artists[number][0] for number in untagged]
    common = common_artist(mains)
    decided: tuple[str, ...]
    if common is not None and not tagged:
        decided = (common,)
    elif len(tagged) == 1 and not _collide(rows, numbers, artists):
        decided = next(iter(tagged))
    elif common is None and not tagged and not _collide(rows, numbers, artists):
        decided = (VARIOUS_ARTISTS,)
    else:
        return  # two albums of one name: each by its own artist
    for number in untagged:
        album_artists[number] = decided


def _collide(rows: Sequence[Row], numbers: list[int], artists: list[tuple[str, ...]]) -> bool:
    """Return whether two artists have the same position of an album, as on two albums of one name."""
    owners: dict[tuple[int, int], str] = {}
    for number in numbers:
        row = rows[number]
        if row["track_no"] is None:
            continue
        main = normalize_identity(artists[number][0])
        if owners.setdefault((row["disc_no"] or 1, row["track_no"]), main) != main:
            return True
    return False


def _with_album_artist(row: Row, performers: tuple[str, ...], album_artist: str) -> tuple[str, ...]:
    """Return the performers, the guests apart where the credit begins with the album artist."""
    if len(performers) > 1:
        return performers
    guests = without_artist(performers[0], album_artist)
    return performers if guests is None else (album_artist, guests)


def _releases(rows: Sequence[Row], album_artists: Sequence[str]) -> list[str]:
    """Return MusicBrainz's id of a release where an album name has several; "" for the one seen first.

    So an album keeps its id when its tags get one, and when a second release of the name is added.
    """
    first_seen: dict[tuple[str, str], dict[str, int]] = {}
    keys = []
    for row, album_artist in zip(rows, album_artists, strict=True):
        key = (normalize_identity(album_artist), normalize_identity(row["album"] or ""))
        keys.append(key)
        if row["album"] and row["release_mbid"]:
            seen = row["added_ns"] or row["mtime_ns"] or 0
            releases = first_seen.setdefault(key, {})
            releases[row["release_mbid"]] = min(seen, releases.get(row["release_mbid"], seen))
    found = []
    for row, key in zip(rows, keys, strict=True):
        releases = first_seen.get(key, {})
        mbid = row["release_mbid"] or ""
        is_first = not releases or mbid == min(releases, key=lambda each: (releases[each], each))
        found.append("" if is_first else mbid)
    return found
