"""A track's audio file as a response."""

from fastapi.responses import FileResponse

from serving.app_state import AppState
from serving.catalog import Track
from serving.problems import RequestError

_TYPES = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
}


def content_type(suffix: str) -> str:
    """Return the media type of a file name's extension."""
    return _TYPES.get(suffix.lower(), "application/octet-stream")


def file_response(state: AppState, track: Track) -> FileResponse:
    """Return the track's file, or the requested Range of it. Raises RequestError (404) if it is missing."""
    file = state.catalog.audio_file(track)
    if file is None:
        raise RequestError(404, f"expected the file of {track.title!r}, found it gone")
    headers = {"Cache-Control": "private, max-age=3600"}
    return FileResponse(file, media_type=content_type(file.suffix), headers=headers)
