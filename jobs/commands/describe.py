"""One file's features: a table to read, JSON to compute with, or a picture to look at before trusting them."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jobs.dsp import tonality
from jobs.errors import InputError, UnusableFile
from jobs.lake.feature_columns import (
    DESCRIPTORS,
    FEATURE_COLUMNS,
    FEATURE_SIZES,
    FEATURE_VERSION,
    STATISTICS,
    descriptor_columns,
    feature_columns,
)
from jobs.paths import escape_control_chars, to_text
from jobs.progress import StepResult
from jobs.steps import extract

IMAGE_EXTENSIONS = (".png", ".svg", ".pdf")

# Of the table, in a file or a pipe; and the order in which its columns are read.
_WIDTH = 80
_SHOWN = ("mean", "std", "min", "median", "max", "skew", "kurtosis")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="an audio file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument(
        "--picture",
        metavar="OUT.png",
        help=f"draw mel spectrogram, chroma, onsets and tempo into this file ({', '.join(IMAGE_EXTENSIONS)})",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Describe the file in the form asked for; raise InputError where it cannot be described."""
    path = os.path.abspath(os.path.expanduser(arguments.file))
    if not os.path.exists(path):
        raise InputError(f"expected an audio file, found nothing at {escape_control_chars(to_text(path))}")
    picture = _picture_path(arguments.picture, path) if arguments.picture else None
    try:
        values, duration, sample_rate = extract.extract_file_features(path)
        found = to_nested(values)
        if picture is not None:
            from jobs.commands import describe_plot  # a second of importing matplotlib

            describe_plot.plot_file(path, found, duration_s=duration, sample_rate=sample_rate, out=picture)
    except UnusableFile as error:
        raise InputError(f"{escape_control_chars(to_text(path))}: {error}") from error
    about = {
        "path": to_text(path),
        "duration_s": round(duration, 3),
        "sample_rate": sample_rate,
        "feature_version": FEATURE_VERSION,
    }
    if picture is not None:
        print(f"features: {to_text(str(picture))}")
    elif arguments.json:
        print(json.dumps({**about, **found}, indent=1))
    else:
        _print(about, found)
    return StepResult()


def _picture_path(given: str, audio: str) -> Path:
    """Return where the picture goes; InputError where that is no picture's name, or would overwrite the audio."""
    path = Path(given).expanduser().absolute()
    if path.suffix.lower() not in IMAGE_EXTENSIONS:
        raise InputError(
            f"--picture: expected a name that ends in {', '.join(IMAGE_EXTENSIONS)}, found {given!r}"
        )
    if not path.parent.is_dir():
        raise InputError(f"--picture: expected a folder that exists, found none at {path.parent}")
    if path.is_dir() or (path.exists() and path.samefile(audio)):
        raise InputError(
            f"--picture: expected a file of its own, found {given!r}, the audio itself or a folder"
        )
    return path


def to_nested(values: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return features (in the order of FEATURE_COLUMNS) as {"features": {name: {statistic: numbers}}, "descriptors"}."""
    by_column = {c: float(f"{v:.7g}") for c, v in zip(FEATURE_COLUMNS, values.tolist(), strict=True)}
    return {
        "features": {
            feature: {s: [by_column[c] for c in feature_columns(feature, s)] for s in STATISTICS}
            for feature in FEATURE_SIZES
        },
        "descriptors": {name: [by_column[c] for c in descriptor_columns(name)] for name in DESCRIPTORS},
    }


def _print(about: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(Text(escape_control_chars(about["path"]), style="bold"))
    console.print(
        f"{about['duration_s']} s at {about['sample_rate']} Hz, features {about['feature_version']}"
    )
    console.print(summary(found["descriptors"]) + "\n")
    grid = Grid("feature", *_SHOWN, box=None, pad_edge=False, padding=(0, 0, 0, 1), header_style="bold")
    for column in grid.columns:
        column.no_wrap = True
    for column in grid.columns[1:]:
        column.justify = "right"
    for name, statistics in found["features"].items():
        size = FEATURE_SIZES[name]
        for number in range(size):
            label = name if size == 1 else f"{name} {number + 1:02d}"
            grid.add_row(
                label,
                *(_short(statistics[shown][number]) for shown in _SHOWN),
                end_section=number + 1 == size,
            )
    console.print(grid)
    console.print("\nmfcc_covariance and tempogram: with --json")


def _short(value: float) -> str:
    """Return three digits of a value in at most seven characters: seven statistics fit into 80 columns."""
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def summary(descriptors: dict[str, list[float]]) -> str:
    """Return tempo, key and onsets in words."""
    tempo, key = descriptors["tempo"][0], tonality.KEYS[int(descriptors["key"][0])]
    strength, density = descriptors["key_strength"][0], descriptors["onset_density"][0]
    pulse = f"{tempo:.1f} beats per minute" if tempo else "no tempo"
    return f"{pulse}, {key} (strength {strength:.2f}), {density:.1f} onsets per second"
