"""Paths: where Segue is installed, file names as text, and files that are written whole or not at all.

POSIX file names are bytes; text columns hold UTF-8. A byte that is not valid UTF-8 is written as `\\xNN` and
a backslash is doubled, so that the text can be converted back without ambiguity.
"""

import fcntl
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

# The package `jobs`, and the folder it lies in: the repository, or site-packages where Segue is installed.
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent

# Files that all of this installation's processes share: Java's wrapper, jars, caches.
SHARED_DIR = Path(sys.prefix) / "share" / "segue"

_ESCAPED = re.compile(r"\\x[0-9a-f]{2}|\\\\")


def to_text(path: str | os.PathLike[str]) -> str:
    r"""Return the path as valid UTF-8 text: `b"a\xff"` becomes `a\xff` in six characters."""
    doubled = os.fspath(path).replace("\\", "\\\\")
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", doubled)


def to_path(text: str) -> str:
    """Return the path that `to_text` was given, in the form that the functions of `os` accept."""
    return _ESCAPED.sub(lambda m: "\\" if m[0] == "\\\\" else chr(0xDC00 + int(m[0][2:], 16)), text)


def relative_to_here(path: Path) -> Path:
    """Return the path relative to the current folder if it lies below it: what a user types there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def escape_control_chars(text: str) -> str:
    """Return the text with control characters escaped: a name with a newline cannot break a log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def make_private_dir(folder: Path) -> Path:
    """Create a folder that only its owner can enter, whatever the modes of the files in it; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # the folder belongs to another user, who decides about its mode
        folder.chmod(0o700)
    return folder


def atomic_write(
    path: Path,
    data: bytes | str | Callable[[BinaryIO], object],
    *,
    mode: int | None = None,
    fsync: bool = True,
) -> None:
    """Write a file whole or not at all: after a kill or a power cut it has its old content or the new one.

    The data go to a temporary file in the same folder, which is then renamed. After a kill -9 that temporary
    file (`.<8 hex digits>.tmp`) may remain.

    Parameters
    ----------
    path
        The file to write or replace; its folder must exist.
    data
        The content (text is written as UTF-8), or a function that writes it to the open binary file.
    mode
        Permission bits of the file from its creation on; None leaves them to the umask.
    fsync
        Push the file and the folder's entry to the disk before returning. Without it the file survives a
        kill, but not always a power cut.

    Raises
    ------
    OSError
        The file cannot be written; the old content stays.
    """
    scratch = path.with_name(f".{secrets.token_hex(4)}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)  # the umask may have removed bits
            if callable(data):
                data(file)
            else:
                file.write(data.encode() if isinstance(data, str) else data)
            if fsync:
                file.flush()
                sync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    if fsync:
        fsync_dir(path.parent)


def fsync_dir(path: Path | str) -> None:
    """Push a folder's list of names to the disk (fsync), so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int, *, data_only: bool = False) -> None:
    """Push a file to the disk: return when a power cut no longer loses what was written.

    `data_only` leaves out times and permissions, if the system knows the difference. On macOS fsync stops at
    the drive's cache, and F_FULLFSYNC goes on; not every file system there has it.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    fdatasync = getattr(os, "fdatasync", os.fsync)
    (fdatasync if data_only else os.fsync)(descriptor)


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's content in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
