"""Media retrieval: audio, downloads and covers."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool
from starlette.types import Receive, Scope, Send

from serving.catalog import Track
from serving.media import ORIGINAL, AudioRequest, attachment, audio_response, original, readable
from serving.problems import RequestError
from serving.subsonic.playlists import find_playlist
from serving.subsonic.protocol import Answer, SubsonicRequest, method
from serving.zip_stream import entry_name, zip_stream

# Limits of `maxBitRate` in kbit/s and of `timeOffset` in seconds; more is as good as no limit.
_MAX_BIT_RATE, _MAX_OFFSET_S = 100_000, 86_400


class ZipResponse(StreamingResponse):
    """An archive; to HEAD its headers alone, so that no file is read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the archive, or the headers."""
        if scope["method"] == "HEAD":
            self.body_iterator = iterate_in_threadpool(iter(()))
        await super().__call__(scope, receive, send)


@method("stream")
def _stream(request: SubsonicRequest) -> Answer:
    """The original, unless the client asks for another format or a lower bit rate."""
    query = request.query
    wanted = AudioRequest(
        format=query.text("format", "").lower(),
        max_bit_rate=query.number("maxBitRate", 0, _MAX_BIT_RATE),
        offset_s=query.number("timeOffset", 0, _MAX_OFFSET_S),
        is_length_estimated=query.text("estimateContentLength", "").lower() == "true",
    )
    return audio_response(request.state, request.state.track(query.text("id")), wanted)


@method("download")
def _download(request: SubsonicRequest) -> Answer:
    """A song's original; of an album, an artist or a playlist a zip archive of them."""
    item_id = request.query.text("id")
    if item_id in request.state.catalog.by_id:
        return audio_response(request.state, request.state.track(item_id), ORIGINAL, is_download=True)
    title, tracks = _group(request, item_id)
    headers = {"Content-Disposition": attachment(f"{entry_name(title)}.zip")}
    entries = _entries(request, tracks)
    return ZipResponse(zip_stream(entries), headers=headers, media_type="application/zip")


def _group(request: SubsonicRequest, item_id: str) -> tuple[str, list[tuple[str, Track]]]:
    """Return the name of an album, artist or playlist, and its tracks with their folders in the archive."""
    catalog = request.state.catalog
    if item_id in catalog.albums:
        album = catalog.albums[item_id]
        return f"{album.artist} - {album.name}", [("", track) for track in album.tracks]
    if item_id in catalog.artists:
        artist = catalog.artists[item_id]
        return artist.name, [
            (f"{entry_name(track.album or track.title)}/", track) for track in catalog.artist_tracks(item_id)
        ]
    playlist = find_playlist(request, item_id)
    tracks = catalog.by_ids(playlist.tracks)
    return playlist.title, [(f"{number:03d} ", track) for number, track in enumerate(tracks, 1)]


def _entries(request: SubsonicRequest, tracks: list[tuple[str, Track]]) -> Iterator[tuple[str, Path]]:
    for prefix, track in tracks:
        with suppress(RequestError):  # gone meanwhile
            yield f"{prefix}{entry_name(Path(original(track).path).name)}", readable(request.state, track)


@method("getCoverArt")
def _get_cover_art(request: SubsonicRequest) -> Answer:
    """The cover of a song, an album, an artist, or of a playlist's first track."""
    item_id = request.query.text("id")
    if request.library.is_artist_or_album(item_id) or item_id in request.state.catalog.by_id:
        track = request.library.resolve_track(item_id)
    else:
        tracks = request.state.catalog.by_ids(find_playlist(request, item_id).tracks)
        if not tracks:
            raise RequestError(404, "expected the id of a playlist with tracks, found it empty")
        track = tracks[0]
    size = request.query.number("size", 600, 1200) or 1200  # 0: the whole picture
    picture = request.state.covers.jpeg(request.state.catalog, track, size)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
