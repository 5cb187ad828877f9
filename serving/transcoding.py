"""Transcode a track on the fly with FFmpeg, as a response.

One process per response, at most `MAX_PROCESSES` of a server; it is killed when the client leaves. A slow
client slows it down: FFmpeg waits while the connection's buffer is full.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import CancelScope
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from jobs.audio import decoding
from serving.problems import RequestError

log = logging.getLogger("segue")

MAX_PROCESSES = max(4, 2 * (os.cpu_count() or 1))

# How long a request waits for another one's process to end, seconds.
_MAX_WAIT_S = 10.0

_CHUNK_BYTES = 64 * 1024

# A stream with an estimated length must not be longer: the part by which an estimate is too large is zeros,
# which decoders skip.
_ESTIMATE_FACTOR, _ESTIMATE_EXTRA_BYTES = 1.03, 16_384


@dataclass(frozen=True)
class Format:
    """A format that can be made: media type, FFmpeg's options, and kbit/s by default, least and most."""

    media_type: str
    options: tuple[str, ...]
    bit_rate: int
    bit_rates: tuple[int, int]


_OPUS = Format("audio/ogg", ("-c:a", "libopus", "-f", "ogg"), 128, (16, 256))

# By the value of the parameter `format`; nothing else of a request reaches FFmpeg but numbers.
FORMATS = {
    "mp3": Format("audio/mpeg", ("-c:a", "libmp3lame", "-write_xing", "0", "-f", "mp3"), 192, (16, 320)),
    "opus": _OPUS,
    "ogg": _OPUS,
    "aac": Format("audio/aac", ("-c:a", "aac", "-f", "adts"), 160, (16, 320)),
    "m4a": Format(
        "audio/mp4",
        ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"),
        160,
        (16, 320),
    ),
    # Lossless: no bit rate.
    "flac": Format("audio/flac", ("-c:a", "flac", "-f", "flac"), 0, (0, 0)),
}


@dataclass(frozen=True)
class Encoding:
    """What to make of a file: a key of FORMATS, kbit/s (0 for lossless), and seconds to leave out."""

    format: str
    bit_rate: int
    offset_s: float = 0.0


def encoding(format_name: str, bit_rate: int, offset_s: float = 0.0) -> Encoding:
    """Return an encoding at `bit_rate` kbit/s, or near it; 0 stands for the format's own."""
    known = FORMATS[format_name]
    low, high = known.bit_rates
    return Encoding(format_name, min(max(bit_rate or known.bit_rate, low), high), offset_s)


def command(path: Path, wanted: Encoding) -> list[str]:
    """Return FFmpeg's command line that writes the encoded file to its standard output."""
    inputs = decoding.ffmpeg_inputs(str(path))
    offset = ["-ss", f"{wanted.offset_s:.3f}"] if wanted.offset_s else []
    # Of one input FFmpeg jumps to the place; joined ones it decodes from their beginning.
    before, after = (offset, []) if len(inputs) == 2 else ([], offset)
    known = FORMATS[wanted.format]
    rate = ["-b:a", f"{wanted.bit_rate}k"] if wanted.bit_rate else []
    return [
        *(decoding.ffmpeg_path(), "-nostdin", "-v", "error", "-protocol_whitelist", "file,subfile,pipe"),
        *(*before, *inputs, *decoding.ffmpeg_mapping(str(path)), *after),
        *("-map_metadata", "0", "-threads", "1", *rate, *known.options, "pipe:1"),
    ]


class TranscodedResponse(StreamingResponse):
    """The audio of a file in another encoding; without Ranges, since its length is not known before.

    With `duration_s` it has a Content-Length that is estimated from it.
    """

    def __init__(
        self, slots: asyncio.Semaphore, path: Path, wanted: Encoding, duration_s: float | None = None
    ) -> None:
        self._slots, self._path, self._wanted = slots, path, wanted
        self._length: int | None = None
        headers = {"Accept-Ranges": "none", "Cache-Control": "private, no-store"}
        if duration_s is not None and wanted.bit_rate:
            seconds = max(0.0, duration_s - wanted.offset_s)
            bytes_per_s = wanted.bit_rate * 1000 / 8 * _ESTIMATE_FACTOR
            self._length = int(seconds * bytes_per_s) + _ESTIMATE_EXTRA_BYTES
            headers["Content-Length"] = str(self._length)
        super().__init__(_nothing(), headers=headers, media_type=FORMATS[wanted.format].media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers alone to HEAD, else start FFmpeg once a slot is free, and send what it writes."""
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            async with asyncio.timeout(_MAX_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            detail = f"expected at most {MAX_PROCESSES} tracks being transcoded, found no fewer for"
            raise RequestError(503, f"{detail} {_MAX_WAIT_S:.0f} s", {"Retry-After": "10"}) from None
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.release()

    async def stream_response(self, send: Send) -> None:
        """Send what FFmpeg writes. Raises RequestError (500) if it writes nothing."""
        async with _ffmpeg(command(self._path, self._wanted)) as process:
            assert process.stdout is not None
            chunk = await process.stdout.read(_CHUNK_BYTES)
            if not chunk and await process.wait():
                raise RequestError(500, "expected audio that FFmpeg can decode, found none in the file")
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            left = self._length
            while chunk and left != 0:
                part = chunk if left is None else chunk[:left]
                await send({"type": "http.response.body", "body": part, "more_body": True})
                left = left if left is None else left - len(part)
                chunk = await process.stdout.read(_CHUNK_BYTES)
            if not chunk and await process.wait():
                # Without its end the client knows that the answer is not whole.
                log.warning("FFmpeg failed while it transcoded %s", self._path.name)
                return
            while left:
                part = bytes(min(left, _CHUNK_BYTES))
                await send({"type": "http.response.body", "body": part, "more_body": True})
                left -= len(part)
            await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _ffmpeg(words: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start FFmpeg; however the block ends, the process has ended too.

    If the server is killed, FFmpeg ends at its next write into the broken pipe.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_CHUNK_BYTES,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with CancelScope(shield=True):
            await process.wait()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
