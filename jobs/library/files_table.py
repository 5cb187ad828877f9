"""FILES: what is known of each file of a library, kept by the steps that look at the files themselves."""

import hashlib

from jobs.audio import transcode
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.paths import one_line, to_path, to_text
from jobs.spark import session

# What such a step stages for each file it has tried.
RESULTS = FILES.plus(*rejects.ATTEMPT)


def commit(master: str, lake: Lake, found: scan.Library, *, step: str) -> None:
    """Make the staged results and what is still there of the old rows the new FILES, and their errors REJECTS.

    StepError where nothing of the library is there any more: its disk is away, and nobody has deleted anything.
    """
    below = scan.below(found.root)
    # In place, a lossless file's name is gone when it is compressed.
    there = {file["path"] for file in found.files if scan.is_there(to_path(file["path"]))}
    new = set(lake.staged_arrow(FILES, "path")["path"].to_pylist())
    if not there and not any(scan.is_there(to_path(path)) for path in new if path.startswith(below)):
        raise StepError(
            f"expected the {len(found.files)} files that were in {one_line(to_text(found.root))}, found none of them any more; "
            "bring its disk back, and the same command goes on"
        )
    old = lake.arrow(FILES, "path")["path"].to_pylist()
    gone = [(path,) for path in old if path.startswith(below) and path not in there and path not in new]
    if not new and not gone:
        return
    spark = session.spark(master)
    removed = spark.createDataFrame(gone, "path string")
    results = rejects.latest(lake.staged(spark, RESULTS))
    remaining = lake.read(spark, REJECTS).join(removed, "path", "left_anti")
    kept = lake.read(spark, FILES).join(removed, "path", "left_anti").join(results, "path", "left_anti")
    # REJECTS first: FILES clears the staged parts that both are made from.
    lake.commit(REJECTS, rejects.merged(remaining, results, step=step))
    lake.commit(FILES, kept.unionByName(results.select(FILES.names)))


def file_hash(path: str) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_hash(path: str) -> str:
    """Return the content_hash of FILES: of the file's bytes, or of its original's where compress has marked it."""
    mark = transcode.read_mark(path)
    return mark.content_hash if mark is not None else file_hash(path)
