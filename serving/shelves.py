"""The collection as Subsonic's clients see it: artists, albums and songs, each a dict of Subsonic's names."""

import random
from pathlib import Path
from typing import Any

from serving.accounts import User
from serving.catalog import Album, Track, fold
from serving.guard import Refused
from serving.house import House
from serving.media import content_type

# Subsonic wants to know when an album was added; the lake does not say.
_CREATED = "2000-01-01T00:00:00Z"


class Shelves:
    """The collection for one listener."""

    def __init__(self, house: House, user: User) -> None:
        self._house, self._catalog, self._user = house, house.catalog, user
        self._starred: dict[str, str] | None = None

    def song(self, track: Track) -> dict[str, Any]:
        """Return a track as Subsonic's Child."""
        if self._starred is None:
            self._starred = self._house.listeners.rated_at(self._user.name)
        suffix = Path(track.audio_path).suffix.lower()
        found = {
            "id": track.track_id,
            "parent": track.album_id,
            "isDir": False,
            "title": track.title,
            "album": track.album or track.title,
            "artist": track.artist,
            "track": track.track_no,
            "year": track.year,
            "genre": track.genre or None,
            "coverArt": track.track_id,
            "contentType": content_type(suffix),
            "suffix": suffix.removeprefix("."),
            "duration": round(track.duration_s),
            "bitRate": track.bit_rate // 1000,
            "type": "music",
            "mediaType": "song",
            "isVideo": False,
            "albumId": track.album_id,
            "artistId": track.artist_id,
            "starred": self._starred.get(track.track_id),
        }
        return {name: value for name, value in found.items() if value is not None}

    def songs(self, tracks: list[Track]) -> list[dict[str, Any]]:
        """Return tracks as Children."""
        return [self.song(track) for track in tracks]

    def _album(self, album: Album) -> dict[str, Any]:
        first = album.tracks[0]
        found = {
            "id": album.album_id,
            "name": album.name,
            "artist": album.artist,
            "artistId": album.artist_id,
            "coverArt": album.album_id,
            "songCount": len(album.tracks),
            "duration": round(sum(track.duration_s for track in album.tracks)),
            "created": _CREATED,
            "year": first.year,
            "genre": first.genre or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _artist(self, artist_id: str) -> dict[str, Any]:
        albums = self._catalog.artists[artist_id]
        return {"id": artist_id, "name": albums[0].artist, "albumCount": len(albums), "coverArt": artist_id}

    def album(self, album_id: str) -> dict[str, Any]:
        """Return an album with its songs; Refused (404) for none."""
        album = self._catalog.albums.get(album_id)
        if album is None:
            raise Refused(404, "expected the id of an album")
        return {**self._album(album), "song": self.songs(list(album.tracks))}

    def artist(self, artist_id: str) -> dict[str, Any]:
        """Return an artist with the albums; Refused (404) for none."""
        if artist_id not in self._catalog.artists:
            raise Refused(404, "expected the id of an artist")
        return {
            **self._artist(artist_id),
            "album": [self._album(album) for album in self._catalog.artists[artist_id]],
        }

    def index(self) -> list[dict[str, Any]]:
        """Return all artists by first letter."""
        letters: dict[str, list[dict[str, Any]]] = {}
        for artist_id in self._catalog.artists:
            found = self._artist(artist_id)
            first = fold(found["name"])[:1].upper()
            letters.setdefault(first if first.isalpha() else "#", []).append(found)
        return [{"name": letter, "artist": letters[letter]} for letter in sorted(letters)]

    def albums(self, kind: str, *, size: int, offset: int, genre: str, years: tuple[int, int]) -> list[dict[str, Any]]:
        """Return a page of albums in one of Subsonic's orders."""
        found = list(self._catalog.albums.values())
        if kind == "random":
            random.shuffle(found)
        elif kind == "alphabeticalByName":
            found.sort(key=lambda album: fold(album.name))
        elif kind == "byYear":
            low, high = sorted(years)
            found = [a for a in found if a.tracks[0].year is not None and low <= a.tracks[0].year <= high]
            found.sort(key=lambda album: album.tracks[0].year or 0, reverse=years[0] > years[1])
        elif kind == "byGenre":
            found = [a for a in found if any(fold(track.genre) == fold(genre) for track in a.tracks)]
        elif kind in ("frequent", "recent", "starred", "highest"):
            found = self._by_listener(found, kind)
        return [self._album(album) for album in found[offset : offset + size]]

    def _by_listener(self, albums: list[Album], kind: str) -> list[Album]:
        if kind == "frequent":
            weights: dict[str, float] = dict(self._house.listeners.plays_of(self._user.name))
        elif kind == "recent":
            rows = self._house.listeners.history(self._user.name, most=500)
            weights = {row["track_id"]: float(len(rows) - n) for n, row in reversed(list(enumerate(rows)))}
        else:
            weights = {each: 1.0 for each, good in self._house.listeners.ratings(self._user.name).items() if good}
        scored = [(max(weights.get(track.track_id, 0) for track in album.tracks), album) for album in albums]
        return [album for score, album in sorted(scored, key=lambda pair: -pair[0]) if score]

    def of_genre(self, genre: str) -> list[Track]:
        """Return the tracks of a genre."""
        wanted = fold(genre)
        return [t for t in self._catalog.tracks if wanted in (fold(name) for name in (t.genre, *t.genres))]

    def random(self, count: int, genre: str) -> list[Track]:
        """Return tracks drawn at random, of one genre where one is named."""
        among = self.of_genre(genre) if genre else self._catalog.tracks
        return random.sample(list(among), min(count, len(among)))

    def top(self, artist: str, count: int) -> list[Track]:
        """Return an artist's tracks, those that the listener finished most often first."""
        plays = self._house.listeners.plays_of(self._user.name)
        tracks = [track for track in self._catalog.tracks if fold(track.artist) == fold(artist)]
        return sorted(tracks, key=lambda track: -plays.get(track.track_id, 0))[:count]

    def search(self, query: str, pages: dict[str, tuple[int, int]]) -> dict[str, Any]:
        """Return what a query finds: `pages` has (offset, count) for artist, album and song. All for an empty query."""
        tracks = self._catalog.search(query)
        words = fold(query).split()
        artists = dict.fromkeys(t.artist_id for t in tracks if _begins(t.artist, words))
        albums = dict.fromkeys(t.album_id for t in tracks if _begins(f"{t.album} {t.artist}", words))

        def page(kind: str, found: list[Any]) -> list[Any]:
            offset, count = pages[kind]
            return found[offset : offset + count]

        return {
            "artist": [self._artist(each) for each in page("artist", list(artists))],
            "album": [self._album(self._catalog.albums[each]) for each in page("album", list(albums))],
            "song": self.songs(page("song", tracks)),
        }

    def similar(self, wanted: str, count: int) -> list[Track]:
        """Return what sounds like a song, an album or an artist, without the seeds themselves."""
        seeds = self._seeds(wanted)
        if len(seeds) == 1:
            near = self._house.projection.similar(seeds[0].track_id)
            if near:
                return self._catalog.known(item["track_id"] for item in near)[:count]
        champion, own = self._house.projection.champion(), [track.track_id for track in seeds]
        return self._house.radio.next(self._catalog, champion, seeds, [], set(own), count)

    def _seeds(self, wanted: str) -> list[Track]:
        if wanted in self._catalog.artists:
            return [track for album in self._catalog.artists[wanted] for track in album.tracks]
        if wanted in self._catalog.albums:
            return list(self._catalog.albums[wanted].tracks)
        return [self._house.track(wanted)]

    def any_track(self, wanted: str) -> Track:
        """Return a track of a song's, album's, artist's or playlist's id; Refused (404) for none."""
        return self._seeds(wanted)[0]

    def named(self, songs: list[str], albums: list[str], artists: list[str]) -> list[Track]:
        """Return the tracks of these ids; Refused (404) where one is none."""
        return [track for each in (*songs, *albums, *artists) for track in self._seeds(each)]


def _begins(text: str, words: list[str]) -> bool:
    own = fold(text).split()
    return all(any(each.startswith(word) for each in own) for word in words)
