"""The layouts of FMA's csv files of features: which header names which column of FEATURES.

`features.csv` begins with four rows (feature, statistics, number, then `track_id`), `echonest.csv` with three and one
(`echonest`, its groups, its names, then `track_id`); pandas reads them with `index_col=0, header=[0, 1, 2]`.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import InputError
from jobs.lake.schemas import ECHONEST_COLUMNS, ECHONEST_FIELDS, FMA_COLUMNS, FMA_SIZES, STATISTICS

HEADER_ROWS = 4

# The three names of each column of features.csv, in the order of FMA_COLUMNS.
_FEATURE_NAMES = [
    (feature, statistic, f"{number:02d}")
    for feature, size in FMA_SIZES.items()
    for statistic in STATISTICS
    for number in range(1, size + 1)
]


@dataclass(frozen=True)
class Layout:
    """One of the two: its feature_version, and per triple of header names the column of FEATURES."""

    version: str
    columns: dict[tuple[str, str, str], str]


FEATURES_CSV = Layout("fma-librosa", dict(zip(_FEATURE_NAMES, FMA_COLUMNS, strict=True)))
ECHONEST_CSV = Layout(
    "fma-echonest",
    {
        ("echonest", group, name): column
        for (group, name), column in zip(ECHONEST_FIELDS, ECHONEST_COLUMNS, strict=True)
    },
)


def header() -> list[list[str]]:
    """Return the header rows of features.csv."""
    names = [list(row) for row in zip(*_FEATURE_NAMES, strict=True)]
    titles = ("feature", "statistics", "number")
    return [
        *([title, *row] for title, row in zip(titles, names, strict=True)),
        ["track_id", *[""] * len(FMA_COLUMNS)],
    ]


def read_header(path: Path, layout: Layout) -> list[tuple[str, str, str]]:
    """Return the three names of each column after the first; InputError where one of the layout's is missing."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [next(reader, []) for reader in [csv.reader(file)] for _ in range(HEADER_ROWS)]
    if not rows[-1] or rows[-1][0] != "track_id" or len({len(row) for row in rows}) != 1:
        raise InputError(
            f"{path} line {HEADER_ROWS}: expected FMA's header of {HEADER_ROWS} rows, the last one beginning with "
            f"track_id, found {','.join(rows[-1][:3])[:60]!r}"
        )
    names = list(zip(*(row[1:] for row in rows[:3]), strict=True))
    missing = [name for name in layout.columns if name not in set(names)]
    if missing:
        raise InputError(
            f"{path} line 1: expected the column {'/'.join(missing[0])}, found none ({len(missing)} of "
            f"{len(layout.columns)} missing)"
        )
    return names
