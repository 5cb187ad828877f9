"""REJECTS: files that a step could not use, with the reason, until they can be used or are deleted.

A step hands out its files with `new_attempt`'s columns and gets them back with its results. REJECTS follows
from the staged results alone, so merging them twice, as after a kill, changes nothing.
"""

import argparse
from collections.abc import Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.lake.schemas import REJECTS
from jobs.lake.storage import Lake
from jobs.lake.table import Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ATTEMPT_COLUMNS = (
    Column("error", "string", "reason of the rejection; null if the file can be used"),
    Column("tried_at", "timestamp", "time of this attempt, UTC"),
    Column("rejected_at", "timestamp", "first_seen of the file's row in REJECTS, if it has one"),
    Column("rejected_hash", "string", "content_hash of that row"),
    Column("rejected_attempts", "int", "attempts of that row"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --retry-rejected, for steps that can reject a file."""
    parser.add_argument(
        "--retry-rejected", action="store_true", help="try rejected files again even if they are unchanged"
    )


def by_path(rows: pa.Table, step: str) -> dict[str, dict[str, Any]]:
    """Return the step's rows of REJECTS by path."""
    return {row["path"]: row for row in rows.to_pylist() if row["step"] == step}


def new_attempt(path: str, rejected: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the values of `ATTEMPT_COLUMNS` for a file that is about to be tried.

    `rejected` is from `by_path`.
    """
    attempt: dict[str, Any] = {"tried_at": datetime.now(UTC)}
    row = rejected.get(path)
    if row is not None:
        attempt["rejected_at"] = row["first_seen"]
        attempt["rejected_hash"] = row["content_hash"]
        attempt["rejected_attempts"] = row["attempts"]
    return attempt


def latest_attempts(attempted: "DataFrame") -> "DataFrame":
    """Return the last attempt of each path.

    A killed run may have staged one for a file that has changed since.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    newest_first = Window.partitionBy("path").orderBy(F.col("tried_at").desc())
    return attempted.withColumn("nth", F.row_number().over(newest_first)).where("nth = 1").drop("nth")


def merge_attempts(old: "DataFrame", attempted: "DataFrame", *, step: str) -> "DataFrame":
    """Return REJECTS after `step` has tried the files of `attempted` (path, content_hash and
    `ATTEMPT_COLUMNS`).

    A file that can be used leaves the table. One that fails again keeps its first_seen and gets one attempt
    more, unless its content is new.
    """
    from pyspark.sql import functions as F

    untouched = old.join(attempted.select("path", F.lit(step).alias("step")), ["path", "step"], "left_anti")
    has_row = F.col("rejected_attempts").isNotNull()
    is_same_content = F.col("content_hash").eqNullSafe(F.col("rejected_hash")) & has_row
    failed = attempted.where(F.col("error").isNotNull()).select(
        "path",
        F.lit(step).alias("step"),
        "content_hash",
        "error",
        F.when(is_same_content, F.col("rejected_at")).otherwise(F.col("tried_at")).alias("first_seen"),
        F.when(is_same_content, F.col("rejected_attempts") + 1).otherwise(1).cast("int").alias("attempts"),
    )
    return untouched.select(REJECTS.names).unionByName(failed)


def replace_faults(lake: Lake, faults: dict[str, tuple[str, str]], *, step: str, untouched: Set[str]) -> None:
    """Replace the step's rows of REJECTS by `faults` (path -> content_hash, error) that were found without an
    attempt.

    Rows of the paths in `untouched` stay. A fault that REJECTS has already keeps its first_seen and attempts.
    """
    rows = lake.read_arrow(REJECTS).to_pylist()
    before = {row["path"]: row for row in rows if row["step"] == step}
    after = {path: row for path, row in before.items() if path in untouched}
    now = datetime.now(UTC)
    for path, (content_hash, error) in faults.items():
        fault = {"path": path, "step": step, "content_hash": content_hash, "error": error}
        old = before.get(path, {})
        is_known = all(old.get(name) == value for name, value in fault.items())
        after[path] = old if is_known else {**fault, "first_seen": now, "attempts": 1}
    if after != before:
        other_rows = [row for row in rows if row["step"] != step]
        table = pa.Table.from_pylist([*other_rows, *after.values()], schema=REJECTS.arrow_schema())
        ordered = table.sort_by([(name, "ascending") for name in REJECTS.key])
        lake.commit_arrow(REJECTS, ordered.to_batches())
