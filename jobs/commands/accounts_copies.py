"""Copies of the accounts database in the lake: it cannot be computed again, and its disk may be lost."""

import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import InputError
from jobs.paths import atomic_write, make_private_dir

if TYPE_CHECKING:
    from jobs.lake.storage import Lake

# The newest copies are kept, older ones deleted.
MAX_COPIES = 7

_PREFIX = "accounts-"


def write(lake: "Lake") -> str:
    """Copy the database as it is at this moment, also while serving uses it; return the copy's name."""
    database = _database(lake)
    if not database.exists():
        raise InputError(f"expected an accounts database, found none at {database}")
    name = f"{_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        lake.files.write_copy(name, file)
    for old in _names(lake)[:-MAX_COPIES]:
        lake.files.delete_copy(old)
    return name


def recover(lake: "Lake") -> str:
    """Take the newest copy for the database; return its name.

    InputError if there is a database already, or no copy.
    """
    database = _database(lake)
    if database.exists():
        raise InputError(
            f"expected no accounts database, found {database}; stop `segue serve` and move that folder away"
        )
    names = _names(lake)
    if not names:
        raise InputError("expected a copy of the accounts database in the lake, found none")
    make_private_dir(database.parent)
    atomic_write(database, lake.files.read_copy(names[-1]), mode=0o600)
    return names[-1]


def _names(lake: "Lake") -> list[str]:
    return [name for name in lake.files.copies() if name.startswith(_PREFIX)]


def _database(lake: "Lake") -> Path:
    return lake.root / "accounts" / "accounts.db"
