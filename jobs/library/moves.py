"""Recognize a folder of music that was renamed, moved or mounted elsewhere, without reading its files.

The file stat of a file stays when a folder above it is renamed or its disk is mounted elsewhere, the change
time included, which no copy keeps. What has been copied or renamed itself is recognized by its content
(`contents.py`).
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.errors import InputError
from jobs.lake.schemas import FILES
from jobs.lake.storage import Lake
from jobs.library import contents, scan
from jobs.library.scan import FileRow, ScannedFile
from jobs.paths import escape_control_chars, to_path, to_text

_Key = tuple[str, int, int, int]


@dataclass
class MovedFiles:
    """Files of FILES that are found at another path.

    Attributes
    ----------
    rows
        Their new rows by their new path.
    gone_folders
        The renamed folders, or the library where that is below the renamed one (other disks may be beside
        it), if nothing is there any more.
    """

    rows: dict[str, FileRow] = field(default_factory=dict)
    gone_folders: set[str] = field(default_factory=set)


def find_moved(library: scan.ScanResult, known: dict[str, FileRow]) -> MovedFiles:
    """Return the new files of a library that are those of rows of `known` whose own path is gone.

    A path counts as gone, too, if its folder is the same as the new one: a mount of the same folder.
    """
    new = _unique([file for file in library.files if file["path"] not in known and file["mtime_ns"]])
    moved = MovedFiles()
    if not new:
        return moved
    scanned = {file["path"] for file in library.files}
    old = _unique([row for row in known.values() if row["path"] not in scanned and _key(row) in new])
    old_folders: set[str] = set()
    for key, row in old.items():
        file = new[key]
        if contents.is_gone(row["path"]) or _is_same_folder(row["path"], file["path"]):
            moved.rows[file["path"]] = carry_over(file, row)
            old_folders.add(max(_renamed_folder(row["path"], file["path"]), row["library"], key=len))
    moved.gone_folders = {folder for folder in old_folders if _is_empty(folder)}
    return moved


def carry_over(file: ScannedFile, row: FileRow, **columns: Any) -> Any:
    """Return the row of FILES of a file that has the content of another row, as it stood before it moved."""
    is_moved = row["path"] != file["path"]
    audio_path = file["path"] if row["audio_path"] == row["path"] else row["audio_path"]
    carried: Any = {**row, **file, "audio_path": audio_path}
    if is_moved:
        carried["moved_from"] = row["path"]
    else:
        carried["library"] = row["library"]
    return {**carried, **columns}


def _key(file: ScannedFile) -> _Key:
    return os.path.basename(file["path"]), file["size"], file["mtime_ns"], file["ctime_ns"]


def _unique(files: Any) -> dict[_Key, Any]:
    """Return the files by key; those with the key of another one are identified by their content."""
    counts = Counter(map(_key, files))
    return {_key(file): file for file in files if counts[_key(file)] == 1}


def _is_same_folder(path: str, other: str) -> bool:
    try:
        return os.path.samefile(os.path.dirname(to_path(path)), os.path.dirname(to_path(other)))
    except OSError:
        return False


def _renamed_folder(old: str, new: str) -> str:
    """Return the folder of `old` that has another name in `new`: /a/b/c/d.mp3, /x/c/d.mp3 -> /a/b."""
    old_folder, new_folder = os.path.dirname(old), os.path.dirname(new)
    while os.path.basename(old_folder) == os.path.basename(new_folder) != "":
        old_folder, new_folder = os.path.dirname(old_folder), os.path.dirname(new_folder)
    return old_folder


def _is_empty(folder: str) -> bool:
    """Return whether a folder (as text) is gone, or empty as where a disk was mounted."""
    if contents.is_gone(folder):
        return True
    try:
        with os.scandir(to_path(folder)) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def is_below(path: str, folders: set[str]) -> bool:
    """Return whether a path is below one of the folders."""
    folder = os.path.dirname(path)
    while folders and folder not in folders and folder not in ("/", ""):
        folder = os.path.dirname(folder)
    return folder in folders


@dataclass(frozen=True)
class MovedLibrary:
    """A library that is gone, and was found elsewhere by an earlier run."""

    root: Path
    folder: str  # where its files are now
    n_moved: int
    n_missing: int  # files that were found nowhere; they may be on a disk that is away

    def describe(self) -> str:
        """Return in one line what has become of it."""
        old, new = (escape_control_chars(folder) for folder in (to_text(self.root), self.folder))
        missing = f"; not found, but still in the lake: {self.n_missing:,}" if self.n_missing else ""
        return f"{old} has moved to {new} ({self.n_moved:,} files{missing}); name that folder from now on"


def scan_library(folder: str, lake: Lake) -> scan.ScanResult | MovedLibrary:
    """Scan a library; if it is gone, return where it has moved to.

    A library has moved if more of its files are known to be elsewhere than are missing. Raises InputError if
    it is gone otherwise, as when its disk is away, and StepError if a disk fails.
    """
    try:
        return scan.scan(folder, lake.root)
    except InputError:
        moved = _find_moved_library(Path(folder).expanduser().resolve(), lake)
        if moved is None:
            raise
        return moved


def _find_moved_library(root: Path, lake: Lake) -> MovedLibrary | None:
    prefix = scan.path_prefix(root)
    rows = lake.read_arrow(FILES, "path", "library", "moved_from").to_pylist()
    libraries = Counter(row["library"] for row in rows if (row["moved_from"] or "").startswith(prefix))
    n_missing = sum(row["path"].startswith(prefix) for row in rows)
    n_moved = sum(libraries.values())
    if n_moved <= n_missing:
        return None
    return MovedLibrary(root, libraries.most_common(1)[0][0], n_moved, n_missing)
