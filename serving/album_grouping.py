"""Which album a track belongs to, by whom it is, and who performs it: columns of TRACKS in, names out.

The album artist of a track is the tags' one; else "Various Artists" of a compilation; else what the tracks of
one album name in one folder agree on: an artist with guests, or several artists, which is a compilation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

from jobs.audio.artist_names import (
    VARIOUS_ARTISTS,
    common_artist,
    is_various,
    split_artists,
    without_artist,
)
from jobs.audio.path_tags import album_folder
from serving.search_index import normalize_identity
from serving.track_columns import TrackColumns

_VARIOUS = (VARIOUS_ARTISTS,)


@dataclass(frozen=True)
class Credits:
    """The names of tracks and of their albums, one value per track."""

    artists: list[tuple[str, ...]]  # performers, the main artist first
    album_artist: list[str]  # as credited
    album_artists: list[tuple[str, ...]]
    release: list[str]  # MusicBrainz's id where an album name has several releases, else ""


def credit_tracks(tracks: TrackColumns) -> Credits:
    """Return the credits of every track."""
    numbers = range(len(tracks))
    artists = [_artists(tracks.artists[number], tracks.artist[number]) for number in numbers]
    album_artists = [_tagged_album_artists(tracks, number) for number in numbers]
    for folder in _album_folders(tracks):
        if not all(album_artists[number] for number in folder):
            _fill_album_artists(tracks, folder, artists, album_artists)
    credits = []
    for number in numbers:
        names = album_artists[number]
        credit = _album_credit(tracks.album_artist[number], names) if names else artists[number][0]
        credits.append(credit)
        artists[number] = _with_album_artist(artists[number], credit)
        album_artists[number] = names or (credit,)
    return Credits(artists, credits, album_artists, _releases(tracks, credits))


def _album_folders(tracks: TrackColumns) -> Iterable[list[int]]:
    """Return the tracks of each album name in each folder; FMA's folders have a thousand albums."""
    folders: dict[tuple[str, str], list[int]] = {}
    for number, album in enumerate(tracks.album):
        path = tracks.path[number] or tracks.audio_path[number]
        if album and path and tracks.source[number] != "fma":
            folder = str(album_folder(PurePath(path)))
            folders.setdefault((folder, normalize_identity(album)), []).append(number)
    return folders.values()


@lru_cache(maxsize=1_000)
def _split(credit: str) -> tuple[str, ...]:
    return tuple(split_artists(credit))


def _artists(listed: Sequence[str] | None, artist: str | None) -> tuple[str, ...]:
    """Return the performers; tables of older versions do not have guests apart."""
    if listed and len(listed) > 1:
        return tuple(listed)
    return _split(listed[0] if listed else artist or "")


def _tagged_album_artists(tracks: TrackColumns, number: int) -> tuple[str, ...]:
    """Return the album artists by the tags, () if they do not say."""
    credit, album = tracks.album_artist[number], tracks.album[number]
    names = tuple(tracks.album_artists[number] or ()) or ((credit,) if credit else ())
    if len(names) == 1 and is_various(names[0]):
        return _VARIOUS if album else ()
    return names or (_VARIOUS if tracks.is_compilation[number] and album else ())


def _album_credit(credit: str | None, names: tuple[str, ...]) -> str:
    """Return the album artist as one text: as the tags credit several, else joined."""
    return credit if credit and names != _VARIOUS else ", ".join(names)


def _fill_album_artists(
    tracks: TrackColumns,
    numbers: list[int],
    artists: list[tuple[str, ...]],
    album_artists: list[tuple[str, ...]],
) -> None:
    """Set the album artists of the tracks that have none, of one album name in one folder."""
    untagged = [number for number in numbers if not album_artists[number]]
    tagged = {album_artists[number] for number in numbers if album_artists[number]}
    common = common_artist([artists[number][0] for number in untagged])
    decided: tuple[str, ...]
    if common is not None and not tagged:
        decided = (common,)
    elif len(tagged) == 1 and not _collide(tracks, numbers, artists):
        decided = next(iter(tagged))
    elif common is None and not tagged and not _collide(tracks, numbers, artists):
        decided = _VARIOUS
    else:
        return  # two albums of one name: each by its own artist
    for number in untagged:
        album_artists[number] = decided


def _collide(tracks: TrackColumns, numbers: list[int], artists: list[tuple[str, ...]]) -> bool:
    """Return whether two artists have the same position of an album, as on two albums of one name."""
    owners: dict[tuple[int, int], str] = {}
    for number in numbers:
        if tracks.track_no[number] is None:
            continue
        main = normalize_identity(artists[number][0])
        position = (tracks.disc_no[number] or 1, tracks.track_no[number])
        if owners.setdefault(position, main) != main:
            return True
    return False


def _with_album_artist(performers: tuple[str, ...], album_artist: str) -> tuple[str, ...]:
    """Return the performers, the guests apart where the credit begins with the album artist."""
    if len(performers) > 1 or performers[0] == album_artist:
        return performers
    guests = without_artist(performers[0], album_artist)
    return performers if guests is None else (album_artist, guests)


def _releases(tracks: TrackColumns, album_artists: Sequence[str]) -> list[str]:
    """Return MusicBrainz's id of a release where an album name has several; "" for the one seen first.

    So an album keeps its id when its tags get one, and when a second release of the name is added.
    """
    first_seen: dict[tuple[str, str], dict[str, int]] = {}
    for number, mbid in enumerate(tracks.release_mbid):
        if mbid and tracks.album[number]:
            seen = tracks.added_ns[number] or tracks.mtime_ns[number] or 0
            releases = first_seen.setdefault((album_artists[number], tracks.album[number]), {})
            releases[mbid] = min(seen, releases.get(mbid, seen))
    several: dict[tuple[str, str], dict[str, int]] = {}
    for names, releases in first_seen.items():
        several.setdefault(_identity(*names), {}).update(releases)
    several = {names: releases for names, releases in several.items() if len(releases) > 1}
    if not several:
        return [""] * len(tracks)
    found = []
    for number, mbid in enumerate(tracks.release_mbid):
        releases = several.get(_identity(album_artists[number], tracks.album[number] or ""), {})
        is_first = not releases or mbid == min(releases, key=lambda each: (releases[each], each))
        found.append("" if is_first else mbid or "")
    return found


def _identity(artist: str, album: str) -> tuple[str, str]:
    return normalize_identity(artist), normalize_identity(album)
