"""FMA's metadata on the disk: an unpacked folder, or `fma_metadata.zip` as it was downloaded."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jobs.errors import InputError
from jobs.fma import archive


class MetadataSource:
    """The files of `--metadata`, found by their bare names."""

    def __init__(self, location: str) -> None:
        """Open a folder or an archive.

        Raises
        ------
        InputError
            The location does not exist, or its archive is damaged or not safe to unpack.
        """
        self.path = Path(location).expanduser().absolute()
        # Bare name -> name in the archive; empty for a folder.
        self._members: dict[str, str] = {}
        if self.path.is_file():
            with archive.open_checked(self.path) as zipped:
                names = [member.filename for member in zipped.infolist() if not member.is_dir()]
            self._members = {name.rsplit("/", 1)[-1]: name for name in names}
        elif not self.path.is_dir():
            raise InputError(
                f"--metadata: expected the folder fma_metadata or its archive, found nothing at {location}"
            )

    def has(self, name: str) -> bool:
        """Return whether the source has this file."""
        return name in self._members if self._members else (self.path / name).is_file()

    def display_path(self, name: str) -> str:
        """Return the file's name for messages."""
        return f"{self.path}/{name}"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading; a file of an archive is decompressed while it is read, not on the disk."""
        if not self.has(name):
            raise InputError(f"--metadata: expected {name}, found none in {self.path}")
        if not self._members:
            with (self.path / name).open("rb") as stream:
                yield stream
            return
        try:
            with zipfile.ZipFile(self.path) as zipped, zipped.open(self._members[name]) as stream:
                yield stream
        except zipfile.BadZipFile as error:
            raise InputError(
                f"{self.display_path(name)}: expected a complete archive, found: {error}"
            ) from error
