"""The rows of a history that are not imported, in a file of their own."""

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs import paths
from jobs.plays.listens import RejectedRow


class RejectedListens:
    """The rejected rows of one history, as a context; each is in a file before the next one is read.

    During an import that is `<name>-<hash of its path>.jsonl.part`. At its end it replaces the file of the
    last import of this history, without `.part`. After a kill both are there; the next import writes the
    rows again from the first on, so nothing is in a file twice.
    """

    def __init__(self, folder: Path, history: Path) -> None:
        """Name the files of a history in a folder; they are made with the first row."""
        digest = hashlib.sha256(str(history.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        name = os.fsdecode(os.fsencode(history.name)[:200])  # a name may have 255 bytes
        self._path = folder / f"{name}-{digest}.jsonl"
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._name = history.name
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, row: RejectedRow) -> None:
        """Append a row."""
        if self._descriptor is None:
            self._part.parent.mkdir(exist_ok=True)
            self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        line = json.dumps({**row.to_dict(), "file": row.file or self._name}, ensure_ascii=False)
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        while data:  # a nearly full disk takes a part
            data = data[os.write(self._descriptor, data) :]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            paths.sync(self._descriptor)
            os.close(self._descriptor)
        if kind is not None:
            return
        if self._descriptor is None:
            self._path.unlink(missing_ok=True)
            self._part.unlink(missing_ok=True)  # of an import that was killed
            return
        self._part.replace(self._path)
        paths.fsync_dir(self._path.parent)
