"""The collection in Subsonic's terms: artists, albums and songs, each a dictionary with Subsonic's names."""

import random
from collections.abc import Sequence
from typing import Any

from serving.app_state import AppState
from serving.catalog import Album, Track, normalize_text, stable_id
from serving.db.accounts import User
from serving.problems import RequestError
from serving.radio import RadioQuery
from serving.subsonic.items import Items

_ALBUM_ORDERS = (
    *("random", "newest", "highest", "frequent", "recent", "starred"),
    *("alphabeticalByName", "alphabeticalByArtist", "byYear", "byGenre"),
)

# Those that the page has too, by its names.
_SORTS = {"alphabeticalByName": "name", "alphabeticalByArtist": "artist", "newest": "added"}


class LibraryView:
    """The collection as one user sees it."""

    def __init__(self, state: AppState, user: User) -> None:
        self._state, self._lists, self._user = state, state.lists, user
        self._catalog = self._lists.catalog
        self._items = Items(state, self._catalog, user)

    def song(self, track: Track) -> dict[str, Any]:
        """Return a track as Subsonic's Child."""
        return self._items.songs([track])[0]

    def songs(self, tracks: list[Track]) -> list[dict[str, Any]]:
        """Return tracks as Subsonic's Child."""
        return self._items.songs(tracks)

    def album(self, album_id: str) -> dict[str, Any]:
        """Return an album with its songs; raises RequestError (404) for none."""
        album = self._catalog.albums.get(album_id)
        if album is None:
            raise RequestError(404, "expected the id of an album")
        (found,) = self._items.albums([album])
        found["discTitles"] = self._items.disc_titles(album)
        return {**found, "song": self.songs(list(album.tracks))}

    def artist(self, artist_id: str) -> dict[str, Any]:
        """Return an artist with the albums; raises RequestError (404) for none."""
        artist = self._catalog.artists.get(artist_id)
        if artist is None:
            raise RequestError(404, "expected the id of an artist")
        return {**self._items.artist(artist), "album": self._items.albums(artist.all_albums)}

    def artist_index(self) -> list[dict[str, Any]]:
        """Return all artists by first letter, without an article, in the order of their names."""
        letters: dict[str, list[dict[str, Any]]] = {}
        for artist in self._catalog.artists.values():
            first = normalize_text(artist.sort_name)[:1].upper()
            letters.setdefault(first if first.isalpha() else "#", []).append(self._items.artist(artist))
        return [{"name": letter, "artist": letters[letter]} for letter in sorted(letters)]

    def album_list(
        self, kind: str, *, size: int, offset: int, genre: str, years: tuple[int, int]
    ) -> list[dict[str, Any]]:
        """Return a page of albums in one of Subsonic's orders. Raises RequestError (400) for another."""
        if kind not in _ALBUM_ORDERS:
            raise RequestError(
                400, f"type: expected one of {', '.join(_ALBUM_ORDERS)}, found {ascii(kind)[:40]}"
            )
        if kind == "random":
            among = list(self._catalog.albums.values())
            found: Sequence[Album] = random.sample(among, min(offset + size, len(among)))
        elif kind in _SORTS:
            found = self._lists.albums(_SORTS[kind]).items
        elif kind == "byYear":
            low, high = sorted(years)
            by_name = self._lists.albums("name").items
            among = [album for album in by_name if album.year is not None and low <= album.year <= high]
            found = sorted(among, key=lambda album: album.year or 0, reverse=years[0] > years[1])
        elif kind == "byGenre":
            of_genre = dict.fromkeys(track.album_id for track in self._catalog.by_genre(genre))
            found = [self._catalog.albums[album_id] for album_id in of_genre]
        else:
            found = self._order_by_use(kind)
        return self._items.albums(found[offset : offset + size])

    def _order_by_use(self, kind: str) -> list[Album]:
        """Return the user's albums, the best first: by a weight of their tracks, or their own."""
        albums = self._catalog.albums
        if kind == "starred":
            return [albums[each] for each in self._items.favourites if each in albums]
        weights: dict[str, float] = {}
        if kind == "frequent":
            weights = dict(self._items.play_counts)
        elif kind == "recent":
            rows = self._state.feedback.history(self._user.name, limit=500)
            weights = {row["track_id"]: float(len(rows) - n) for n, row in reversed(list(enumerate(rows)))}
        best: dict[str, float] = {}
        if kind == "highest":
            best = {each: stars for each, stars in self._items.stars.items() if each in albums}
            ratings = self._state.feedback.ratings(self._user.name)
            weights = {each: 0.5 for each, is_liked in ratings.items() if is_liked}
        for track in self._catalog.by_ids(weights):
            best[track.album_id] = max(best.get(track.album_id, 0.0), weights[track.track_id])
        return [albums[each] for each in sorted(best, key=lambda album_id: -best[album_id])]

    def random_songs(self, count: int, genre: str, years: tuple[int, int]) -> list[Track]:
        """Return random tracks, of one genre if given, and of a range of years."""
        among = list(self._catalog.by_genre(genre) if genre else self._catalog.tracks)
        if years != (0, 9999):
            among = [
                track for track in among if track.year is not None and years[0] <= track.year <= years[1]
            ]
        return random.sample(among, min(count, len(among)))

    def top_songs(self, artist: str, count: int) -> list[Track]:
        """Return an artist's tracks, those the user finished most often first."""
        plays = self._state.feedback.play_counts(self._user.name)
        tracks = self._catalog.artist_tracks(stable_id("ar", artist))
        return sorted(tracks, key=lambda track: -plays.get(track.track_id, 0))[:count]

    def search(self, query: str, pages: dict[str, tuple[int, int]]) -> dict[str, Any]:
        """Return artists, albums and songs that match a query, all of them for "".

        `pages` has (offset, count) for "artist", "album" and "song".
        """
        tracks = self._catalog.search(query)
        words = normalize_text(query).split()
        artists = dict.fromkeys(
            artist_id for track in tracks for artist_id in (*track.artist_ids, *track.album_artist_ids)
        )
        albums = dict.fromkeys(track.album_id for track in tracks)
        if words:  # each name once, not once a track
            known_artists, known_albums = self._catalog.artists, self._catalog.albums
            artists = {each: None for each in artists if _begins((known_artists[each].name,), words)}
            albums = {
                each: None
                for each in albums
                if _begins((known_albums[each].name, known_albums[each].artist), words)
            }

        def page(kind: str, found: list[Any]) -> list[Any]:
            offset, count = pages[kind]
            return found[offset : offset + count]

        return {
            "artist": [self._items.artist_by_id(each) for each in page("artist", list(artists))],
            "album": self._items.albums([self._catalog.albums[each] for each in page("album", list(albums))]),
            "song": self.songs(page("song", tracks)),
        }

    def similar(self, item_id: str, count: int) -> list[Track]:
        """Return tracks similar to a song, an album or an artist, without the seeds."""
        seeds = self.tracks_of(item_id)
        if len(seeds) == 1:
            near = self._state.online_store.similar(seeds[0].track_id)
            if near:
                return self._catalog.by_ids(item["track_id"] for item in near)[:count]
        champion = self._state.online_store.champion()
        seed_ids = {track.track_id for track in seeds}
        query = RadioQuery(seeds=seeds, excluded=seed_ids, count=count)
        return self._state.radio.next_tracks(self._catalog, champion, query)

    def tracks_of(self, item_id: str) -> list[Track]:
        """Return the tracks of an artist, an album or a song; raises RequestError (404) for none."""
        if item_id in self._catalog.artists:
            return self._catalog.artist_tracks(item_id)
        if item_id in self._catalog.albums:
            return list(self._catalog.albums[item_id].tracks)
        return [self._state.track(item_id)]

    def resolve_track(self, item_id: str) -> Track:
        """Return a track of the song, album or artist with this id; raises RequestError (404) for none."""
        return self.tracks_of(item_id)[0]

    def is_artist_or_album(self, item_id: str) -> bool:
        """Return whether an id is that of an album or an artist."""
        return item_id in self._catalog.albums or item_id in self._catalog.artists

    def starred(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the user's starred albums and artists, the latest first."""
        starred_ids = list(self._items.favourites)
        albums = [self._catalog.albums[each] for each in starred_ids if each in self._catalog.albums]
        artists = [self._catalog.artists[each] for each in starred_ids if each in self._catalog.artists]
        return self._items.albums(albums), [self._items.artist(artist) for artist in artists]

    def similar_artists(self, item_id: str, count: int) -> list[dict[str, Any]]:
        """Return the artists of similar tracks, without the artist itself."""
        artist_id = item_id if item_id in self._catalog.artists else self.tracks_of(item_id)[0].artist_id
        near = dict.fromkeys(
            track.artist_id for track in self.similar(item_id, 3 * count) if track.artist_id != artist_id
        )
        return [self._items.artist_by_id(each) for each in near][:count]


def _begins(names: tuple[str, ...], words: list[str]) -> bool:
    text_words = [word for name in names for word in normalize_text(name).split()]
    return all(any(text_word.startswith(word) for text_word in text_words) for word in words)
