"""FILES: is a row up to date, and the commit of new results by the steps that read the files themselves."""

import os

from jobs.audio import transcode
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.library.scan import FileRow, ScannedFile
from jobs.paths import escape_control_chars, sha256_file, to_path, to_text
from jobs.spark import session

# Columns that a step stages for each file it has attempted.
RESULT_TABLE = FILES.with_columns(*rejects.ATTEMPT_COLUMNS)


def read_known_files(lake: Lake) -> dict[str, FileRow]:
    """Return the rows of FILES by path, including those that a killed run has staged."""
    rows = lake.read_arrow(FILES).to_pylist() + lake.read_staged_arrow(FILES).to_pylist()
    return {row["path"]: row for row in rows}


def is_up_to_date(
    file: ScannedFile, row: FileRow | None, *, bit_rate: int, in_place: bool, retry: bool
) -> bool:
    """Return whether `segue compress` would leave a file as it is.

    Parameters
    ----------
    file
        The file as scanned now.
    row
        Its row of FILES, or None if it has none.
    bit_rate
        The target in bits per second.
    in_place
        Whether the original is to be replaced.
    retry
        Whether rejected files are to be attempted again.
    """
    if row is None or not scan.is_unchanged(file, row):
        return False
    target_bit_rate = row["target_bit_rate"]
    if row["outcome"] == "rejected":
        return not retry
    if target_bit_rate is None:  # listed by catalog, not compressed yet
        return False
    if row["outcome"] == "unchanged":
        return target_bit_rate <= bit_rate
    audio_path = row["audio_path"]
    if target_bit_rate != bit_rate or audio_path is None or not os.path.exists(to_path(audio_path)):
        return False
    return not in_place or audio_path == row["path"]


def commit_files(master: str, lake: Lake, library: scan.ScanResult, *, step: str) -> None:
    """Commit FILES and REJECTS: the staged results, and the old rows of all other files that still exist.

    Raises StepError if no file of the library exists any more: then its disk is unavailable, and nobody has
    deleted the files.
    """
    prefix = scan.path_prefix(library.root)
    # Again, since an in-place compression has replaced some files by others with another extension.
    existing = {file["path"] for file in library.files if scan.exists(to_path(file["path"]))}
    staged = set(lake.read_staged_arrow(FILES, "path")["path"].to_pylist())
    if not existing and not any(scan.exists(to_path(path)) for path in staged if path.startswith(prefix)):
        folder = escape_control_chars(to_text(library.root))
        raise StepError(
            f"expected the {len(library.files)} files that were in {folder}, found none of them any more; "
            "make its disk available again and re-run the same command to resume"
        )
    old_paths = lake.read_arrow(FILES, "path")["path"].to_pylist()
    deleted = [
        path for path in old_paths if path.startswith(prefix) and path not in existing and path not in staged
    ]
    if not staged and not deleted:
        return
    spark = session.get_session(master)
    deleted_rows = spark.createDataFrame([(path,) for path in deleted], "path string")
    results = rejects.latest_attempts(lake.staged(spark, RESULT_TABLE))
    old_rejects = lake.read(spark, REJECTS).join(deleted_rows, "path", "left_anti")
    old_files = lake.read(spark, FILES).join(deleted_rows, "path", "left_anti")
    unattempted = old_files.join(results, "path", "left_anti")
    # REJECTS first: committing FILES deletes the staged parts that both come from.
    lake.commit(REJECTS, rejects.merge_attempts(old_rejects, results, step=step))
    lake.commit(FILES, unattempted.unionByName(results.select(FILES.names)))


def source_hash(path: str) -> str:
    """Return the content_hash of FILES.

    The SHA-256 of the file, or of its source if it was compressed by Segue.
    """
    encoder_tag = transcode.read_encoder_tag(path)
    return encoder_tag.content_hash if encoder_tag is not None else sha256_file(path)
