"""The manifest of a demo library: the SHA-256 of every clip written, in a hidden file that `sha256sum -c`
reads too.

A line is appended when a clip is done, so that a killed run resumes. If the kill cuts a line off, only that
line's clip is written again.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from jobs.audio import decoding
from jobs.paths import sha256_file

NAME = ".segue-demo.sha256"

_LIBRARIES = ("numpy", "scipy", "pillow", "mutagen")


def generator_hash() -> str:
    """Return a hash of everything that the clips' bytes depend on: this package's sources, libraries, FFmpeg,
    Python.

    It covers the sources, so that nobody has to remember to raise a version number.
    """
    digest = hashlib.sha256(Path(decoding.ffmpeg_path()).name.encode())
    digest.update(" ".join([sys.version, *map(version, _LIBRARIES)]).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def write_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file completely or not at all: `write` fills a temporary file beside it, which is then renamed.

    Unlike `paths.atomic_write` it passes a path, because FFmpeg opens the file itself.
    """
    # The process id in the name: two runs on one folder never write to the same temporary file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed runs."""
    for part in folder.rglob(".*.part"):
        process_id = part.name.split(".")[-2]
        if process_id.isdigit() and not _is_running(int(process_id)):
            part.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Manifest:
    """The manifest of one folder; clips of another version of the generator do not count as written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.head = f"# segue demo {generator_hash()}"
        # SHA-256 by the clip's path below the folder.
        self.entries: dict[str, str] = {}
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        if lines[:1] != [self.head]:
            self._rewrite()
            return
        for line in lines[1:]:
            digest, separator, name = line.partition("  ")
            if separator:
                self.entries[name] = digest

    def is_current(self, clip: PurePosixPath) -> bool:
        """Return whether the clip exists and every byte is as it was written."""
        path = self.folder / clip
        return str(clip) in self.entries and path.is_file() and sha256_file(path) == self.entries[str(clip)]

    def add(self, clip: PurePosixPath, digest: str) -> None:
        """Record a clip that has just been written."""
        self.entries[str(clip)] = digest
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{digest}  {clip}\n")

    def close(self) -> None:
        """Sort the lines, which were appended in the order in which clips were finished."""
        if self.path.read_text("utf-8") != self._text():
            self._rewrite()

    def _text(self) -> str:
        lines = [f"{self.entries[name]}  {name}" for name in sorted(self.entries)]
        return "\n".join([self.head, *lines]) + "\n"

    def _rewrite(self) -> None:
        text = self._text().encode()

        def write(part: Path) -> None:
            part.write_bytes(text)

        write_file(self.path, write)
