"""FILES of a library that is not compressed: every file is used as it is."""

import argparse
import os

from jobs.audio import decoding
from jobs.errors import UnusableFile
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import contents, files_table, known_files, moves, scan
from jobs.library.known_files import KnownFiles
from jobs.library.moves import MovedLibrary
from jobs.library.scan import FileRow, ScannedFile
from jobs.paths import to_path, to_text
from jobs.spark import file_tasks

# Files per Spark task: reading a header and hashing the bytes takes milliseconds.
_TASK_FILES = 64

# Bits per second below which a stated duration is not believed: no codec's music is as small.
_MIN_BIT_RATE = 5_000


def update_files_table(arguments: argparse.Namespace, lake: Lake) -> MovedLibrary | None:
    """Update FILES and REJECTS from the library, as far as this is possible without compressing a file.

    Returns where the library is if it has moved.
    """
    library = moves.scan_library(arguments.library, lake)
    if isinstance(library, MovedLibrary):
        return library
    scan.log_skipped(library)
    known = known_files.recognize(arguments.master, lake, library, any_folder=arguments.fma_ids)
    todo = _plan_listing(lake, library, known, retry=arguments.retry_rejected)
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        [row["size"] for row in todo],
        name="list",
        function=list_file,
        table=FILES,
        results=files_table.RESULT_TABLE,
        task_files=_TASK_FILES,
    )
    files_table.commit_files(arguments.master, lake, library, known, step="catalog")
    return None


def _plan_listing(
    lake: Lake, library: scan.ScanResult, known: KnownFiles, *, retry: bool
) -> list[file_tasks.TaskRow]:
    """Return the files to list, with the columns of a new attempt."""
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "catalog")
    todo = []
    for file in library.files:
        if is_listed(file, known.rows.get(file["path"]), retry=retry):
            continue
        attempt = rejects.new_attempt(file["path"], rejected)
        # "rejected" already now: the row of a file that crashes its worker is this one.
        todo.append({**known.new_row(file), "outcome": "rejected", **attempt})
    return todo


def is_listed(file: ScannedFile, row: FileRow | None, *, retry: bool) -> bool:
    """Return whether FILES' `row` of a file (None if it has none) is up to date.

    With `retry`, files that were rejected here are listed again, but not those that compress has rejected:
    only compress attempts them again.
    """
    if row is None or not scan.is_unchanged(file, row):
        return False
    is_rejected_here = row["outcome"] == "rejected" and row["target_bit_rate"] is None
    return not (retry and is_rejected_here)


def list_file(row: file_tasks.TaskRow) -> file_tasks.TaskRow | None:
    """Return a file's row of FILES as it is without compression, with `error` set if it cannot be used.

    Returns None if the file is gone meanwhile. Raises StepError if the disk or the machine fails.
    """
    row = {**row, "outcome": "rejected"}
    path = to_path(row["path"])
    try:
        decoding.check_file(path)
        header = decoding.read_header(path)
        row = {**row, **contents.identify(path, row)}
        return {**row, **original_columns(path, header), "outcome": "not_tried"}
    except Exception as error:  # any error is this file's, and must not end the run
        return file_tasks.reject_row(row, error, path)


def original_columns(path: str, header: decoding.Header) -> file_tasks.TaskRow:
    """Return the columns of FILES about the file to play, if that is the original.

    Duration and bit rate are those of its header; what the header lacks is measured, and so is the duration
    of a file that is too small for the one stated. Raises UnusableFile if nothing decodes.
    """
    n_bits = 8 * os.path.getsize(path)
    duration_s, bit_rate = header.duration_s, header.bit_rate
    if not duration_s or n_bits / duration_s < _MIN_BIT_RATE:
        duration_s, bit_rate = decoding.decoded_duration(path), None
    if not duration_s:
        raise UnusableFile("expected audio, found a header and nothing that decodes")
    return {
        "audio_path": to_text(path),
        "duration_s": duration_s,
        "bit_rate": bit_rate or int(n_bits / duration_s),
    }
