"""Files as one zip archive that is written while it is sent: stored, not compressed, in bounded memory."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 256 * 1024
_EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)


class _Buffer(io.RawIOBase):
    """What zipfile has written and nobody has taken yet; it cannot seek, so zipfile writes in one go."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_stream(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield a zip archive of (name in the archive, file) pairs; a file that is gone is left out."""
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in unique_names(files):
            try:
                source = path.open("rb")
            except OSError:
                continue
            entry = zipfile.ZipInfo(name, _EARLIEST_DATE)
            with source, archive.open(entry, "w", force_zip64=True) as target:
                while data := source.read(_CHUNK_BYTES):
                    target.write(data)
                    yield buffer.take()
    yield buffer.take()


def unique_names(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield the pairs; the second of one name gets a number, as "01 (2).flac"."""
    taken: set[str] = set()
    for name, path in files:
        stem, dot, suffix = name.rpartition(".")
        number, unique = 1, name
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem} ({number}){dot}{suffix}" if dot else f"{name} ({number})"
        taken.add(unique.casefold())
        yield unique, path


def entry_name(name: str) -> str:
    """Return one part of a name in the archive: no path, nothing that a file system refuses."""
    safe = "".join("_" if char in '/\\:*?"<>|' or ord(char) < 32 else char for char in name)
    return safe.encode("utf-8", "replace").decode().strip(" .") or "_"
