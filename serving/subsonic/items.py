"""Tracks, albums and artists as dictionaries with Subsonic's names, as one user sees them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from serving import media
from serving.app_state import AppState
from serving.catalog import Album, Artist, Catalog, Track
from serving.catalog_items import sort_name, track_genres
from serving.db.accounts import User
from serving.media import content_type
from serving.track_details import Details

# Details that an album has from its first track.
_OF_ALBUMS = ("album_sort", "release_mbid", "release_date", "original_date")


class Items:
    """Songs, albums and artists, with a user's stars, ratings and plays."""

    def __init__(self, state: AppState, catalog: Catalog, user: User) -> None:
        self._state, self._catalog, self._user = state, catalog, user

    def songs(self, tracks: Sequence[Track]) -> list[dict[str, Any]]:
        """Return tracks as Subsonic's Child."""
        details = self._catalog.details.rows([track.row for track in tracks])
        return [self._song(track, about) for track, about in zip(tracks, details, strict=True)]

    def _song(self, track: Track, about: Details) -> dict[str, Any]:
        file, compressed = media.original(track), media.small(track)
        is_transcoded = compressed.suffix != file.suffix
        return _known(
            {
                "id": track.track_id,
                "parent": track.album_id,
                "isDir": False,
                "title": track.title,
                "album": track.album or track.title,
                "artist": track.artist,
                "displayArtist": track.artist,
                "artists": _references(track.artist_ids, track.artists),
                "displayAlbumArtist": track.album_artist,
                "albumArtists": _references(track.album_artist_ids, track.album_artists),
                "track": track.track_no,
                "discNumber": track.disc_no or 1,
                "year": track.year,
                "genre": track.genre or None,
                "genres": [{"name": name} for name in track_genres(track)],
                "coverArt": track.album_id,
                "size": file.size,
                "contentType": content_type(file.path.suffix),
                "suffix": file.suffix,
                "transcodedSuffix": compressed.suffix if is_transcoded else None,
                "transcodedContentType": content_type(compressed.path.suffix) if is_transcoded else None,
                "duration": round(track.duration_s),
                "bitRate": file.bit_rate,
                # A made-up path: clients see no folders of the collection.
                "path": "/".join(
                    name.replace("/", "_")
                    for name in (track.album_artist, track.album, f"{track.title}{file.path.suffix}")
                    if name
                ),
                "created": _iso(track.added_s),
                "type": "music",
                "mediaType": "song",
                "isVideo": False,
                "albumId": track.album_id,
                "artistId": track.artist_id,
                "starred": self._likes.get(track.track_id),
                "userRating": self.stars.get(track.track_id),
                "playCount": self.play_counts.get(track.track_id),
                "played": self._last_plays.get(track.track_id),
                "sortName": about["title_sort"] or sort_name(track.title),
                "musicBrainzId": about["recording_mbid"],
                "isrc": about["isrcs"] or None,
                "comment": about["comment"],
                "bpm": round(about["bpm"]) if about["bpm"] else None,
                "samplingRate": about["sample_rate"],
                "channelCount": about["channels"],
                "bitDepth": about["bit_depth"],
                "replayGain": _replay_gain(about),
            }
        )

    def albums(self, albums: Sequence[Album]) -> list[dict[str, Any]]:
        """Return albums, without their songs, as Subsonic's AlbumID3 and Child."""
        first_tracks = self._catalog.details.rows([album.tracks[0].row for album in albums], _OF_ALBUMS)
        return [self._album(album, about) for album, about in zip(albums, first_tracks, strict=True)]

    def _album(self, album: Album, about: Details) -> dict[str, Any]:
        genres = album.genres
        count, last_play = self._album_plays.get(album.album_id, (None, None))
        return _known(
            {
                "id": album.album_id,
                "name": album.name,
                # What clients of folders (getAlbumList, search2, getStarred) expect of an album.
                "title": album.name,
                "album": album.name,
                "isDir": True,
                "parent": album.artist_id,
                "artist": album.artist,
                "artistId": album.artist_id,
                "displayArtist": album.artist,
                "artists": _references(album.artist_ids, album.artists),
                "coverArt": album.album_id,
                "songCount": len(album.tracks),
                "duration": round(album.duration_s),
                "created": _iso(album.added_s),
                "year": album.year,
                "genre": genres[0] if genres else None,
                "genres": [{"name": name} for name in genres],
                "isCompilation": album.is_compilation,
                "sortName": about["album_sort"] or sort_name(album.name),
                "musicBrainzId": about["release_mbid"],
                "releaseDate": _date(about["release_date"]),
                "originalReleaseDate": _date(about["original_date"]),
                "playCount": count,
                "played": last_play,
                "starred": self.favourites.get(album.album_id),
                "userRating": self.stars.get(album.album_id),
            }
        )

    def disc_titles(self, album: Album) -> list[dict[str, Any]]:
        """Return the titles of the discs that have one."""
        details = self._catalog.details.rows([track.row for track in album.tracks], ("disc_title",))
        titles: dict[int, str] = {}
        for track, about in zip(album.tracks, details, strict=True):
            if about["disc_title"]:
                titles.setdefault(track.disc_no or 1, about["disc_title"])
        return [{"disc": disc, "title": title} for disc, title in sorted(titles.items())]

    def artist(self, artist: Artist) -> dict[str, Any]:
        """Return an artist, without the albums, as Subsonic's ArtistID3."""
        return _known(
            {
                "id": artist.artist_id,
                "name": artist.name,
                "sortName": artist.sort_name,
                "albumCount": len(artist.all_albums),
                "coverArt": artist.artist_id,
                "starred": self.favourites.get(artist.artist_id),
                "userRating": self.stars.get(artist.artist_id),
            }
        )

    def artist_by_id(self, artist_id: str) -> dict[str, Any]:
        """Return the artist with this id."""
        return self.artist(self._catalog.artists[artist_id])

    @cached_property
    def _likes(self) -> dict[str, str]:
        return self._state.feedback.rating_times(self._user.name)

    @cached_property
    def stars(self) -> dict[str, int]:
        """The user's stars, by the id of a track, an album or an artist."""
        return self._state.playlists.stars(self._user.name)

    @cached_property
    def play_counts(self) -> dict[str, int]:
        """How often the user has finished each track."""
        return self._state.feedback.play_counts(self._user.name)

    @cached_property
    def _last_plays(self) -> dict[str, str]:
        return self._state.feedback.last_plays(self._user.name)

    @cached_property
    def _album_plays(self) -> dict[str, tuple[int | None, str | None]]:
        """How often the user has finished tracks of an album, and when last, by the album's id."""
        found: dict[str, tuple[int | None, str | None]] = {}
        for track in self._catalog.by_ids({**self.play_counts, **self._last_plays}):
            count, last_play = found.get(track.album_id, (None, None))
            times = filter(None, (last_play, self._last_plays.get(track.track_id)))
            more = self.play_counts.get(track.track_id, 0)
            found[track.album_id] = ((count or 0) + more or None, max(times, default=None))
        return found

    @cached_property
    def favourites(self) -> dict[str, str]:
        """When the user has starred albums and artists, by id, the latest first."""
        return self._state.playlists.favourites(self._user.name)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _replay_gain(about: Details) -> dict[str, float] | None:
    names = {
        "trackGain": ("track_gain_db", 2),
        "trackPeak": ("track_peak", 6),
        "albumGain": ("album_gain_db", 2),
        "albumPeak": ("album_peak", 6),
    }
    gains = {
        key: round(about[name], digits) for key, (name, digits) in names.items() if about[name] is not None
    }
    return gains or None


def _date(text: str | None) -> dict[str, int] | None:
    """Return a date as Subsonic's ItemDate; its parts as far as they are known."""
    if text is None:
        return None
    return dict(zip(("year", "month", "day"), map(int, text.split("-")), strict=False))


def _references(ids: tuple[str, ...], names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"id": item_id, "name": name} for item_id, name in zip(ids, names, strict=True)]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
