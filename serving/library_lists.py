"""Sorted and filtered lists of the collection: albums, artists, tracks, with the places of letters.

The orders of one catalog are built once, on first use or by `warm_up`; a request takes a slice of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from serving.catalog import Album, Artist, Catalog, Track
from serving.search_index import PrefixIndex, normalize_text

T = TypeVar("T")

# Words that a name is not sorted by, as in other servers.
_ARTICLES = frozenset(("the", "el", "la", "los", "las", "le", "les", "os", "as", "o", "a"))

# Letters from here on (Han, kana, Hangul) have one place in the index of letters.
_FIRST_CJK = "\u2e80"


class SortKey(NamedTuple):
    """What a name is sorted by: names that begin with no letter first, then alphabets, then CJK."""

    group: int
    text: str

    @property
    def letter(self) -> str:
        """The heading of the name in an index of letters."""
        return ("#", self.text[:1].upper(), "文")[self.group]


@lru_cache(maxsize=500_000)
def sort_key(name: str) -> SortKey:
    """Return a name's key: without case, accents, symbols and a leading article."""
    words = normalize_text(name).split()
    text = " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)
    first = text[:1]
    return SortKey(0 if not first.isalpha() else 2 if first >= _FIRST_CJK else 1, text)


@dataclass(frozen=True)
class Listing(Generic[T]):
    """Items in one order; `letters` has (letter, index of its first item) if they are in order of names."""

    items: Sequence[T]
    letters: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class AlbumFacts:
    """What an album's tracks say together. `duration_s` is in seconds."""

    year: int | None
    genre: str
    duration_s: float


def album_facts(album: Album) -> AlbumFacts:
    """Return the year, the commonest genre and the length of an album."""
    return AlbumFacts(album.year, next(iter(album.genres), ""), album.duration_s)


# A name to sort and group by, for each order; None for an order without letters.
_TRACK_NAMES: dict[str, Callable[[Track], str] | None] = {
    "title": lambda track: track.title,
    "artist": lambda track: track.artist,
    "album": lambda track: track.album or track.title,
    "year": None,
    "duration": None,
}
_ALBUM_NAMES: dict[str, Callable[[Album], str] | None] = {
    "name": lambda album: album.name,
    "artist": lambda album: album.artist,
    "year": None,
    "added": None,
}
_ARTIST_NAMES: dict[str, Callable[[Artist], str] | None] = {
    "name": lambda artist: artist.sort_name,
    "tracks": None,
}

TRACK_ORDERS, ALBUM_ORDERS, ARTIST_ORDERS = tuple(_TRACK_NAMES), tuple(_ALBUM_NAMES), tuple(_ARTIST_NAMES)


class LibraryLists:
    """The lists of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._orders: dict[tuple[str, str], Sequence[Any]] = {}
        # By the identity of an order, which lives as long as these lists, and its direction.
        self._listings: dict[tuple[int, bool], Listing[Any]] = {}

    def warm_up(self) -> None:
        """Build the orders that a page asks for first."""
        self.albums("name")
        self.artists("name")
        self.tracks("title")
        _ = (self._album_index, self._artist_index)

    @cached_property
    def facts(self) -> dict[str, AlbumFacts]:
        """Facts of each album by id."""
        return {album_id: album_facts(album) for album_id, album in self.catalog.albums.items()}

    @cached_property
    def track_counts(self) -> dict[str, int]:
        """Numbers of tracks by artist id."""
        return {each: len(self.catalog.artist_tracks(each)) for each in self.catalog.artists}

    @cached_property
    def _album_index(self) -> PrefixIndex:
        albums = self.catalog.albums.values()
        names = [normalize_text(album.name) for album in albums]
        return PrefixIndex([(2.0, names), (1.0, [normalize_text(album.artist) for album in albums])])

    @cached_property
    def _artist_index(self) -> PrefixIndex:
        return PrefixIndex([(1.0, [normalize_text(artist.name) for artist in self.catalog.artists.values()])])

    def search_albums(self, query: str) -> list[Album]:
        """Return the albums with words of name or artist that begin as the query's words, best first."""
        albums = list(self.catalog.albums.values())
        return [albums[number] for number in self._album_index.search(query)]

    def search_artists(self, query: str) -> list[Artist]:
        """Return the artists with words of the name that begin as the query's words, best first."""
        artists = list(self.catalog.artists.values())
        return [artists[number] for number in self._artist_index.search(query)]

    def albums(self, sort: str, *, query: str = "", genre: str = "", reverse: bool = False) -> Listing[Album]:
        """Return albums of a query and a genre in one of ALBUM_ORDERS, the latest first by time."""
        keys: dict[str, Callable[[Album], Any]] = {
            "name": lambda a: (sort_key(a.name), sort_key(a.artist)),
            "artist": lambda a: (sort_key(a.artist), self.facts[a.album_id].year or 0, sort_key(a.name)),
            "year": lambda a: (-(self.facts[a.album_id].year or 0), sort_key(a.name)),
            "added": lambda a: (-a.added_s, sort_key(a.name)),
        }
        found = self._ordered("albums", sort, list(self.catalog.albums.values()), keys)
        if query.strip():
            matching = {album.album_id for album in self.search_albums(query)}
            found = [album for album in found if album.album_id in matching]
        if normalize_text(genre):
            of_genre = {track.album_id for track in self.catalog.by_genre(genre)}
            found = [album for album in found if album.album_id in of_genre]
        return self._listing(found, _ALBUM_NAMES[sort], reverse)

    def artists(self, sort: str, *, query: str = "", reverse: bool = False) -> Listing[Artist]:
        """Return artists in one of ARTIST_ORDERS, the one with the most tracks first."""
        keys: dict[str, Callable[[Artist], Any]] = {
            "name": lambda a: sort_key(a.sort_name),
            "tracks": lambda a: (-self.track_counts[a.artist_id], sort_key(a.sort_name)),
        }
        found = self._ordered("artists", sort, list(self.catalog.artists.values()), keys)
        if query.strip():
            matching = {artist.artist_id for artist in self.search_artists(query)}
            found = [artist for artist in found if artist.artist_id in matching]
        return self._listing(found, _ARTIST_NAMES[sort], reverse)

    def tracks(self, sort: str, *, query: str = "", genre: str = "", reverse: bool = False) -> Listing[Track]:
        """Return tracks in one of TRACK_ORDERS, the latest year and the longest first."""
        keys: dict[str, Callable[[Track], Any]] = {
            "title": lambda t: (sort_key(t.title), sort_key(t.artist)),
            "artist": lambda t: sort_key(t.artist),
            "album": lambda t: (sort_key(t.album or t.title), t.album_id),
            "year": lambda t: -(t.year or 0),
            "duration": lambda t: -t.duration_s,
        }
        found = self._ordered("tracks", sort, list(self.catalog.tracks), keys)
        if query.strip():
            matching = {track.track_id for track in self.catalog.search(query)}
            found = [track for track in found if track.track_id in matching]
        if normalize_text(genre):
            of_genre = {track.track_id for track in self.catalog.by_genre(genre)}
            found = [track for track in found if track.track_id in of_genre]
        return self._listing(found, _TRACK_NAMES[sort], reverse)

    def _ordered(
        self, kind: str, sort: str, items: list[T], keys: dict[str, Callable[[T], Any]]
    ) -> Sequence[T]:
        """Return items in an order; the sort is stable, so the catalog's order decides between equals."""
        if (kind, sort) not in self._orders:
            self._orders[kind, sort] = tuple(sorted(items, key=keys[sort]))
        return self._orders[kind, sort]

    def _listing(self, items: Sequence[T], name: Callable[[T], str] | None, reverse: bool) -> Listing[T]:
        """Return items with their letters; those of a whole order are built once."""
        key = (id(items), reverse)
        if key in self._listings:
            return self._listings[key]
        found = tuple(reversed(items)) if reverse else items
        letters: dict[str, int] = {}
        for index, item in enumerate(found if name else ()):
            assert name is not None
            letters.setdefault(sort_key(name(item)).letter, index)
        listing = Listing(found, list(letters.items()))
        if any(items is order for order in self._orders.values()):
            self._listings[key] = listing
        return listing
