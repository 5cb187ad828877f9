from datetime import UTC, datetime

import pyarrow as pa
import pytest

from jobs.lake import rejects
from jobs.lake.schemas import FILES, REJECTS

MONDAY, TUESDAY = datetime(2026, 11, 16, 8, tzinfo=UTC), datetime(2026, 11, 17, 8, tzinfo=UTC)
ATTEMPTED = FILES.with_columns(*rejects.ATTEMPT_COLUMNS)


def reject(path, step="compress", content_hash="h1", attempts=1):
    row = {"path": path, "step": step, "content_hash": content_hash, "error": "old"}
    return {**row, "first_seen": MONDAY, "attempts": attempts}


@pytest.fixture
def merge(spark):
    """Return a function that merges attempts (path -> (hash, error)) into REJECTS; rows by (path, step)."""

    def merge(old, attempts):
        old_rows = pa.Table.from_pylist(old, schema=REJECTS.arrow_schema())
        rejected = rejects.by_path(old_rows, "compress")
        tried = []
        for path, (content_hash, error) in attempts.items():
            row = {"path": path, "content_hash": content_hash, "error": error}
            tried.append({**row, **rejects.new_attempt(path, rejected), "tried_at": TUESDAY})
        before = spark.createDataFrame(old_rows)
        attempted = spark.createDataFrame(pa.Table.from_pylist(tried, schema=ATTEMPTED.arrow_schema()))
        once = rejects.merge_attempts(before, attempted, step="compress")
        twice = rejects.merge_attempts(once, attempted, step="compress").toArrow().to_pylist()
        merged = {(row["path"], row["step"]): row for row in once.toArrow().to_pylist()}
        assert merged == {(row["path"], row["step"]): row for row in twice} and len(twice) == len(merged)
        return merged

    return merge


def test_merge_updates_each_row(merge):
    """The fixture compares with merging twice, as after a kill."""
    old = [
        reject("again", attempts=2),
        reject("repaired"),
        reject("changed", attempts=5),
        reject("unreadable", content_hash=None, attempts=1),
        reject("untried", attempts=3),
        reject("again", step="extract", attempts=7),
    ]
    attempts = {
        "again": ("h1", "new"),
        "repaired": ("h2", None),
        "changed": ("h2", "new"),
        "unreadable": (None, "new"),
        "first": ("h9", "new"),
        "usable": ("h8", None),
    }
    merged = merge(old, attempts)
    summary = {
        key: (row["content_hash"], row["error"], row["first_seen"].astimezone(UTC), row["attempts"])
        for key, row in merged.items()
    }
    assert summary == {
        ("again", "compress"): ("h1", "new", MONDAY, 3),
        ("changed", "compress"): ("h2", "new", TUESDAY, 1),  # its content is new
        ("unreadable", "compress"): (None, "new", MONDAY, 2),
        ("untried", "compress"): ("h1", "old", MONDAY, 3),
        ("again", "extract"): ("h1", "old", MONDAY, 7),
        ("first", "compress"): ("h9", "new", TUESDAY, 1),
    }


def test_by_path_returns_rows_of_the_step():
    rows = pa.Table.from_pylist([reject("a"), reject("a", step="extract"), reject("b", step="extract")])
    assert list(rejects.by_path(rows, "compress")) == ["a"]
    assert list(rejects.by_path(rows, "extract")) == ["a", "b"]


def test_new_attempt_carries_the_rejects_row():
    rejected = {"a": reject("a", attempts=4)}
    attempt = rejects.new_attempt("a", rejected)
    carried = (attempt["rejected_at"], attempt["rejected_hash"], attempt["rejected_attempts"])
    assert carried == (MONDAY, "h1", 4)
    assert set(rejects.new_attempt("b", rejected)) == {"tried_at"}


def test_latest_attempts_returns_one_per_path(spark):
    tried = [("a", "h1", "old", MONDAY), ("a", "h2", None, TUESDAY), ("b", "h3", "new", MONDAY)]
    frame = spark.createDataFrame(tried, "path string, content_hash string, error string, tried_at timestamp")
    latest = rejects.latest_attempts(frame).collect()
    assert sorted((row.path, row.content_hash) for row in latest) == [("a", "h2"), ("b", "h3")]
