"""REJECTS: what a step could not use, kept with its reason until it works or is gone.

A step hands out its files with the columns of `ATTEMPT` filled in and gets them back beside its results, so that what
REJECTS becomes follows from the staged results alone: merging them twice, as after a kill, changes nothing.
"""

import argparse
from collections.abc import Set
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake.schemas import REJECTS, Column
from jobs.lake.storage import Lake

ATTEMPT_COLUMNS = (
    Column("error", "string", "why the file was rejected; null where it was fine"),
    Column("tried_at", "timestamp", "of this attempt"),
    Column("rejected_at", "timestamp", "first_seen of its row in REJECTS, where it has one"),
    Column("rejected_hash", "string", "content_hash of that row"),
    Column("rejected_attempts", "int", "attempts of that row"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --retry-rejected, for the steps that can reject a file."""
    parser.add_argument(
        "--retry-rejected", action="store_true", help="try rejected files again though they are unchanged"
    )


def by_path(rows: pa.Table, step: str) -> dict[str, dict[str, Any]]:
    """Return the step's rows of REJECTS by path."""
    return {row["path"]: row for row in rows.to_pylist() if row["step"] == step}


def new_attempt(path: str, rejected: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of ATTEMPT for a file about to be tried."""
    now, row = datetime.now(UTC), rejected.get(path)
    if row is None:
        return {"tried_at": now}
    return {
        "tried_at": now,
        "rejected_at": row["first_seen"],
        "rejected_hash": row["content_hash"],
        "rejected_attempts": row["attempts"],
    }


def latest_attempts(attempted: DataFrame) -> DataFrame:
    """Return the last attempt of each path: a killed run may have staged one, and the file have changed since."""
    newest = Window.partitionBy("path").orderBy(F.col("tried_at").desc())
    return attempted.withColumn("nth", F.row_number().over(newest)).where("nth = 1").drop("nth")


def merge_attempts(old: DataFrame, attempted: DataFrame, *, step: str) -> DataFrame:
    """Return REJECTS after `step` has tried the files of `attempted` (path, content_hash and ATTEMPT's columns).

    A file that is fine now leaves the table; one that fails again keeps its first_seen and counts one attempt more,
    unless its content is new.
    """
    untouched = old.join(attempted.select("path", F.lit(step).alias("step")), ["path", "step"], "left_anti")
    same = F.col("content_hash").eqNullSafe(F.col("rejected_hash")) & F.col("rejected_attempts").isNotNull()
    failed = attempted.where(F.col("error").isNotNull()).select(
        "path",
        F.lit(step).alias("step"),
        "content_hash",
        "error",
        F.when(same, F.col("rejected_at")).otherwise(F.col("tried_at")).alias("first_seen"),
        F.when(same, F.col("rejected_attempts") + 1).otherwise(1).cast("int").alias("attempts"),
    )
    return untouched.select(REJECTS.names).unionByName(failed)


def replace_faults(lake: Lake, faults: dict[str, tuple[str, str]], *, step: str, untouched: Set[str]) -> None:
    """Make the step's rows of REJECTS those of `faults` ((content_hash, error) by path), for faults found without trying.

    Rows of the paths in `untouched` stay, as do first_seen and attempts of a fault that is known already.
    """
    rows = lake.read_arrow(REJECTS).to_pylist()
    before = {row["path"]: row for row in rows if row["step"] == step}
    after = {path: row for path, row in before.items() if path in untouched}
    now = datetime.now(UTC)
    for path, (content_hash, error) in faults.items():
        fault = {"path": path, "step": step, "content_hash": content_hash, "error": error}
        old = before.get(path, {})
        known = all(old.get(name) == value for name, value in fault.items())
        after[path] = old if known else {**fault, "first_seen": now, "attempts": 1}
    if after != before:
        rows = [row for row in rows if row["step"] != step] + list(after.values())
        table = pa.Table.from_pylist(rows, schema=REJECTS.arrow_schema()).sort_by(
            [(n, "ascending") for n in REJECTS.key]
        )
        lake.commit_arrow(REJECTS, table.to_batches())
