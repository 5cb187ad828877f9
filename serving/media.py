"""A track's audio file as a response."""

import os

from anyio.to_thread import run_sync
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from serving.app_state import AppState
from serving.catalog import Track
from serving.problems import RequestError, problem_response

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


class AudioResponse(FileResponse):
    """A file, as RFC 9110 says: 304 for what the client has, a Range of bytes.

    A Range of other units is ignored; errors are problem+json.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, a part of it, 304 or a problem."""
        headers = Headers(scope=scope)
        try:
            self.stat_result = await run_sync(os.stat, self.path)
        except FileNotFoundError:
            raise RequestError(404, "expected the file of a track, found it gone") from None
        self.set_stat_headers(self.stat_result)
        if _has_current(headers, self.headers["etag"], self.headers["last-modified"]):
            names = ("etag", "last-modified", "cache-control")
            given = {name: self.headers[name] for name in names if name in self.headers}
            await Response(status_code=304, headers=given)(scope, receive, send)
            return
        requested = headers.get("range")
        if requested is not None and requested.partition("=")[0].strip().lower() != "bytes":
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"range"]}
        elif requested is not None and self._applies(headers):
            try:
                self._parse_range_header(requested, self.stat_result.st_size)
            except MalformedRangeHeader:
                detail = f"Range: expected as in bytes=0-99, found {ascii(requested)[:40]}"
                await problem_response(400, detail)(scope, receive, send)
                return
            except RangeNotSatisfiable as error:
                detail = (
                    f"Range: expected bytes of the file's {error.max_size}, found {ascii(requested)[:40]}"
                )
                refused = problem_response(416, detail, {"Content-Range": f"bytes */{error.max_size}"})
                await refused(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _applies(self, headers: Headers) -> bool:
        """Whether a Range counts: not if `If-Range` names another version of the file."""
        condition = headers.get("if-range")
        return condition is None or self._should_use_range(condition)


def _has_current(headers: Headers, etag: str, last_modified: str) -> bool:
    """Whether the client has this version; `If-None-Match` goes before `If-Modified-Since`."""
    tags = headers.get("if-none-match")
    if tags is None:
        return headers.get("if-modified-since") == last_modified
    given = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return "*" in given or etag in given


def file_response(state: AppState, track: Track) -> FileResponse:
    """Return the track's file, or the requested Range of it. Raises RequestError (404) if it is missing."""
    file = state.catalog.audio_file(track)
    if file is None:
        raise RequestError(404, f"expected the file of {track.title!r}, found it gone")
    headers = {"Cache-Control": "private, max-age=3600"}
    return AudioResponse(file, media_type=content_type(file.suffix), headers=headers)
