"""Read the histories in a zip archive, as a service exports it; what cannot be read is named and left out."""

import copy
import io
import lzma
import posixpath
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import IO, Any, cast

from jobs.errors import InputError
from jobs.plays.history_apple import ACTIVITY, DAILY
from jobs.plays.history_source import Source
from jobs.plays.json_rows import iter_json_rows
from jobs.plays.listens import Listen, RejectedRow

UNREADABLE_FILE = "unreadable file"

# Files of an archive that have listens, by the names that services give them; the others are the account's.
_HISTORY = re.compile(
    r"(?:^|/)(?:listens(?:/.*)?\.jsonl?|(?:Streaming_?History|endsong)[^/]*\.json|[^/]*\.scrobbler\.log"
    r"|(?:maloja|koito)_export[^/]*\.json|recenttracks-[^/]*\.(?:json|csv)|deezer-data[^/]*\.xlsx"
    rf"|{re.escape(ACTIVITY)}|{re.escape(DAILY)}|[^/]*\.zip)$",
    re.IGNORECASE,
)
# What macOS adds to an archive.
_HIDDEN = re.compile(r"(?:^|/)(?:__MACOSX/|\._)")
# YouTube's history has a name in the account's language, as Wiedergabeverlauf.json.
_YOUTUBE = re.compile(rb'"header"\s*:\s*"YouTube')
_YOUTUBE_HTML = re.compile(r"(?:^|/)watch-history\.html$", re.IGNORECASE)

# An archive within an archive is read to this depth; Apple's has two.
_MAX_DEPTH = 3
# Text is compressed to a tenth or a fiftieth. More, and much of it, is made to fill a disk or a day.
_MAX_RATIO = 200
_MIN_CHECKED_BYTES = 256 * 2**20

_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)

Read = Callable[[Source], Iterator[Listen]]


class _Member(io.RawIOBase):
    """The bytes of a file in an archive up to where they can be read; `error` says why they end there."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        unchecked = copy.copy(info)
        del unchecked.CRC  # zipfile leaves out the last piece of a file with another checksum
        self._stream = cast(zipfile.ZipExtFile, archive.open(unchecked))
        self._expected_checksum, self._checksum = info.CRC, 0
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.error is not None:
            return 0
        try:
            data = self._stream.read1(len(buffer))
            self._checksum = zlib.crc32(data, self._checksum)
            if not data and self._checksum != self._expected_checksum:
                raise zipfile.BadZipFile("another checksum (CRC-32) than the archive states")
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk
            self.error = error
            return 0
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def read_archive(source: Source, archive: zipfile.ZipFile, read: Read, depth: int = 1) -> Iterator[Listen]:
    """Yield the listens of the histories in an archive; ListenBrainz' `user.json` has the name of the user.

    A file that is damaged, encrypted or no history is rejected, after the listens before the damage.

    Raises
    ------
    InputError
        If no history is in it, or none can be read.
    """
    infos = [archive.getinfo(name) for name in sorted(set(archive.namelist()))]
    infos = [info for info in infos if info.file_size and not _HIDDEN.search(info.filename)]
    chosen = [info for info in infos if _is_history(info, infos, archive)]
    if not chosen:
        raise InputError(
            "expected an archive of ListenBrainz, Spotify, Apple Music, YouTube Music or Deezer, "
            f"found {source.name} without a history"
        )
    user = _archive_user(archive)
    n_read = 0
    error: Exception | None = None
    file_bytes = compressed_bytes = 0  # of the files so far
    for info in chosen:
        open_beside = partial(_open_beside, archive, posixpath.dirname(info.filename))
        inner = replace(source, name=f"{source.name}/{info.filename}", open_beside=open_beside)
        try:
            _check_size(info.file_size, info.compress_size)
            file_bytes += info.file_size
            compressed_bytes += info.compress_size
            _check_size(file_bytes, compressed_bytes)
            with _open(archive, info) as raw:
                for listen in _read_member(inner, raw, read, depth):
                    yield listen if listen.user else replace(listen, user=user)
                if raw.error is not None:
                    raise raw.error
            n_read += 1
        except (*_DAMAGE, OSError, InputError) as found:
            if isinstance(found, OSError) and found.errno is not None:
                raise
            error = error or found
            source.reject(RejectedRow(inner.name, 0, UNREADABLE_FILE, str(found), ""))
    if not n_read:
        raise InputError(f"expected a history, found {source.name} without a file that can be read: {error}")


def _is_history(info: zipfile.ZipInfo, infos: list[zipfile.ZipInfo], archive: zipfile.ZipFile) -> bool:
    if posixpath.basename(info.filename) == DAILY:  # the other one has the same plays, each with its time
        other = posixpath.join(posixpath.dirname(info.filename), ACTIVITY)
        return all(each.filename != other for each in infos)
    if _HISTORY.search(info.filename) or _YOUTUBE_HTML.search(info.filename):
        return True
    if not info.filename.lower().endswith(".json"):
        return False
    try:
        with _open(archive, info) as raw:
            return bool(_YOUTUBE.search(io.BufferedReader(raw).read(4_096)))
    except (*_DAMAGE, InputError):
        return False


def _check_size(file_bytes: int, compressed_bytes: int) -> None:
    if file_bytes > max(_MIN_CHECKED_BYTES, _MAX_RATIO * compressed_bytes):
        raise InputError(
            f"expected at most {_MAX_RATIO} times the compressed size, found {file_bytes:,} bytes in "
            f"{compressed_bytes:,}; unpack the archive if that is right"
        )


@contextmanager
def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[_Member]:
    if info.flag_bits & 1:
        raise InputError("expected a file without a password, found it encrypted; unpack the archive first")
    with _Member(archive, info) as member:
        yield member


@contextmanager
def _open_beside(archive: zipfile.ZipFile, folder: str, name: str) -> Iterator[IO[bytes] | None]:
    with ExitStack() as stack:
        member = None
        with suppress(*_DAMAGE, KeyError, InputError):
            member = stack.enter_context(_open(archive, archive.getinfo(posixpath.join(folder, name))))
        yield None if member is None else io.BufferedReader(member)


def _read_member(source: Source, raw: _Member, read: Read, depth: int) -> Iterator[Listen]:
    stream = cast(io.BufferedReader, io.BufferedReader(raw, 65_536))
    if not source.name.lower().endswith((".zip", ".xlsx")):
        yield from read(replace(source, stream=stream))
        return
    with tempfile.TemporaryFile() as content:
        shutil.copyfileobj(stream, content)
        content.seek(0)
        inner = replace(source, stream=cast(io.BufferedReader, content))
        if source.name.lower().endswith(".xlsx"):
            yield from read(inner)
        elif depth == _MAX_DEPTH:
            raise InputError(f"expected archives within archives to a depth of {_MAX_DEPTH}, found more")
        else:
            with zipfile.ZipFile(content) as archive:
                yield from read_archive(inner, archive, read, depth + 1)


def _archive_user(archive: zipfile.ZipFile) -> str | None:
    if "user.json" not in archive.namelist():
        return None
    try:
        with _open(archive, archive.getinfo("user.json")) as raw:
            row = next(iter_json_rows(io.BufferedReader(raw)), None)
    except (*_DAMAGE, InputError):
        return None
    values = row.value if row is not None and isinstance(row.value, dict) else {}
    name = values.get("username") or values.get("user_name")
    return name if isinstance(name, str) else None
