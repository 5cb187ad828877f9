"""Replace a file by its compressed form, so that no file is ever overwritten except by its own result.

The result is written to a temporary file in the folder of the original, and renamed once it is complete and
verified.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.audio import transcode
from jobs.audio.audio_hash import hash_file
from jobs.errors import UnusableFile
from jobs.library import scan
from jobs.paths import to_text


def create_temp(folder: str | Path) -> str:
    """Create an empty temporary file with a name that no other process uses, a killed one's included.

    Return its path.
    """
    descriptor, temp_path = tempfile.mkstemp(prefix=scan.PART_PREFIX, suffix=scan.PART_SUFFIX, dir=folder)
    os.close(descriptor)
    return temp_path


def remove_temp(temp_path: str) -> None:
    """Remove a temporary file unless it was renamed already."""
    with suppress(FileNotFoundError):
        os.unlink(temp_path)


def check_unchanged(path: str, row: dict[str, Any]) -> None:
    """Raise UnusableFile if the file's size or modification time is no longer that of its row.

    The ctime is not compared: it also changes when another hard link to the file is replaced.
    """
    stat = scan.file_stat(path)
    if (stat["size"], stat["mtime_ns"]) != (row["size"], row["mtime_ns"]):
        raise UnusableFile(
            "expected the file to stay as it is while it is compressed, found it changed meanwhile"
        )


def rename_into_place(temp_path: str, path: str, content_hash: str, codec: str) -> str:
    """Rename the temporary file to `path`, or to a free name beside it if the format changes; return the new
    path.

    Raises UnusableFile if no name is free.
    """
    candidates = _result_paths(path, codec)
    if candidates == [path]:
        os.replace(temp_path, path)
        return path
    for candidate in candidates:
        if _is_result_of(candidate, content_hash):  # a kill has left it before the original was removed
            os.replace(temp_path, candidate)
            return candidate
        # Unlike a rename, a link never overwrites: song.flac and song.wav may both become song.mp3 at the
        # same time.
        with suppress(FileExistsError):
            os.link(temp_path, candidate)
            return candidate
    taken = " and ".join(map(to_text, candidates))
    raise UnusableFile(f"expected a free name for the compressed file, found {taken} taken")


def _is_result_of(path: str, content_hash: str) -> bool:
    """Return whether `path` is the compressed form of the source with this hash."""
    encoder_tag = transcode.read_encoder_tag(path) if os.path.lexists(path) else None
    if encoder_tag is None or encoder_tag.content_hash != content_hash:
        return False
    return encoder_tag.is_of(hash_file(path).audio_hash)


def find_replaced(path: str) -> str:
    """Return `path`, or if it is gone the compressed file that has replaced it.

    A task that is run again after a crash may have replaced its file already.
    """
    if os.path.lexists(path):
        return path
    candidates = [candidate for codec in transcode.CODECS for candidate in _result_paths(path, codec)]
    for candidate in candidates:
        if os.path.lexists(candidate) and transcode.read_encoder_tag(candidate):
            return candidate
    return path


def _result_paths(path: str, codec: str) -> list[str]:
    """Return the paths that the result may take.

    `path` itself, or the candidates with the new extension in order.
    """
    base, extension = os.path.splitext(path)
    new_extension = transcode.result_extension(path, codec)
    if new_extension == extension.lower():
        return [path]
    return [base + new_extension, path + new_extension]
