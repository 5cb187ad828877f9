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
    """Merge attempts, a dict of (content_hash, error) by path, into rows of REJECTS; return the rows by (path, step)."""

    def merge(old, attempts):
        known = rejects.by_path(pa.Table.from_pylist(old, schema=REJECTS.arrow_schema()), "compress")
        tried = [
            {
                "path": path,
                "content_hash": content,
                "error": error,
                **rejects.new_attempt(path, known),
                "tried_at": TUESDAY,
            }
            for path, (content, error) in attempts.items()
        ]
        frames = (
            spark.createDataFrame(pa.Table.from_pylist(rows, schema=table.arrow_schema()))
            for rows, table in ((old, REJECTS), (tried, ATTEMPTED))
        )
        before, attempted = frames
        once = rejects.merge_attempts(before, attempted, step="compress")
        twice = rejects.merge_attempts(once, attempted, step="compress").toArrow().to_pylist()
        found = {(row["path"], row["step"]): row for row in once.toArrow().to_pylist()}
        assert found == {(row["path"], row["step"]): row for row in twice} and len(twice) == len(found)
        return found

    return merge


def test_what_becomes_of_each_row(merge):
    """Merging twice, as after a kill, is compared in the fixture."""
    old = [
        reject("again", attempts=2),
        reject("mended"),
        reject("changed", attempts=5),
        reject("unreadable", content_hash=None, attempts=1),
        reject("untried", attempts=3),
        reject("again", step="extract", attempts=7),
    ]
    attempts = {
        "again": ("h1", "new"),
        "mended": ("h2", None),
        "changed": ("h2", "new"),
        "unreadable": (None, "new"),
        "first": ("h9", "new"),
        "fine": ("h8", None),
    }
    found = merge(old, attempts)
    summary = {
        key: (row["content_hash"], row["error"], row["first_seen"].astimezone(UTC), row["attempts"])
        for key, row in found.items()
    }
    assert summary == {
        ("again", "compress"): ("h1", "new", MONDAY, 3),
        ("changed", "compress"): ("h2", "new", TUESDAY, 1),  # another file now
        ("unreadable", "compress"): (None, "new", MONDAY, 2),
        ("untried", "compress"): ("h1", "old", MONDAY, 3),
        ("again", "extract"): ("h1", "old", MONDAY, 7),
        ("first", "compress"): ("h9", "new", TUESDAY, 1),
    }


def test_known_rows_are_those_of_the_step():
    rows = pa.Table.from_pylist([reject("a"), reject("a", step="extract"), reject("b", step="extract")])
    assert list(rejects.by_path(rows, "compress")) == ["a"]
    assert list(rejects.by_path(rows, "extract")) == ["a", "b"]


def test_an_attempt_carries_what_is_known():
    known = {"a": reject("a", attempts=4)}
    carried = rejects.new_attempt("a", known)
    assert (carried["rejected_at"], carried["rejected_hash"], carried["rejected_attempts"]) == (
        MONDAY,
        "h1",
        4,
    )
    assert set(rejects.new_attempt("b", known)) == {"tried_at"}


def test_the_latest_attempt_of_a_path_counts(spark):
    tried = [("a", "h1", "old", MONDAY), ("a", "h2", None, TUESDAY), ("b", "h3", "new", MONDAY)]
    frame = spark.createDataFrame(tried, "path string, content_hash string, error string, tried_at timestamp")
    found = rejects.latest_attempts(frame).collect()
    assert sorted((row.path, row.content_hash) for row in found) == [("a", "h2"), ("b", "h3")]
