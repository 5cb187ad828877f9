"""`segue fma export`: a version of FEATURES as FMA's features.csv, so that the data set's own notebooks read it."""

import argparse
import csv
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.csv

from jobs import progress, settings
from jobs.errors import InputError, StepError
from jobs.fma.features_csv import header
from jobs.lake.feature_columns import FMA_COLUMNS, MODEL_INPUT_COLUMNS, newest_feature_version
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake, open_lake
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="features.csv to write")
    parser.add_argument("--feature-version", help="version of FEATURES (default: the newest)")
    settings.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Write the file, there whole or not at all; return the counts."""
    lake = open_lake(arguments)
    out = arguments.out.expanduser().absolute()
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out: expected a file in a folder that exists, found {out}")
    found = sorted(set(lake.read_arrow(FEATURES, "feature_version")["feature_version"].to_pylist()))
    if not found:
        raise StepError(
            "expected rows in FEATURES, found none; run `segue extract` or `segue fma import` first"
        )
    version = arguments.feature_version or newest_feature_version(found)
    if (
        version not in found
        or version not in MODEL_INPUT_COLUMNS
        or not set(MODEL_INPUT_COLUMNS[version]) & set(FMA_COLUMNS)
    ):
        raise InputError(
            f"--feature-version: expected one with FMA's features, of {', '.join(found)}, found {version!r}"
        )
    return StepResult({"tracks": export_features(lake, version, out), "columns": len(FMA_COLUMNS)})


def export_features(lake: Lake, version: str, out: Path) -> int:
    """Write a version's 518 features, some rows at a time; return the number of tracks."""
    part = out.with_name(f".{out.name}.part")
    rows = 0
    with part.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(header())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    columns = ["track_id", *FMA_COLUMNS]
    with part.open("ab") as file, progress.watch("export", lake.count_rows(FEATURES), lambda: rows):
        for batch in lake.iter_batches(FEATURES):
            batch = batch.filter(pc.equal(batch.column("feature_version"), version)).select(columns)
            pyarrow.csv.write_csv(batch, file, options)
            rows += len(batch)
    part.replace(out)
    return rows
