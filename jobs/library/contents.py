"""Which content a file has: the same as before it moved or its tags changed, or one of its own.

A content is what a track is bound to, FILES.content_hash. Files with the same bytes have the same content.
A file whose bytes are new, but not its audio, takes over a content that no other file has any more: the one
that was at its path, else that of a file that is gone, else one that TRACK_IDS remembers. So two files with
the same audio and different tags, which exist at the same time, stay two tracks.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.audio import decoding, transcode
from jobs.audio.audio_hash import hash_file
from jobs.errors import raise_if_system_fault
from jobs.library import scan
from jobs.library.scan import FileRow
from jobs.paths import to_path

HASH_COLUMNS = ("file_hash", "audio_hash")


@dataclass(frozen=True)
class FileHashes:
    """What the bytes of a new or changed file say about its content."""

    file_hash: str
    audio_hash: str
    source_hash: str | None  # content_hash that the tag of Segue's encoder names


@dataclass(frozen=True)
class Content:
    """A file's content, and a row of FILES that has it already, with the same audio."""

    content_hash: str
    row: FileRow | None = None


@dataclass
class _Known:
    """The contents that FILES and TRACK_IDS know, as far as the files in question may have them."""

    holders: set[str] = field(default_factory=set)  # contents that a file has, unchanged
    by_file_hash: dict[str, FileRow] = field(default_factory=dict)
    by_path: dict[str, FileRow] = field(default_factory=dict)
    by_audio: dict[str, list[FileRow]] = field(default_factory=lambda: defaultdict(list))
    remembered: set[str] = field(default_factory=set)
    remembered_by_audio: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def read_hashes(path: str) -> FileHashes:
    """Return the hashes of a file. Raises OSError if it cannot be read."""
    hashes = hash_file(path)
    tag = transcode.read_encoder_tag(path)
    is_compressed = tag is not None and tag.is_of(hashes.audio_hash)
    return FileHashes(**vars(hashes), source_hash=tag.content_hash if is_compressed and tag else None)


def identify(path: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return file stat, hashes and content of a file: those of its `row`, unless the file has changed since.

    Raises OSError if it cannot be read.
    """
    stat = scan.file_stat(path)
    if row.get("file_hash") and scan.is_unchanged(stat, row):  # type: ignore[arg-type]
        return {}
    hashes = read_hashes(path)
    is_same_audio = row.get("content_hash") and row.get("audio_hash") == hashes.audio_hash
    content_hash = row["content_hash"] if is_same_audio else hashes.source_hash or hashes.file_hash
    return {
        **stat,
        "content_hash": content_hash,
        "file_hash": hashes.file_hash,
        "audio_hash": hashes.audio_hash,
    }


def hash_row(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return a scanned file with its hashes, None if it cannot be read: the step that uses it says why.

    Raises StepError if the disk or the machine fails.
    """
    path = to_path(row["path"])
    try:
        decoding.check_file(path)
        stat = scan.file_stat(path)
        hashes = read_hashes(path)
    except Exception as error:
        raise_if_system_fault(error, row["path"])
        return None
    return {**row, **stat, **vars(hashes)}


def resolve(
    hashed: Mapping[str, FileHashes],
    known: Mapping[str, FileRow],
    remembered: Iterable[Mapping[str, Any]],
    *,
    scanned: Collection[str],
    prefix: str,
) -> dict[str, Content]:
    """Return the content of each new or changed file.

    Parameters
    ----------
    hashed
        The hashes of these files by path.
    known
        FILES' rows by path.
    remembered
        Rows of TRACK_IDS.
    scanned
        Paths of all files that the library has now.
    prefix
        What the paths of all files of the library begin with: those that are not in `scanned` are gone.
    """
    table = _collect(hashed, known, remembered, scanned=scanned, prefix=prefix)
    by_bytes: dict[str, str] = {}  # content_hash by file_hash
    # The files with known bytes first: no other may take over their contents.
    for path, hashes in sorted(hashed.items()):
        content_hash = hashes.source_hash or _content_of_bytes(hashes, path, table)
        if content_hash is not None:
            by_bytes[hashes.file_hash] = content_hash
            table.holders.add(content_hash)
    at_same_path_first = sorted(hashed.items(), key=lambda item: (item[0] not in table.by_path, item[0]))
    for path, hashes in at_same_path_first:
        if hashes.file_hash not in by_bytes:
            content_hash = _orphan(path, hashes, table) or _new_content(hashes, table)
            by_bytes[hashes.file_hash] = content_hash
            table.holders.add(content_hash)
    return {
        path: Content(by_bytes[hashes.file_hash], _row_with(by_bytes[hashes.file_hash], path, hashes, table))
        for path, hashes in hashed.items()
    }


def _collect(
    hashed: Mapping[str, FileHashes],
    known: Mapping[str, FileRow],
    remembered: Iterable[Mapping[str, Any]],
    *,
    scanned: Collection[str],
    prefix: str,
) -> _Known:
    """Return what is known of the contents that the files may have; the rest stays out of memory."""
    table = _Known()
    bytes_hashes = {hashes.file_hash for hashes in hashed.values()}
    audio_hashes = {hashes.audio_hash for hashes in hashed.values()}
    for row in remembered:
        if row["content_hash"] in bytes_hashes:
            table.remembered.add(row["content_hash"])
        if row["audio_hash"] in audio_hashes:
            table.remembered_by_audio[row["audio_hash"]].append(row["content_hash"])
    contents: set[str] = set()
    for row in _usable(known.values()):
        is_candidate = row["path"] in hashed or row.get("audio_hash") in audio_hashes
        if is_candidate or bytes_of(row) in bytes_hashes:
            contents.add(row["content_hash"])
            _add_row(table, row, is_changed=row["path"] in hashed)
    contents.update(table.remembered)
    contents.update(*table.remembered_by_audio.values())
    for row in _usable(known.values()):
        if row["content_hash"] in contents and row["path"] not in hashed:
            is_in_library = row["path"].startswith(prefix)
            if row["path"] in scanned or not (is_in_library or is_gone(row["path"])):
                table.holders.add(row["content_hash"])
    return table


def _usable(rows: Iterable[FileRow]) -> Iterator[Any]:
    return (row for row in rows if row["outcome"] != "rejected" and row["content_hash"] is not None)


def _add_row(table: _Known, row: Any, *, is_changed: bool) -> None:
    if is_changed:
        table.by_path[row["path"]] = row
    # A row of a file whose bytes have changed says nothing about its new bytes, except that they are known.
    table.by_file_hash.setdefault(bytes_of(row), row)
    if row.get("audio_hash") is not None:
        table.by_audio[row["audio_hash"]].append(row)


def bytes_of(row: Mapping[str, Any]) -> str:
    """Return the hash of a file's bytes; a row of an older version has that of its source alone."""
    file_hash: str = row.get("file_hash") or row["content_hash"]
    return file_hash


def _content_of_bytes(hashes: FileHashes, path: str, table: _Known) -> str | None:
    """Return the content that is known to have these bytes."""
    row: Any = table.by_file_hash.get(hashes.file_hash)
    if row is not None:
        content_hash: str = row["content_hash"]
        return content_hash
    if hashes.file_hash in table.remembered and hashes.file_hash not in table.holders:
        return hashes.file_hash
    return None


def _orphan(path: str, hashes: FileHashes, table: _Known) -> str | None:
    """Return a content with the same audio that no file has any more."""
    same_audio: list[Any] = table.by_audio[hashes.audio_hash]
    rows = [row for row in same_audio if row["content_hash"] not in table.holders]
    if rows:
        nearest: str = min(rows, key=lambda row: _distance(row["path"], path))["content_hash"]
        return nearest
    contents = table.remembered_by_audio[hashes.audio_hash]
    return min((each for each in contents if each not in table.holders), default=None)


def _distance(path: str, other: str) -> tuple[bool, bool, str]:
    """Return a sort key: the same path first, then files of the same name."""
    return path != other, os.path.basename(path) != os.path.basename(other), path


def _new_content(hashes: FileHashes, table: _Known) -> str:
    """Return the content of bytes that are new: their hash.

    If a file that has been retagged since was first seen with these bytes, it has that content: then the hash
    of both hashes.
    """
    if hashes.file_hash not in table.holders:
        return hashes.file_hash
    return hashlib.sha256(f"{hashes.file_hash} {hashes.audio_hash}".encode()).hexdigest()


def _row_with(content_hash: str, path: str, hashes: FileHashes, table: _Known) -> Any:
    """Return the row of FILES with this content and the same audio, that of the same path first, or None."""
    rows = [row for row in table.by_audio[hashes.audio_hash] if row["content_hash"] == content_hash]
    same_bytes: Any = table.by_file_hash.get(hashes.file_hash)
    if same_bytes is not None and same_bytes["content_hash"] == content_hash:
        rows.append(same_bytes)
    return min(rows, key=lambda row: _distance(row["path"], path), default=None)


def is_gone(path: str) -> bool:
    """Return whether there is no file at a path (as text) any more; a disk that fails says nothing."""
    try:
        os.lstat(to_path(path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
