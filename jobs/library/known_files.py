"""FILES as it holds for a library now: the rows of files that moved, or whose tags changed, go on.

Only new and changed files are read, once; after an upgrade also those whose row has no hashes yet.
"""

import argparse
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs.fma import errata
from jobs.lake import rejects
from jobs.lake.schemas import FILES, TRACK_IDS, Column, Table
from jobs.lake.storage import Lake
from jobs.library import compressed_copies, contents, moves, scan
from jobs.library.contents import Content, FileHashes
from jobs.library.scan import FileRow, ScannedFile
from jobs.spark import file_tasks

# Staged only: a run that was killed does not read its files again.
_HASHES = Table(
    "FILE_HASHES",
    ("path",),
    (
        *FILES.select("path", "size", "mtime_ns", "ctime_ns", "file_hash", "audio_hash").columns,
        Column("source_hash", "string", "content_hash that the tag of Segue's encoder names"),
    ),
)

# Columns that a step stages for each file it has attempted.
RESULT_TABLE = FILES.with_columns(*rejects.ATTEMPT_COLUMNS)

# Files per Spark task: reading a file takes milliseconds.
_TASK_FILES = 64

# Columns of FILES that say which content and which track a file is.
_IDENTITY_COLUMNS = ("content_hash", "file_hash", "audio_hash", "fma_id", "moved_from")


@dataclass
class KnownFiles:
    """What is known of a library's files before any of them is compressed or listed."""

    rows: dict[str, FileRow]  # by path, as FILES is going to have them
    updates: dict[str, FileRow] = field(default_factory=dict)  # of them those that FILES has otherwise
    moved: dict[str, str] = field(default_factory=dict)  # of them the new paths by those that were given up
    gone_folders: set[str] = field(default_factory=set)  # renamed: what was below and is not found, is gone
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)  # of new and changed files, by path

    def new_row(self, file: ScannedFile) -> dict[str, Any]:
        """Return the columns of FILES that are known of a file that is about to be tried."""
        row: Any = self.rows.get(file["path"])
        if file["path"] in self.identities:
            return {**file, **self.identities[file["path"]]}
        if row is None or not scan.is_unchanged(file, row):
            return {**file, "fma_id": errata.fma_number(file["path"])}
        return {**file, **{name: row.get(name) for name in _IDENTITY_COLUMNS}}

    def _update(self, row: FileRow) -> None:
        self.rows[row["path"]] = row
        self.updates[row["path"]] = row


def add_fma_argument(parser: argparse.ArgumentParser) -> None:
    """Add --fma-ids."""
    parser.add_argument(
        "--fma-ids",
        action="store_true",
        help="the number in the name of every file of the library is FMA's track id (default: only in FMA's "
        "own folders, as in 000/000002.mp3)",
    )


def read_known_files(lake: Lake) -> dict[str, FileRow]:
    """Return the rows of FILES by path, including those that a killed run has staged."""
    rows = lake.read_arrow(FILES).to_pylist() + lake.read_staged_arrow(FILES).to_pylist()
    return {row["path"]: row for row in rows}


def recognize(
    master: str,
    lake: Lake,
    library: scan.ScanResult,
    *,
    is_included: Callable[[str], bool] = lambda path: True,
    any_folder: bool = False,
) -> KnownFiles:
    """Return what FILES knows of the library's files, wherever and with whatever tags it knew them.

    Parameters
    ----------
    is_included
        Whether a file of this path is read if it is new or has changed.
    any_folder
        Whether the number in each file's name is FMA's, not only in FMA's folders (`--fma-ids`).
    """
    known = KnownFiles(read_known_files(lake))
    moved = moves.find_moved(library, known.rows)
    known.gone_folders = moved.gone_folders
    for row in moved.rows.values():
        known.moved[str(row["moved_from"])] = row["path"]
        known.rows.pop(str(row["moved_from"]), None)
        known._update(row)
    files = {file["path"]: file for file in library.files}
    todo = [
        file
        for path, file in files.items()
        if is_included(path) and _lacks_hashes(file, known.rows.get(path))
    ]
    hashed = _hash(master, lake, todo)
    changed: dict[str, FileHashes] = {}
    for path, hashes in hashed.items():
        old = known.rows.get(path)
        if old is not None and scan.is_unchanged(files[path], old):
            known._update({**old, "file_hash": hashes.file_hash, "audio_hash": hashes.audio_hash})
        else:
            changed[path] = hashes
    retagged = _identify(lake, library, known, files, changed) if changed else []
    _set_fma_ids(known, files, any_folder=any_folder)
    rows = [known.rows[path] for path in retagged]
    _update_copies(master, lake, [row for row in rows if compressed_copies.has_copy(row)])
    return known


def _lacks_hashes(file: ScannedFile, row: FileRow | None) -> bool:
    if row is None or not scan.is_unchanged(file, row):
        return True
    return row["outcome"] != "rejected" and not (row.get("file_hash") and row.get("audio_hash"))


def _hash(master: str, lake: Lake, files: list[ScannedFile]) -> dict[str, FileHashes]:
    """Return the hashes of the files that can be read and have not changed since they were scanned."""
    if not files:
        return {}
    stats = {file["path"]: file for file in files}
    done = _read_hashes(lake, stats)
    todo: list[Any] = [file for file in files if file["path"] not in done]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [file["size"] for file in todo],
        name="hash",
        function=contents.hash_row,
        table=_HASHES,
        results=_HASHES,
        task_files=_TASK_FILES,
    )
    return _read_hashes(lake, stats)


def _read_hashes(lake: Lake, files: dict[str, ScannedFile]) -> dict[str, FileHashes]:
    hashes = {}
    for batch in lake.iter_staged_batches(_HASHES):
        for row in batch.to_pylist():
            file = files.get(row["path"])
            if file is not None and row["file_hash"] and scan.is_unchanged(file, row):
                hashes[row["path"]] = FileHashes(row["file_hash"], row["audio_hash"], row["source_hash"])
    return hashes


def _update_copies(master: str, lake: Lake, rows: list[Any]) -> None:
    """Give the compressed copies of retagged files the new tags, and stage the rows for FILES."""
    todo = [{**row, **rejects.new_attempt(row["path"], {})} for row in rows]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [row["size"] for row in rows],
        name="retag",
        function=functools.partial(compressed_copies.update_copy, parts=str(lake.root / "audio" / "parts")),
        table=FILES,
        results=RESULT_TABLE,
    )


def forget_hashes(lake: Lake) -> None:
    """Delete what `recognize` has staged, once FILES has it."""
    lake.delete_staged(_HASHES)


def _identify(
    lake: Lake,
    library: scan.ScanResult,
    known: KnownFiles,
    files: dict[str, ScannedFile],
    changed: dict[str, FileHashes],
) -> list[str]:
    """Add the content of each new or changed file, and its row if a file with this content is known.

    Returns the paths of those whose audio is known with other tags.
    """
    found = contents.resolve(
        changed,
        known.rows,
        lake.iter_rows(TRACK_IDS, "content_hash", "audio_hash"),
        scanned=files.keys(),
        prefix=scan.path_prefix(library.root),
    )
    retagged = []
    for path, content in found.items():
        columns = {
            "content_hash": content.content_hash,
            "file_hash": changed[path].file_hash,
            "audio_hash": changed[path].audio_hash,
        }
        if content.row is not None:
            known._update(_continue_row(files[path], content, columns, files.keys()))
            if contents.bytes_of(content.row) != columns["file_hash"]:
                retagged.append(path)
        else:
            known.identities[path] = columns
    return retagged


def _continue_row(file: ScannedFile, content: Content, columns: dict[str, Any], scanned: Any) -> FileRow:
    row: Any = content.row
    carried: Any = moves.carry_over(file, row, **columns)
    is_copy = row["path"] != file["path"] and (row["path"] in scanned or not contents.is_gone(row["path"]))
    if is_copy:
        carried |= {"moved_from": None, "fma_id": None}
    return carried


def _set_fma_ids(known: KnownFiles, files: dict[str, ScannedFile], *, any_folder: bool) -> None:
    for path, file in files.items():
        number = errata.fma_number(path, any_folder=any_folder)
        row = known.rows.get(path)
        if path in known.identities:
            known.identities[path]["fma_id"] = number
        elif number and row is not None and scan.is_unchanged(file, row) and row.get("fma_id") != number:
            numbered: Any = {**row, "fma_id": number}
            known._update(numbered)
