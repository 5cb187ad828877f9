"""FILES of a library that nothing has been compressed of yet: each file is used as it is."""

import argparse

from jobs.audio import decoding
from jobs.errors import UnusableFile
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import files_table, scan
from jobs.paths import to_path, to_text
from jobs.spark import file_tasks

# Reading a header and the bytes takes milliseconds.
_TASK_FILES = 64


def update_files_table(arguments: argparse.Namespace, lake: Lake) -> None:
    """Bring FILES up to date with the library as far as can be told without compressing it."""
    found = scan.scan(arguments.library, lake.root)
    known = {
        row["path"]: row
        for row in lake.read_arrow(FILES).to_pylist() + lake.read_staged_arrow(FILES).to_pylist()
    }
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "catalog")
    todo = [
        {
            **file,
            "outcome": "rejected",
            **rejects.new_attempt(file["path"], rejected),
        }  # all there is of one that crashes
        for file in found.files
        if not is_listed(file, known.get(file["path"]), arguments.retry_rejected)
    ]
    sizes = [row["size"] for row in todo]
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        sizes,
        name="list",
        function=list_file,
        table=FILES,
        results=files_table.RESULT_TABLE,
        task_files=_TASK_FILES,
    )
    files_table.commit_files(arguments.master, lake, found, step="catalog")


def is_listed(file: file_tasks.FileRow, row: file_tasks.FileRow | None, retry: bool) -> bool:
    """Tell whether FILES' `row` of a file (None if it has none) still holds; what compress rejected, only it tries again."""
    if row is None or not scan.is_unchanged(file, row):
        return False
    return not (retry and row["outcome"] == "rejected" and row["target_bit_rate"] is None)


def list_file(row: file_tasks.FileRow) -> file_tasks.FileRow | None:
    """Return a file's row of FILES as it is before anything is compressed; its error where it cannot be used.

    None where it is gone meanwhile, StepError where disk or machine failed.
    """
    row = {**row, "outcome": "rejected"}
    path = to_path(row["path"])
    try:
        decoding.check_file(path)
        header = decoding.read_header(path)
        row = {**row, **scan.file_stat(path), "content_hash": files_table.source_hash(path)}
        duration = header.duration_s or decoding.decoded_duration(path)
        if not duration:
            raise UnusableFile("expected audio, found a header and nothing that decodes")
        rate = header.bit_rate or int(row["size"] * 8 / duration)
        return {
            **row,
            "audio_path": to_text(path),
            "duration_s": duration,
            "bit_rate": rate,
            "outcome": "not_tried",
        }
    except Exception as error:  # whatever one file does, it is that file's row
        return file_tasks.reject_row(row, error, path)
