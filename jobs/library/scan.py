"""Walk a folder of music and list its audio files."""

import fnmatch
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from jobs.audio.decoding import EXTENSIONS
from jobs.errors import InputError, raise_if_system_fault
from jobs.paths import escape_control_chars, to_text

log = logging.getLogger("segue")

# Name of the temporary file that an in-place compression writes before it takes the original's name.
PART_PREFIX = ".segue-"
PART_SUFFIX = ".part"

# Hidden entries that the log names.
_MAX_HIDDEN_NAMED = 5

# Columns of FILES by which a changed file is recognized.
FILE_STAT_COLUMNS = ("size", "mtime_ns", "ctime_ns")


class FileStat(TypedDict):
    """The values of FILE_STAT_COLUMNS: while they stay the same, a file counts as unchanged."""

    size: int  # bytes
    mtime_ns: int
    ctime_ns: int


class ScannedFile(FileStat):
    """One file of a library, with the columns of FILES that a scan knows."""

    path: str  # as text, see jobs.paths
    library: str


class FileRow(ScannedFile, total=False):
    """One row of FILES."""

    content_hash: str | None
    file_hash: str | None
    audio_hash: str | None
    fma_id: str | None
    moved_from: str | None
    audio_path: str | None
    duration_s: float | None
    bit_rate: int | None
    target_bit_rate: int | None
    outcome: str


# Folders and files that systems and programs hide from their users, in lower case: they hold no music of
# the user's. Every other name that begins with a dot is music, as "...And Justice" and ".5 The Gray Chapter".
_HIDDEN_NAMES = (
    *("._*", ".ds_store", ".appledouble", ".spotlight-v100", ".fseventsd", ".temporaryitems", "__macosx"),
    *(".documentrevisions-v100", ".apdisk", ".trash", ".trash-*", ".trashes", "$recycle.bin"),
    *("system volume information", "#recycle", "@recycle", "@eadir", "@tmp", ".@__thumb", "#snapshot"),
    *(".snapshot", ".snapshots", ".zfs", "lost+found", ".nfs[0-9a-f]*", ".fuse_hidden*", ".~lock.*"),
    *(".git", ".hg", ".svn", ".bzr", ".cache", ".thumbnails", ".thumbs", ".tmp", ".temp"),
    *(".stfolder*", ".stversions", ".syncthing.*", ".sync", ".dropbox*", ".owncloudsync*", ".sync_*"),
)
_IS_HIDDEN = re.compile("|".join(fnmatch.translate(name) for name in _HIDDEN_NAMES))


@dataclass
class ScanResult:
    """The audio files below a folder, and counts of all other entries."""

    root: Path
    files: list[ScannedFile] = field(default_factory=list)  # sorted by path
    skipped: Counter[str] = field(default_factory=Counter)  # by extension; also "link" and "hidden"
    hidden: list[str] = field(default_factory=list)  # paths that a system hides, as text
    stale_parts: list[str] = field(default_factory=list)  # temporary files of killed in-place compressions


def scan(folder: str, lake: Path) -> ScanResult:
    """List the audio files below `folder` by their extension, except those inside the lake.

    Links are not followed: their targets are either found anyway or outside the library. A directory with an
    audio file's name is walked like any other and listed too, so that it gets a row in REJECTS.

    Raises
    ------
    InputError
        The folder is missing, or has no audio file.
    StepError
        A disk fails.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"--library: expected a folder of music, found {found} at {folder}")
    result = ScanResult(root.resolve())
    lake = lake.resolve()
    pending = [str(result.root)]
    while pending:
        current = pending.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise_if_system_fault(
                error, to_text(os.path.join(current, ""))
            )  # with "/": test the folder itself
            if os.path.splitext(current)[1].lower() not in EXTENSIONS:  # else it is listed already
                _add_file(result, current)  # compress records in REJECTS why it cannot be read
            continue
        for entry in entries:
            _add_entry(result, entry, pending, lake)
    if not result.files:
        skipped = ", ".join(f"{count} {kind}" for kind, count in result.skipped.most_common(5))
        extensions = " ".join(sorted(EXTENSIONS))
        raise InputError(
            f"--library: expected audio ({extensions}) below {folder}, found {skipped or 'nothing'}"
        )
    result.files.sort(key=lambda file: file["path"])
    return result


def _add_entry(result: ScanResult, entry: "os.DirEntry[str]", pending: list[str], lake: Path) -> None:
    """Add one entry of a folder to the result, or to the folders that are pending."""
    extension = os.path.splitext(entry.name)[1].lower()
    if entry.is_symlink():
        result.skipped["link"] += 1
    elif entry.name.startswith(PART_PREFIX) and entry.name.endswith(PART_SUFFIX):
        result.stale_parts.append(entry.path)
    elif is_hidden(entry.name):
        result.skipped["hidden"] += 1
        result.hidden.append(to_text(entry.path))
    elif entry.is_dir(follow_symlinks=False):
        if Path(entry.path) != lake:
            pending.append(entry.path)
            if extension in EXTENSIONS:
                _add_file(result, entry.path)
    elif extension in EXTENSIONS:
        _add_file(result, entry.path)
    else:
        result.skipped[to_text(extension) or "without extension"] += 1


def is_hidden(name: str) -> bool:
    """Return whether systems or programs hide a file or folder of this name, as `.git`, `._x`, `@eaDir`."""
    return _IS_HIDDEN.match(name.lower()) is not None


def log_skipped(result: ScanResult) -> None:
    """Log how many entries were left out, by kind, and name the first hidden ones."""
    if not result.skipped:
        return
    kinds = ", ".join(
        f"{count} {escape_control_chars(kind)}" for kind, count in result.skipped.most_common(8)
    )
    names = ", ".join(escape_control_chars(path) for path in sorted(result.hidden)[:_MAX_HIDDEN_NAMED])
    more = ", …" if len(result.hidden) > _MAX_HIDDEN_NAMED else ""
    log.info("left out of the library: %s%s", kinds, f" (hidden: {names}{more})" if names else "")


def _add_file(result: ScanResult, path: str) -> None:
    try:
        stat = file_stat(path)
    except FileNotFoundError:  # gone since its folder was listed
        return
    except PermissionError:  # its folder can be listed but not entered: compress rejects the file
        stat = FileStat(size=0, mtime_ns=0, ctime_ns=0)
    result.files.append({"path": to_text(path), "library": to_text(result.root), **stat})


def file_stat(path: str) -> FileStat:
    """Return a file's size and times as in FILES, without following a link."""
    status = os.lstat(path)
    return FileStat(size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)


def exists(path: str) -> bool:
    """Return whether a file that was listed still exists; raise StepError if its disk fails."""
    try:
        os.lstat(path)
    except OSError as error:
        raise_if_system_fault(error, to_text(path))
        return isinstance(error, PermissionError)  # its folder can be listed but not entered
    return True


def is_unchanged(file: FileStat, row: FileStat) -> bool:
    """Return whether a scanned file has the size and times of a row of FILES."""
    return (
        file["size"] == row["size"]
        and file["mtime_ns"] == row["mtime_ns"]
        and file["ctime_ns"] == row["ctime_ns"]
    )


def path_prefix(root: Path) -> str:
    """Return the prefix that the text paths of all files below `root` have."""
    return to_text(root).rstrip("/") + "/"
