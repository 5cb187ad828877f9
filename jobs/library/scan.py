"""What is in a folder of music: the walk over it, and what of it counts as audio."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.audio.decoding import EXTENSIONS
from jobs.errors import InputError, raise_if_system_fault
from jobs.paths import to_text

# What an in-place compression writes before it takes the original's name is called so.
PART_PREFIX, PART_SUFFIX = ".segue-", ".part"

# Columns of FILES that tell whether a file has changed.
FILE_STAT_COLUMNS = ("size", "mtime_ns", "ctime_ns")


@dataclass
class ScanResult:
    """The files found below a folder; `left_alone` counts the others by extension, links and hidden ones included."""

    root: Path
    files: list[dict[str, Any]] = field(default_factory=list)  # path, library, size and times as in FILES
    skipped: Counter[str] = field(default_factory=Counter)
    stale_parts: list[str] = field(default_factory=list)  # paths of what killed in-place compressions left


def scan(folder: str, lake: Path) -> ScanResult:
    """List the audio files below `folder`, by extension, sorted by name; the lake is skipped where it lies inside.

    Links are not followed: what they lead to is either found anyway or outside the library. A directory with an audio
    file's name is listed too (it ends in REJECTS) and walked like any other. InputError for a missing or empty folder,
    StepError where a disk fails.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(
            f"--library: expected a folder of music, found {'a file' if root.exists() else 'nothing'} at {folder}"
        )
    library = ScanResult(root.resolve())
    pending, lake = [str(library.root)], lake.resolve()
    while pending:
        current = pending.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise_if_system_fault(error, to_text(os.path.join(current, "")))  # of the folder itself
            if os.path.splitext(current)[1].lower() not in EXTENSIONS:  # else it is listed already
                _add(library, current)  # compress says why it cannot be read
            continue
        for entry in entries:
            _sort_in(library, entry, pending, lake)
    if not library.files:
        others = ", ".join(f"{count} {kind}" for kind, count in library.skipped.most_common(5)) or "nothing"
        raise InputError(
            f"--library: expected audio ({' '.join(sorted(EXTENSIONS))}) below {folder}, found {others}"
        )
    library.files.sort(key=lambda file: file["path"])
    return library


def _sort_in(library: ScanResult, entry: "os.DirEntry[str]", pending: list[str], lake: Path) -> None:
    extension = os.path.splitext(entry.name)[1].lower()
    if entry.is_symlink():
        library.skipped["link"] += 1
    elif entry.name.startswith(PART_PREFIX) and entry.name.endswith(PART_SUFFIX):
        library.stale_parts.append(entry.path)
    elif entry.name.startswith("."):
        library.skipped["hidden"] += 1
    elif entry.is_dir(follow_symlinks=False):
        if Path(entry.path) != lake:
            pending.append(entry.path)
            if extension in EXTENSIONS:
                _add(library, entry.path)
    elif extension in EXTENSIONS:
        _add(library, entry.path)
    else:
        library.skipped[to_text(extension) or "without extension"] += 1


def _add(library: ScanResult, path: str) -> None:
    try:
        seen = file_stat(path)
    except FileNotFoundError:  # gone since its folder was listed
        return
    except PermissionError:  # its folder can be listed and not entered: compress says so
        seen = dict.fromkeys(FILE_STAT_COLUMNS, 0)
    library.files.append({"path": to_text(path), "library": to_text(library.root), **seen})


def file_stat(path: str) -> dict[str, int]:
    """Return size and times (of FILES): while they stay, the file is taken to be the same."""
    status = os.lstat(path)
    return dict(zip(FILE_STAT_COLUMNS, (status.st_size, status.st_mtime_ns, status.st_ctime_ns), strict=True))


def exists(path: str) -> bool:
    """Tell whether a file that was found is there still; StepError where its disk does not say."""
    try:
        os.lstat(path)
    except OSError as error:
        raise_if_system_fault(error, to_text(path))
        return isinstance(error, PermissionError)  # its folder can be listed and not entered
    return True


def is_unchanged(file: dict[str, Any], row: dict[str, Any]) -> bool:
    """Tell whether a file that was found is taken to be the one of a row of FILES."""
    return all(file[name] == row[name] for name in FILE_STAT_COLUMNS)


def path_prefix(root: Path) -> str:
    """Return the prefix that the text paths of all files below `root` have."""
    return to_text(root).rstrip("/") + "/"
