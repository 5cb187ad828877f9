"""Media retrieval: audio files and covers."""

from fastapi import Response
from fastapi.responses import FileResponse

from serving.media import file_response
from serving.subsonic.protocol import Answer, SubsonicRequest, method


@method("stream", "download")
def _stream(request: SubsonicRequest) -> FileResponse:
    return file_response(request.state, request.state.track(request.query.text("id")))


@method("getCoverArt")
def _get_cover_art(request: SubsonicRequest) -> Answer:
    track = request.library.resolve_track(request.query.text("id"))
    file = request.state.catalog.audio_file(track)
    size = request.query.number("size", 600, 1200) or 1200  # 0: the whole picture
    picture = request.state.covers.jpeg(track, file, size)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
