"""ZIP archives from elsewhere, looked through before a byte is unpacked: none climbs out, fills the disk or is half there."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from jobs.errors import InputError, StepError
from jobs.lake.storage import fsync
from jobs.paths import escape_control_chars

# Text packs to a tenth, mp3 hardly at all; a bomb is a thousand times larger than its archive.
_MAX_COMPRESSION_RATIO = 100
# Small archives may pack better than that: what is below this is no bomb whatever its ratio.
_HARMLESS_BYTES = 64 * 2**20

_CHUNK_BYTES = 2**20


@contextmanager
def open_checked(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive and check its list of members; InputError naming the archive and the member it stumbled over."""
    try:
        with zipfile.ZipFile(path) as zipped:
            _check(path, zipped.infolist())
            yield zipped
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path}: expected a whole ZIP archive, found: {error}; download it again"
        ) from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InputError(
                f"{path}: expected files below one folder, found the path {escape_control_chars(member.filename)!r}"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(
                f"{path}: expected files only, found the link {escape_control_chars(member.filename)!r}"
            )
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > max(_MAX_COMPRESSION_RATIO * packed, _HARMLESS_BYTES):
        largest = max(members, key=lambda member: member.file_size)
        raise InputError(
            f"{path}: expected at most {_MAX_COMPRESSION_RATIO} times its {packed:,} bytes, found {unpacked:,} "
            f"(the largest is {escape_control_chars(largest.filename)!r} with {largest.file_size:,}): a ZIP bomb?"
        )


def unpack(path: Path, target: Path, *, unpacked: Callable[[int], None]) -> int:
    """Unpack to the folder `target`, there whole or not at all; return the number of files.

    The archive's one top folder becomes `target`. `unpacked` is told the bytes of each piece. InputError for an archive
    that is not to be trusted or is damaged; StepError where the disk has no room for it.
    """
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with open_checked(path) as zipped:
        members = [member for member in zipped.infolist() if not member.is_dir()]
        check_free_space(target.parent, sum(member.file_size for member in members), "to unpack")
        try:
            for member in members:
                _unpack_member(zipped, member, part, unpacked)
            for folder, _, _ in os.walk(part):
                fsync(folder)
            tops = {PurePosixPath(member.filename).parts[0] for member in members}
            only = part / tops.pop() if len(tops) == 1 else part
            (only if only.is_dir() else part).replace(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    fsync(target.parent)
    return len(members)


def _unpack_member(
    zipped: zipfile.ZipFile, member: zipfile.ZipInfo, part: Path, unpacked: Callable[[int], None]
) -> None:
    path = part / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(member) as source, path.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):  # never more than the size that has been checked
            file.write(chunk)
            unpacked(len(chunk))
        file.flush()
        os.fsync(file.fileno())


def check_free_space(folder: Path, needed: int, what: str) -> None:
    """Raise StepError where the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StepError(
            f"{folder}: expected {needed / 2**30:.1f} GiB free {what}, found {free / 2**30:.1f} GiB; "
            "make room or choose another --out"
        )
