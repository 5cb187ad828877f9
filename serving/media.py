"""A track's audio as a response: the original, the compressed file, or what FFmpeg makes while it is sent."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from jobs.audio import decoding
from serving.app_state import AppState
from serving.catalog import Track
from serving.problems import RequestError, problem_response
from serving.transcoding import FORMATS, Encoding, TranscodedResponse, encoding

# Formats that browsers play.
_PLAYED_TYPES = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
}
_TYPES = {
    **_PLAYED_TYPES,
    ".aif": "audio/aiff",
    ".aifc": "audio/aiff",
    ".aiff": "audio/aiff",
    ".ape": "audio/x-monkeys-audio",
    ".caf": "audio/x-caf",
    ".dff": "audio/x-dff",
    ".dsf": "audio/x-dsf",
    ".mka": "audio/x-matroska",
    ".mp2": "audio/mpeg",
    ".mpc": "audio/x-musepack",
    ".tta": "audio/x-tta",
    ".wma": "audio/x-ms-wma",
    ".wv": "audio/x-wavpack",
}


# A file's bit rate may exceed the wanted one by this factor: it is measured, and of a variable rate.
_BIT_RATE_SLACK = 1.25

# The compressed file is the answer up to this multiple of its bit rate; who takes more hears a difference.
_SMALL_IS_ENOUGH = 1.5


@dataclass(frozen=True)
class AudioFile:
    """One file of a track; `size` in bytes, None if the file is missing; `bit_rate` in kbit/s."""

    path: Path
    size: int | None
    bit_rate: int

    @property
    def suffix(self) -> str:
        """The extension in lower case, without the dot."""
        return self.path.suffix.lower().removeprefix(".")


@dataclass(frozen=True)
class AudioRequest:
    """What a client wants: a format ("" for any), at most this many kbit/s (0 for any), from a second on.

    Of the format "raw" the original comes, whatever else is wanted; of "small" the compressed file.
    """

    format: str = ""
    max_bit_rate: int = 0
    offset_s: float = 0.0
    is_length_estimated: bool = False


ORIGINAL = AudioRequest("raw")
SMALL = AudioRequest("small")


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


def original(track: Track) -> AudioFile:
    """Return the track's file in the library; the compressed one if that is missing."""
    if track.path == track.audio_path:
        return small(track)
    path = Path(track.path)
    size = _size(path)
    if size is None:
        return small(track)
    return AudioFile(path, size, round(size * 8 / 1000 / track.duration_s) if track.duration_s else 0)


def small(track: Track) -> AudioFile:
    """Return the track's compressed file."""
    path = Path(track.audio_path)
    return AudioFile(path, _size(path), track.bit_rate // 1000)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def choose(track: Track, wanted: AudioRequest) -> AudioFile | Encoding:
    """Return the file of a track that fits a request, else the encoding to make of the original.

    Raises RequestError (400) for a format that there is not.
    """
    whole, compressed = original(track), small(track)
    if wanted.format in ("raw", "small"):
        return whole if wanted.format == "raw" else compressed
    if wanted.format and wanted.format not in (*FORMATS, whole.suffix, compressed.suffix):
        found = ascii(wanted.format)[:40]
        raise RequestError(400, f"format: expected raw, {', '.join(FORMATS)}, found {found}")
    if not wanted.offset_s:
        if _fits(whole, wanted):
            return whole
        is_enough = wanted.max_bit_rate <= compressed.bit_rate * _SMALL_IS_ENOUGH
        if is_enough and _fits(compressed, wanted):
            return compressed
    return _encoding(whole, wanted)


def browser_request(track: Track, wanted: AudioRequest) -> AudioRequest:
    """Return ORIGINAL or SMALL as wanted, or what a browser plays instead: SMALL, or an MP3."""
    for request in (wanted, SMALL):
        file = small(track) if request is SMALL else original(track)
        if f".{file.suffix}" in _PLAYED_TYPES and not _is_apple_lossless(file):
            return request
    return AudioRequest("mp3")


def _is_apple_lossless(file: AudioFile) -> bool:
    """Whether an MP4 has ALAC, which most browsers do not decode."""
    if content_type(file.path.suffix) != "audio/mp4":
        return False
    try:
        tagged_file = decoding.open_tags(str(file.path))
    except OSError:  # the answer to the request says so
        return False
    return getattr(getattr(tagged_file, "info", None), "codec", "") == "alac"


def _fits(file: AudioFile, wanted: AudioRequest) -> bool:
    is_low = not wanted.max_bit_rate or file.bit_rate <= wanted.max_bit_rate * _BIT_RATE_SLACK
    return is_low and wanted.format in ("", file.suffix)


def _encoding(whole: AudioFile, wanted: AudioRequest) -> Encoding:
    """Return the encoding for a request that no file fits."""
    format_name = wanted.format
    if format_name not in FORMATS:  # only the place is wanted, or a lower rate, or the library's odd format
        stays = whole.suffix in FORMATS and not (wanted.max_bit_rate and whole.suffix == "flac")
        format_name = whole.suffix if stays else "mp3"
    limit = wanted.max_bit_rate or (0 if wanted.format else whole.bit_rate)
    return encoding(format_name, limit, wanted.offset_s)


def audio_response(
    state: AppState, track: Track, wanted: AudioRequest = ORIGINAL, *, is_download: bool = False
) -> Response:
    """Return the audio that a request asks for; of a file the requested Range.

    Raises RequestError 404 if the file is missing, 400 for a format that there is not.
    """
    chosen = choose(track, wanted)
    if isinstance(chosen, Encoding):
        duration_s = track.duration_s if wanted.is_length_estimated else None
        return TranscodedResponse(state.transcoding_slots, readable(state, track), chosen, duration_s)
    is_small = chosen.path == Path(track.audio_path)
    file = (state.catalog.audio_file(track) if is_small else None) or readable(state, track)
    headers = {"Cache-Control": "private, max-age=3600"}
    if is_download:
        headers["Content-Disposition"] = attachment(chosen.path.name)
    return AudioResponse(file, media_type=content_type(file.suffix), headers=headers)


def readable(state: AppState, track: Track) -> Path:
    """Return the track's original, else its compressed file. Raises RequestError (404) if both are gone."""
    file = state.catalog.original_file(track) or state.catalog.audio_file(track)
    if file is None:
        raise RequestError(404, f"expected the file of {track.title!r}, found it gone")
    return file


def attachment(name: str) -> str:
    """Return the Content-Disposition of a download with this file name (RFC 6266)."""
    quoted = quote(name.encode("utf-8", "replace"), safe="")
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"
