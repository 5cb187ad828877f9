"""FILES: is a row up to date, and the commit of new results by the steps that read the files themselves."""

import os
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.audio import transcode
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import contents, known_files, moves, scan
from jobs.library.known_files import RESULT_TABLE as RESULT_TABLE
from jobs.library.known_files import KnownFiles
from jobs.library.scan import FileRow, ScannedFile
from jobs.paths import escape_control_chars, to_path, to_text
from jobs.spark import session

_COMMITTED_COLUMNS = ("path", "content_hash", "moved_from", "outcome")
_RENAMES = "path string, new_path string"


def is_up_to_date(
    file: ScannedFile,
    row: FileRow | None,
    *,
    bit_rate: int,
    in_place: bool,
    retry: bool,
    codec: str | None = None,
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
    codec
        The codec that results below the lake must have, or None for any.
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
    if audio_path == row["path"]:  # compressed in place: the original is gone
        return True
    return not in_place and (codec is None or _has_codec(audio_path, row["path"], codec))


def _has_codec(audio_path: str, path: str, codec: str) -> bool:
    return os.path.splitext(audio_path)[1] == transcode.result_extension(path, codec)


def commit_files(
    master: str, lake: Lake, library: scan.ScanResult, known: KnownFiles | None = None, *, step: str
) -> None:
    """Commit FILES and REJECTS: the staged results, and the rows of all other files that still exist.

    Raises StepError if no file of the library exists any more: then its disk is unavailable, and nobody has
    deleted the files.
    """
    known = KnownFiles({}) if known is None else known
    prefix = scan.path_prefix(library.root)
    # Again, since an in-place compression has replaced some files by others with another extension.
    existing = {file["path"] for file in library.files if scan.exists(to_path(file["path"]))}
    staged = lake.read_staged_arrow(FILES, *_COMMITTED_COLUMNS).to_pylist()
    staged_paths = {row["path"] for row in staged}
    if not existing and not any(
        scan.exists(to_path(path)) for path in staged_paths if path.startswith(prefix)
    ):
        folder = escape_control_chars(to_text(library.root))
        raise StepError(
            f"expected the {len(library.files)} files that were in {folder}, found none of them any more; "
            "make its disk available again and re-run the same command to resume"
        )
    updates: list[Any] = [
        row for path, row in known.updates.items() if path in existing and path not in staged_paths
    ]
    new_rows = [*staged, *updates]
    removed = _find_removed(lake, new_rows, known, existing=existing, prefix=prefix)
    if staged or updates or removed:
        _commit(session.get_session(master), lake, updates, removed, _renames(new_rows, removed), step=step)
    known_files.forget_hashes(lake)


def _find_removed(
    lake: Lake, new_rows: list[Any], known: KnownFiles, *, existing: set[str], prefix: str
) -> list[str]:
    """Return the paths whose rows leave FILES.

    Of deleted files of the library; of files elsewhere that are gone and whose content is found here; of all
    others of a folder that was renamed; and the other paths of a folder that is mounted twice.
    """
    new_paths = {row["path"] for row in new_rows}
    found_contents = {row["content_hash"] for row in new_rows if row["outcome"] != "rejected"}
    removed = []
    for batch in lake.iter_batches(FILES, "path", "content_hash"):
        for row in batch.to_pylist():
            path = row["path"]
            if path in existing or path in new_paths:
                continue
            is_given_up = known.moved.get(path) in new_paths
            is_found = row["content_hash"] in found_contents or moves.is_below(path, known.gone_folders)
            if path.startswith(prefix) or is_given_up or (is_found and contents.is_gone(path)):
                removed.append(path)
    return removed


def _renames(new_rows: list[Any], removed: list[str]) -> list[tuple[str, str]]:
    """Return the old and the new path of the files that moved."""
    gone = set(removed)
    renames = {row["moved_from"]: row["path"] for row in new_rows if row["moved_from"] in gone}
    return list(renames.items())


def _commit(
    spark: SparkSession,
    lake: Lake,
    updates: list[Any],
    removed: list[str],
    renames: list[tuple[str, str]],
    *,
    step: str,
) -> None:
    updated = spark.createDataFrame(pa.Table.from_pylist(updates, schema=FILES.arrow_schema()))
    removed_rows = spark.createDataFrame([(path,) for path in removed], "path string")
    results = rejects.latest_attempts(lake.staged(spark, RESULT_TABLE))
    old_rejects = _rename_rejects(lake.read(spark, REJECTS), spark.createDataFrame(renames, _RENAMES))
    old_rejects = old_rejects.join(removed_rows, "path", "left_anti")
    old_files = lake.read(spark, FILES).join(removed_rows, "path", "left_anti")
    unattempted = old_files.join(updated, "path", "left_anti").unionByName(updated)
    unattempted = unattempted.join(results, "path", "left_anti")
    # REJECTS first: committing FILES deletes the staged parts that both come from.
    lake.commit(REJECTS, rejects.merge_attempts(old_rejects, results, step=step))
    lake.commit(FILES, unattempted.unionByName(results.select(FILES.names)))


def _rename_rejects(old_rejects: DataFrame, renames: DataFrame) -> DataFrame:
    """Return REJECTS' rows with the new paths of the files that moved."""
    renamed = old_rejects.join(renames, "path", "left")
    return renamed.withColumn("path", F.coalesce("new_path", "path")).drop("new_path")
