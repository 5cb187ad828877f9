"""How a finished file takes another's name: nothing is ever overwritten but what it was made from.

It is written under a name of its own (a part) beside the name it is to have, and renamed when it is whole and checked.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.audio import transcode
from jobs.errors import UnusableFile
from jobs.library import scan
from jobs.paths import to_text


def create_temp(folder: str | Path) -> str:
    """Make an empty file of a name that no other process has: one that outlives a killed run must not meet the next."""
    descriptor, part = tempfile.mkstemp(prefix=scan.PART_PREFIX, suffix=scan.PART_SUFFIX, dir=folder)
    os.close(descriptor)
    return part


def remove_temp(part: str) -> None:
    """Remove a part unless it has its new name already."""
    with suppress(FileNotFoundError):
        os.unlink(part)


def check_unchanged(path: str, row: dict[str, Any]) -> None:
    """Raise BadFile where the file's size or time is no longer that of its row."""
    now = scan.file_stat(path)  # its ctime also moves when another hard link to the file is replaced
    if (now["size"], now["mtime_ns"]) != (row["size"], row["mtime_ns"]):
        raise UnusableFile(
            "expected the file to stay as it is while it is compressed, found it changed meanwhile"
        )


def rename_into_place(part: str, path: str, content_hash: str) -> str:
    """Give `part` the name of `path`, or a free one beside it where the format changes; return that name."""
    names = _result_names(path)
    if names == [path]:
        os.replace(part, path)
        return path
    for name in names:
        mark = transcode.read_encoder_tag(name) if os.path.lexists(name) else None
        if mark is not None and mark.content_hash == content_hash:  # left by a kill before the original went
            os.replace(part, name)
            return name
        with suppress(FileExistsError):
            os.link(
                part, name
            )  # unlike a rename, never over another file: song.flac and song.wav run at once
            return name
    raise UnusableFile(
        f"expected a free name for the compressed file, found {' and '.join(map(to_text, names))} taken"
    )


def find_replaced(path: str) -> str:
    """Return where the file of a task that is run again has gone: after a crash its swap may be done already."""
    if os.path.lexists(path):
        return path
    marked = [
        name for name in _result_names(path) if os.path.lexists(name) and transcode.read_encoder_tag(name)
    ]
    return marked[0] if marked else path


def _result_names(path: str) -> list[str]:
    """Return the names that the result may have in place: the same, or the first free one with the new extension."""
    base, extension = os.path.splitext(path)
    new = transcode.result_extension(path)
    return [path] if new == extension.lower() else [base + new, path + new]
