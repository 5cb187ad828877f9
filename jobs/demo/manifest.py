"""What a folder already holds: the SHA-256 of every clip written there, in a hidden file that `sha256sum -c` reads too.

A line is appended as each clip is done, so that a killed run is taken up where it stopped; a line cut short by the kill
only has its clip made again.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from jobs.audio import decoding

NAME = ".segue-demo.sha256"


def generator_hash() -> str:
    """Return what the clips' bytes depend on, as a hash: this package's sources, the libraries, FFmpeg, Python.

    The sources, not a number that somebody has to remember to raise.
    """
    digest = hashlib.sha256(Path(decoding.ffmpeg_path()).name.encode())
    digest.update(" ".join([sys.version, *map(version, ("numpy", "scipy", "pillow", "mutagen"))]).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a temporary file beside `path`, then put it in its place in one step, or not at all."""
    # The process in the name: two runs on one folder never write to the same temporary file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that were killed."""
    for part in folder.rglob(".*.part"):
        owner = part.name.split(".")[-2]
        if owner.isdigit() and not _runs(int(owner)):
            part.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Manifest:
    """The ledger of one folder; what another recipe wrote there counts as not written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.head = folder, folder / NAME, f"# segue demo {generator_hash()}"
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        current = lines[:1] == [self.head]
        pairs = [line.split("  ", 1) for line in lines[1:] if current]
        self.entries = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
        if not current:
            self._rewrite()

    def is_current(self, clip: PurePosixPath) -> bool:
        """Return whether the clip is there with every byte as it was written."""
        path = self.folder / clip
        return str(clip) in self.entries and path.is_file() and sha256(path) == self.entries[str(clip)]

    def add(self, clip: PurePosixPath, digest: str) -> None:
        """Note a clip that has just been written."""
        self.entries[str(clip)] = digest
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{digest}  {clip}\n")

    def close(self) -> None:
        """Put the lines in order: they were appended as the clips happened to be done."""
        if self.path.read_text("utf-8") != self._text():
            self._rewrite()

    def _text(self) -> str:
        return "\n".join([self.head, *(f"{self.entries[name]}  {name}" for name in sorted(self.entries))]) + "\n"

    def _rewrite(self) -> None:
        text = self._text().encode()

        def write(part: Path) -> None:
            part.write_bytes(text)

        replace(self.path, write)
