"""ZIP archives from outside, checked before a byte is unpacked.

Paths, links, compression ratio, free space.
"""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from jobs.errors import InputError, StepError
from jobs.paths import escape_control_chars, fsync_dir, sync

# Text compresses to a tenth, MP3 hardly at all; a ZIP bomb unpacks to a thousand times its size.
_MAX_COMPRESSION_RATIO = 100
# Small archives may compress better than that: below this size any ratio is accepted.
_HARMLESS_BYTES = 64 * 2**20

_CHUNK_BYTES = 2**20


@contextmanager
def open_checked(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive and check its list of members.

    Raises
    ------
    InputError
        Naming the archive and the member at fault.
    """
    try:
        with zipfile.ZipFile(path) as zipped:
            _check_members(path, zipped.infolist())
            yield zipped
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path}: expected a complete ZIP archive, found: {error}; download it again"
        ) from error


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        printable_name = escape_control_chars(member.filename)
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InputError(f"{path}: expected files below one folder, found the path {printable_name!r}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"{path}: expected files only, found the link {printable_name!r}")
    unpacked_bytes = sum(member.file_size for member in members)
    packed_bytes = path.stat().st_size
    if unpacked_bytes > max(_MAX_COMPRESSION_RATIO * packed_bytes, _HARMLESS_BYTES):
        largest = max(members, key=lambda member: member.file_size)
        raise InputError(
            f"{path}: expected at most {_MAX_COMPRESSION_RATIO} times its {packed_bytes:,} bytes, found "
            f"{unpacked_bytes:,} (the largest is {escape_control_chars(largest.filename)!r} with "
            f"{largest.file_size:,}): a ZIP bomb?"
        )


def unpack(path: Path, target: Path, *, on_bytes: Callable[[int], None]) -> int:
    """Unpack an archive to the folder `target`, completely or not at all.

    Parameters
    ----------
    path
        The archive.
    target
        The folder to create. If the archive has one top folder, that folder becomes `target`.
    on_bytes
        Called with the number of bytes of every piece written.

    Returns
    -------
    The number of files.

    Raises
    ------
    InputError
        The archive is damaged or not safe to unpack.
    StepError
        The disk has too little free space.
    """
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with open_checked(path) as zipped:
        members = [member for member in zipped.infolist() if not member.is_dir()]
        check_free_space(target.parent, sum(member.file_size for member in members), "to unpack")
        try:
            for member in members:
                _unpack_member(zipped, member, part, on_bytes)
            for folder, _, _ in os.walk(part):
                fsync_dir(folder)
            _content_root(part, members).replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    fsync_dir(target.parent)
    return len(members)


def _content_root(part: Path, members: list[zipfile.ZipInfo]) -> Path:
    """Return the archive's only top folder, or the unpacked folder itself if there are several entries."""
    top_names = {PurePosixPath(member.filename).parts[0] for member in members}
    if len(top_names) == 1:
        only = part / top_names.pop()
        if only.is_dir():
            return only
    return part


def _unpack_member(
    zipped: zipfile.ZipFile, member: zipfile.ZipInfo, part: Path, on_bytes: Callable[[int], None]
) -> None:
    path = part / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(member) as source, path.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):  # zipfile ends at the size that _check_members has seen
            file.write(chunk)
            on_bytes(len(chunk))
        file.flush()
        sync(file.fileno())


def check_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise StepError if the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StepError(
            f"{folder}: expected {needed / 2**30:.1f} GiB free {purpose}, found {free / 2**30:.1f} GiB; "
            "free some space or choose another --out"
        )
