"""The file of what no run can compute again: who listens, and what each has said, kept and played.

One SQLite file in the lake, `<lake>/accounts/accounts.db`, readable by its owner alone. Every change is one transaction:
kill -9 leaves it whole.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Database:
    """The open file; every method is safe to call from any thread."""

    def __init__(self, lake: Path) -> None:
        folder = lake / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        file = folder / "accounts.db"
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def create_tables(self, schema: str) -> None:
        """Make the tables of a script that are not there yet."""
        with self._lock:
            self._connection.executescript(schema)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def fetch_all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction: all of what is done with it, or nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # a full disk has taken all of it back already
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def utc_now() -> str:
    """Return the time as the file has it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()
