"""FILES: what is known of each file of a library, kept by the steps that look at the files themselves."""

import hashlib

from jobs.audio import transcode
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.paths import escape_control_chars, to_path, to_text
from jobs.spark import session

# What such a step stages for each file it has tried.
RESULT_TABLE = FILES.with_columns(*rejects.ATTEMPT_COLUMNS)


def commit_files(master: str, lake: Lake, found: scan.ScanResult, *, step: str) -> None:
    """Make the staged results and what is still there of the old rows the new FILES, and their errors REJECTS.

    StepError where nothing of the library is there any more: its disk is away, and nobody has deleted anything.
    """
    below = scan.path_prefix(found.root)
    # In place, a lossless file's name is gone when it is compressed.
    there = {file["path"] for file in found.files if scan.exists(to_path(file["path"]))}
    new = set(lake.read_staged_arrow(FILES, "path")["path"].to_pylist())
    if not there and not any(scan.exists(to_path(path)) for path in new if path.startswith(below)):
        raise StepError(
            f"expected the {len(found.files)} files that were in {escape_control_chars(to_text(found.root))}, found none of them any more; "
            "bring its disk back, and the same command goes on"
        )
    old = lake.read_arrow(FILES, "path")["path"].to_pylist()
    gone = [(path,) for path in old if path.startswith(below) and path not in there and path not in new]
    if not new and not gone:
        return
    spark = session.get_session(master)
    removed = spark.createDataFrame(gone, "path string")
    results = rejects.latest_attempts(lake.staged(spark, RESULT_TABLE))
    remaining = lake.read(spark, REJECTS).join(removed, "path", "left_anti")
    kept = lake.read(spark, FILES).join(removed, "path", "left_anti").join(results, "path", "left_anti")
    # REJECTS first: FILES clears the staged parts that both are made from.
    lake.commit(REJECTS, rejects.merge_attempts(remaining, results, step=step))
    lake.commit(FILES, kept.unionByName(results.select(FILES.names)))


def file_hash(path: str) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_hash(path: str) -> str:
    """Return the content_hash of FILES: of the file's bytes, or of its original's where compress has marked it."""
    mark = transcode.read_encoder_tag(path)
    return mark.content_hash if mark is not None else file_hash(path)
