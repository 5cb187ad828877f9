"""Upgrade a lake of version 1 (Segue 0.1) to version 2: tables get their new names, derived data are deleted.

unchanged       PLAYS, REJECTS, FEATURES, TRACKS, FINGERPRINTS, accounts, audio, MLflow's runs and versions
renamed         METADATA, GENRES
rewritten       FILES: the values of `outcome`
deleted         what later runs rebuild: item similarities, duplicate pairs, embedders, vectors, embeddings,
                recommendations, the embedded online store, the stream's checkpoint

Every action can be repeated and `VERSION` is written last: after a kill at any line, run the upgrade again.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from jobs.lake.lake_version import RENAMED_TABLES
from jobs.lake.parquet import write_parquet

# Tables of version 1 whose contents stay under a new name.
_RENAMED = ("METADATA", "GENRES")

# Tables that `segue run` computes again: their form has changed, or that of the model they were computed
# with.
_DERIVED_TABLES = ("TOGETHER", "PAIRS", "PROJECTIONS", "VECTORS", "EMBEDDINGS", "RECOMMENDATIONS")

# The embedded online store, which `publish` and the stream fill again, and the stream's checkpoint: without
# it the stream starts behind the last play in PLAYS and rebuilds every profile, as after a restore.
_DERIVED_FOLDERS = ("mongo", "stream")

# Values of FILES.outcome: old -> new.
_OUTCOMES = {"kept": "unchanged", "listed": "not_tried"}


@dataclass
class UpgradeReport:
    """What an upgrade did."""

    renamed: list[str] = field(default_factory=list)
    rewritten_files: int = 0
    deleted: list[str] = field(default_factory=list)


def upgrade_tables(root: Path) -> UpgradeReport:
    """Rename, rewrite and delete tables and folders of the lake at `root`; return what was done.

    The caller holds the lake's lock, has stopped the services, and writes `VERSION` afterwards.
    """
    report = UpgradeReport()
    for old in _RENAMED:
        if _rename_table(root, old, RENAMED_TABLES[old]):
            report.renamed.append(f"{old} to {RENAMED_TABLES[old]}")
    for file in sorted((root / "FILES").rglob("*.parquet")):
        if _rewrite_outcomes(file):
            report.rewritten_files += 1
    for name in (*_DERIVED_TABLES, *_DERIVED_FOLDERS):
        folder = root / name
        if folder.is_dir():
            shutil.rmtree(folder)
            report.deleted.append(name)
    return report


def _rename_table(root: Path, old: str, new: str) -> bool:
    """Rename a table's folder; return whether there was one."""
    if not (root / old).is_dir():
        return False
    (root / old).rename(root / new)
    return True


def _rewrite_outcomes(file: Path) -> bool:
    """Replace the old values of `outcome` in one Parquet file of FILES; return whether there were any."""
    rows = pyarrow.parquet.read_table(file, partitioning=None)
    if "outcome" not in rows.column_names:
        return False
    outcomes = rows["outcome"].to_pylist()
    if not _OUTCOMES.keys() & set(outcomes):
        return False
    position = rows.column_names.index("outcome")
    renamed = pa.array([_OUTCOMES.get(outcome, outcome) for outcome in outcomes], pa.string())
    # Spark's checksum of the old content, which its reader would compare; it does without one.
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    write_parquet(file, rows.set_column(position, rows.schema.field(position), renamed))
    return True
