"""The collection in Subsonic's terms: artists, albums and songs, each a dictionary with Subsonic's names."""

import random
from functools import cached_property
from typing import Any

from serving import media
from serving.app_state import AppState
from serving.catalog import Album, Track, normalize_text
from serving.db.accounts import User
from serving.media import content_type
from serving.problems import RequestError
from serving.radio import RadioQuery
from serving.search_index import normalize_identity

_ALBUM_ORDERS = (
    *("random", "newest", "highest", "frequent", "recent", "starred"),
    *("alphabeticalByName", "alphabeticalByArtist", "byYear", "byGenre"),
)
# Articles that do not count in the order of artists.
IGNORED_ARTICLES = "The El La Los Las Le Les Os As O A"
_ARTICLES = frozenset(IGNORED_ARTICLES.lower().split())

# Subsonic requires the date an album was added; the lake does not have it.
_UNKNOWN_DATE = "2000-01-01T00:00:00Z"


class LibraryView:
    """The collection as one user sees it."""

    def __init__(self, state: AppState, user: User) -> None:
        self._state, self._catalog, self._user = state, state.catalog, user

    def song(self, track: Track) -> dict[str, Any]:
        """Return a track as Subsonic's Child."""
        file, compressed = media.original(track), media.small(track)
        found = {
            "id": track.track_id,
            "parent": track.album_id,
            "isDir": False,
            "title": track.title,
            "album": track.album or track.title,
            "artist": track.artist,
            "displayArtist": track.artist,
            "artists": [{"id": track.artist_id, "name": track.artist}],
            "track": track.track_no,
            "discNumber": 1,
            "year": track.year,
            "genre": track.genre or None,
            "genres": [{"name": name} for name in track.genres],
            "coverArt": track.track_id,
            "size": file.size,
            "contentType": content_type(file.path.suffix),
            "suffix": file.suffix,
            "duration": round(track.duration_s),
            "bitRate": file.bit_rate,
            # A made-up path: clients see no folders of the collection.
            "path": "/".join(
                _part(name)
                for name in (track.artist, track.album, f"{track.title}{file.path.suffix}")
                if name
            ),
            "created": _UNKNOWN_DATE,
            "type": "music",
            "mediaType": "song",
            "isVideo": False,
            "albumId": track.album_id,
            "artistId": track.artist_id,
            "starred": self._liked.get(track.track_id),
            "userRating": self._stars.get(track.track_id),
            "playCount": self._play_counts.get(track.track_id),
        }
        if compressed.suffix != file.suffix:
            found["transcodedSuffix"] = compressed.suffix
            found["transcodedContentType"] = content_type(compressed.path.suffix)
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def _liked(self) -> dict[str, str]:
        return self._state.feedback.rating_times(self._user.name)

    @cached_property
    def _stars(self) -> dict[str, int]:
        return self._state.playlists.stars(self._user.name)

    @cached_property
    def _play_counts(self) -> dict[str, int]:
        return self._state.feedback.play_counts(self._user.name)

    @cached_property
    def _favourites(self) -> dict[str, str]:
        return self._state.playlists.favourites(self._user.name)

    def songs(self, tracks: list[Track]) -> list[dict[str, Any]]:
        """Return tracks as Subsonic's Child."""
        return [self.song(track) for track in tracks]

    def _album(self, album: Album) -> dict[str, Any]:
        first = album.tracks[0]
        found = {
            "id": album.album_id,
            "name": album.name,
            # What clients of folders (getAlbumList, search2, getStarred) expect of an album.
            "title": album.name,
            "album": album.name,
            "isDir": True,
            "parent": album.artist_id,
            "artist": album.artist,
            "artistId": album.artist_id,
            "coverArt": album.album_id,
            "songCount": len(album.tracks),
            "duration": round(sum(track.duration_s for track in album.tracks)),
            "created": _UNKNOWN_DATE,
            "year": first.year,
            "genre": first.genre or None,
            "starred": self._favourites.get(album.album_id),
            "userRating": self._stars.get(album.album_id),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _artist(self, artist_id: str) -> dict[str, Any]:
        albums = self._catalog.artists[artist_id]
        found = {"id": artist_id, "name": albums[0].artist, "albumCount": len(albums), "coverArt": artist_id}
        marks = {"starred": self._favourites.get(artist_id), "userRating": self._stars.get(artist_id)}
        return {**found, **{name: value for name, value in marks.items() if value is not None}}

    def album(self, album_id: str) -> dict[str, Any]:
        """Return an album with its songs; raises RequestError (404) for none."""
        album = self._catalog.albums.get(album_id)
        if album is None:
            raise RequestError(404, "expected the id of an album")
        return {**self._album(album), "song": self.songs(list(album.tracks))}

    def artist(self, artist_id: str) -> dict[str, Any]:
        """Return an artist with the albums; raises RequestError (404) for none."""
        if artist_id not in self._catalog.artists:
            raise RequestError(404, "expected the id of an artist")
        return {
            **self._artist(artist_id),
            "album": [self._album(album) for album in self._catalog.artists[artist_id]],
        }

    def artist_index(self) -> list[dict[str, Any]]:
        """Return all artists by first letter, without an article, in the order of their names."""
        named = [(_without_article(albums[0].artist), each) for each, albums in self._catalog.artists.items()]
        letters: dict[str, list[dict[str, Any]]] = {}
        for name, artist_id in sorted(named):
            first = name[:1].upper()
            letters.setdefault(first if first.isalpha() else "#", []).append(self._artist(artist_id))
        return [{"name": letter, "artist": letters[letter]} for letter in sorted(letters)]

    def album_list(
        self, kind: str, *, size: int, offset: int, genre: str, years: tuple[int, int]
    ) -> list[dict[str, Any]]:
        """Return a page of albums in one of Subsonic's orders. Raises RequestError (400) for another."""
        if kind not in _ALBUM_ORDERS:
            raise RequestError(
                400, f"type: expected one of {', '.join(_ALBUM_ORDERS)}, found {ascii(kind)[:40]}"
            )
        found = list(self._catalog.albums.values())
        if kind == "random":
            random.shuffle(found)
        elif kind == "alphabeticalByName":
            found.sort(key=lambda album: normalize_text(album.name))
        elif kind == "byYear":
            low, high = sorted(years)
            found = [a for a in found if a.tracks[0].year is not None and low <= a.tracks[0].year <= high]
            found.sort(key=lambda album: album.tracks[0].year or 0, reverse=years[0] > years[1])
        elif kind == "byGenre":
            found = [
                a
                for a in found
                if any(
                    normalize_text(genre) in map(normalize_text, (track.genre, *track.genres))
                    for track in a.tracks
                )
            ]
        elif kind in ("frequent", "recent", "starred", "highest"):
            found = self._order_by_use(found, kind)
        return [self._album(album) for album in found[offset : offset + size]]

    def _order_by_use(self, albums: list[Album], kind: str) -> list[Album]:
        if kind == "starred":
            return [self._catalog.albums[each] for each in self._favourites if each in self._catalog.albums]
        if kind == "frequent":
            weights: dict[str, float] = dict(self._play_counts)
        elif kind == "recent":
            rows = self._state.feedback.history(self._user.name, limit=500)
            weights = {row["track_id"]: float(len(rows) - n) for n, row in reversed(list(enumerate(rows)))}
        else:
            weights = {
                each: 1.0 for each, good in self._state.feedback.ratings(self._user.name).items() if good
            }
        scored = [(max(weights.get(track.track_id, 0) for track in album.tracks), album) for album in albums]
        return [album for score, album in sorted(scored, key=lambda pair: -pair[0]) if score]

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
        tracks = [
            track
            for track in self._catalog.tracks
            if normalize_identity(track.artist) == normalize_identity(artist)
        ]
        return sorted(tracks, key=lambda track: -plays.get(track.track_id, 0))[:count]

    def search(self, query: str, pages: dict[str, tuple[int, int]]) -> dict[str, Any]:
        """Return artists, albums and songs that match a query, all of them for "".

        `pages` has (offset, count) for "artist", "album" and "song".
        """
        tracks = self._catalog.search(query)
        words = normalize_text(query).split()
        artists = dict.fromkeys(t.artist_id for t in tracks if _begins((t.artist,), words))
        albums = dict.fromkeys(t.album_id for t in tracks if _begins((t.album, t.artist), words))

        def page(kind: str, found: list[Any]) -> list[Any]:
            offset, count = pages[kind]
            return found[offset : offset + count]

        return {
            "artist": [self._artist(each) for each in page("artist", list(artists))],
            "album": [self._album(self._catalog.albums[each]) for each in page("album", list(albums))],
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
            return [track for album in self._catalog.artists[item_id] for track in album.tracks]
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
        starred_ids = list(self._favourites)
        albums = [
            self._album(self._catalog.albums[each]) for each in starred_ids if each in self._catalog.albums
        ]
        return albums, [self._artist(each) for each in starred_ids if each in self._catalog.artists]

    def similar_artists(self, item_id: str, count: int) -> list[dict[str, Any]]:
        """Return the artists of similar tracks, without the artist itself."""
        artist_id = self.tracks_of(item_id)[0].artist_id
        near = dict.fromkeys(
            track.artist_id for track in self.similar(item_id, 3 * count) if track.artist_id != artist_id
        )
        return [self._artist(each) for each in near][:count]


def _without_article(name: str) -> str:
    """Return a name as it is sorted: "beatles" for "The Beatles"."""
    first, _, rest = normalize_text(name).partition(" ")
    return rest if first in _ARTICLES and rest else f"{first} {rest}".strip()


def _part(name: str) -> str:
    return name.replace("/", "_")


def _begins(names: tuple[str, ...], words: list[str]) -> bool:
    text_words = [word for name in names for word in normalize_text(name).split()]
    return all(any(text_word.startswith(word) for text_word in text_words) for word in words)
