"""`segue fma export`: a version of FEATURES as FMA's features.csv, which the data set's notebooks read."""

import argparse
import csv
import io
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc
import pyarrow.csv

from jobs import progress, settings
from jobs.errors import InputError, StepError
from jobs.fma.features_csv import header
from jobs.lake.feature_columns import FMA_COLUMNS, MODEL_INPUT_COLUMNS, newest_feature_version
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake, open_lake
from jobs.paths import atomic_write
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="features.csv to write")
    parser.add_argument("--feature-version", help="feature version to export (default: the newest)")
    settings.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Write the file, completely or not at all; return the counts."""
    lake = open_lake(arguments)
    out = arguments.out.expanduser().absolute()
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out: expected a file in an existing folder, found {out}")
    stored_versions = sorted(set(lake.read_arrow(FEATURES, "feature_version")["feature_version"].to_pylist()))
    if not stored_versions:
        raise StepError(
            "expected rows in FEATURES, found none; run `segue extract` or `segue fma import` first"
        )
    version = arguments.feature_version or newest_feature_version(stored_versions) or stored_versions[-1]
    if version not in stored_versions or not set(MODEL_INPUT_COLUMNS.get(version, ())) & set(FMA_COLUMNS):
        raise InputError(
            f"--feature-version: expected one with FMA's features, of {', '.join(stored_versions)}, "
            f"found {version!r}"
        )
    return StepResult({"tracks": export_features(lake, version, out), "columns": len(FMA_COLUMNS)})


def export_features(lake: Lake, version: str, out: Path) -> int:
    """Write the 518 FMA features of a version, batch by batch; return the number of tracks."""
    n_rows = 0

    def write(file: BinaryIO) -> None:
        nonlocal n_rows
        header_text = io.StringIO(newline="")
        csv.writer(header_text, lineterminator="\n").writerows(header())
        file.write(header_text.getvalue().encode())
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        columns = ["track_id", *FMA_COLUMNS]
        for batch in lake.iter_batches(FEATURES):
            batch = batch.filter(pc.equal(batch.column("feature_version"), version)).select(columns)
            pyarrow.csv.write_csv(batch, file, options)
            n_rows += len(batch)

    with progress.watch("export", lake.count_rows(FEATURES), lambda: n_rows):
        atomic_write(out, write)
    return n_rows
