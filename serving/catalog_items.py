"""Tracks, albums and artists of the catalog, their ids, and how tracks make albums and albums artists."""

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from jobs.audio.artist_names import VARIOUS_ARTISTS
from serving.search_index import normalize_identity, normalize_text

# Words that a sorted name leaves out at its beginning, as Navidrome's default.
IGNORED_ARTICLES = "The El La Los Las Le Les Os As O A"
_ARTICLES = frozenset(f"{article.casefold()} " for article in IGNORED_ARTICLES.split())


@dataclass(frozen=True, slots=True)
class Track:
    """One track that can be played: columns of TRACKS, with "" for unknown text."""

    track_id: str
    title: str
    artist: str  # as credited, guests too
    album: str
    track_no: int | None
    year: int | None
    genre: str
    genres: tuple[str, ...]
    duration_s: float
    bit_rate: int
    # The file of the library, and the compressed one; the same where that one was not compressed.
    path: str
    audio_path: str
    recording_id: str
    # Ids made of names; a track without an album has an album of its own, as clients expect.
    artist_id: str  # of the main artist
    album_id: str
    artists: tuple[str, ...] = ()  # performers, the main artist first
    artist_ids: tuple[str, ...] = ()
    album_artist: str = ""  # as credited
    album_artists: tuple[str, ...] = ()
    album_artist_ids: tuple[str, ...] = ()
    disc_no: int | None = None
    added_s: int = 0  # when it was first seen, seconds since 1970
    genre_predicted: bool = False  # from the sound, as none is written
    row: int = 0  # of the catalog's details


def stable_id(kind: str, *names: str) -> str:
    """Return an id made of names: stable over restarts, rebuilds and additions.

    Names of one spelling have one id, whatever their case and their form of Unicode.
    """
    return f"{kind}-{hashlib.sha256(chr(0).join(map(normalize_identity, names)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Album:
    """Tracks of one release, by disc and position."""

    album_id: str
    name: str
    artist: str  # as credited
    artist_id: str  # of the first artist
    tracks: tuple[Track, ...]
    artists: tuple[str, ...]
    artist_ids: tuple[str, ...]
    genres: tuple[str, ...]  # of all tracks, the most frequent first
    year: int | None  # the first that a track has
    added_s: int  # when the last of its tracks was first seen, seconds since 1970
    duration_s: float

    @property
    def is_compilation(self) -> bool:
        """Whether the album is by several artists, none of whom it is named after."""
        return self.artist == VARIOUS_ARTISTS


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist with albums, or one who only performs on the albums of others."""

    artist_id: str
    name: str
    sort_name: str  # without an article
    albums: tuple[Album, ...]  # as album artist
    appears_on: tuple[Album, ...]  # albums of others with tracks by this artist

    @property
    def all_albums(self) -> tuple[Album, ...]:
        """Own albums, then those of others."""
        return (*self.albums, *self.appears_on)


def track_genres(track: Track) -> list[str]:
    """Return all genres of a track, the top genre first, each once."""
    return list(dict.fromkeys(name for name in (track.genre, *track.genres) if name))


def sort_name(name: str) -> str:
    """Return a name as it is sorted: without an article at its beginning."""
    first, blank, rest = name.partition(" ")
    return rest if f"{first}{blank}".casefold() in _ARTICLES and rest.strip() else name


def group_albums(tracks: tuple[Track, ...]) -> dict[str, Album]:
    """Return albums by id, in the order of the tracks."""
    grouped: dict[str, list[Track]] = {}
    for track in tracks:
        grouped.setdefault(track.album_id, []).append(track)
    return {
        album_id: Album(
            album_id,
            first.album or first.title,
            first.album_artist or first.artist,
            (first.album_artist_ids or first.artist_ids or (first.artist_id,))[0],
            tuple(group),
            first.album_artists or (first.artist,),
            first.album_artist_ids or (first.artist_id,),
            _genres(group),
            next((track.year for track in group if track.year is not None), None),
            max(track.added_s for track in group),
            sum(track.duration_s for track in group),
        )
        for album_id, group in grouped.items()
        for first in group[:1]
    }


def _genres(tracks: list[Track]) -> tuple[str, ...]:
    counts = Counter(name for track in tracks for name in track_genres(track))
    return tuple(name for name, _ in counts.most_common())


def group_artists(albums: Collection[Album], sort_names: dict[str, str]) -> dict[str, Artist]:
    """Return album artists and performers by id, sorted by name."""
    names: dict[str, str] = {}
    own: dict[str, list[Album]] = {}
    others: dict[str, list[Album]] = {}
    for album in albums:
        for artist_id, name in zip(album.artist_ids, album.artists, strict=True):
            names.setdefault(artist_id, name)
            own.setdefault(artist_id, []).append(album)
    for album in albums:
        performers: dict[str, str] = {}
        for track in album.tracks:
            performers.update(zip(track.artist_ids, track.artists, strict=True))
        for artist_id, name in performers.items():
            if artist_id not in album.artist_ids:
                names.setdefault(artist_id, name)
                others.setdefault(artist_id, []).append(album)
    found = [
        Artist(
            artist_id,
            name,
            sort_names.get(artist_id) or sort_name(name),
            tuple(own.get(artist_id, ())),
            tuple(others.get(artist_id, ())),
        )
        for artist_id, name in names.items()
    ]
    found.sort(key=lambda artist: (normalize_text(artist.sort_name), artist.artist_id))
    return {artist.artist_id: artist for artist in found}
