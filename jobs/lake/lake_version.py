"""The version of a lake's layout: the file `VERSION`, written before the first table.

Version 1 is Segue 0.1, which wrote no such file. `segue upgrade` (see `upgrade.py`) makes a version 2 of it.
"""

from pathlib import Path

from jobs.errors import InputError
from jobs.lake.schemas import TABLES
from jobs.paths import atomic_write

LAKE_VERSION = 2

# The file in the lake that holds the version as a decimal number.
VERSION_FILE = "VERSION"

# Tables of version 1 that have another name now, or none: old name -> new name.
RENAMED_TABLES = {
    "METADATA": "FMA_METADATA",
    "GENRES": "FMA_GENRES",
    "PAIRS": "DUPLICATE_PAIRS",
    "PROJECTIONS": "EMBEDDERS",
    "TOGETHER": "ITEM_SIMILARITIES",
}


def find_version(root: Path) -> int | None:
    """Return the version of the lake at `root`, None if it has no table yet."""
    file = root / VERSION_FILE
    if file.exists():
        return parse(file.read_text(), str(file))
    names = {*RENAMED_TABLES, *(table.name for table in TABLES)}
    return 1 if any((root / name).is_dir() for name in names) else None


def parse(text: str, file: str) -> int:
    """Return the version that `VERSION` holds; InputError, which names the file, if it holds none."""
    number = text.strip()
    if not number.isdecimal():
        raise InputError(f"{file}: expected a version number, found {number[:40]!r}; restore {LAKE_VERSION}")
    return int(number)


def check(version: int | None, root: Path) -> None:
    """Raise InputError if this code cannot use the lake at `root`; one without a table (None) is fine."""
    if version is None or version == LAKE_VERSION:
        return
    if version == 1:
        raise InputError(
            f"--lake: expected a lake of version {LAKE_VERSION}, found one of version 1 (Segue 0.1); "
            f"run `segue upgrade --lake {root}` first"
        )
    raise InputError(
        f"--lake: expected a lake of version {LAKE_VERSION}, found one of version {version}; update Segue"
    )


def write_version(root: Path) -> None:
    """Record in the lake at `root` that it has this code's version."""
    atomic_write(root / VERSION_FILE, f"{LAKE_VERSION}\n")
