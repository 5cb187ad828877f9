"""`segue describe FILE`: the features of one audio file as a table, as JSON or as a plot."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jobs.audio import features_of_file
from jobs.dsp import tonality
from jobs.errors import InputError, UnusableFile
from jobs.lake.feature_columns import (
    DESCRIPTORS,
    FEATURE_SIZES,
    FEATURE_VERSION,
    SIGNAL_COLUMNS,
    STATISTICS,
    descriptor_columns,
    feature_columns,
)
from jobs.musicnn import tags
from jobs.paths import escape_control_chars, to_text
from jobs.progress import StepResult

IMAGE_EXTENSIONS = (".png", ".svg", ".pdf")

# Width of the table in a file or a pipe, and its statistics in reading order.
_WIDTH = 80
# Tags of the table, the most probable.
_N_TAGS = 3
_STATISTICS = ("mean", "std", "min", "median", "max", "skew", "kurtosis")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="audio file to describe")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of a table")
    output.add_argument(
        "--plot",
        metavar="OUT.png",
        help=f"plot mel spectrogram, chroma, onsets and tempo to this file ({', '.join(IMAGE_EXTENSIONS)})",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Describe the file in the requested form; raise InputError if it cannot be described."""
    path = os.path.abspath(os.path.expanduser(arguments.file))
    if not os.path.exists(path):
        raise InputError(f"expected an audio file, found nothing at {escape_control_chars(to_text(path))}")
    plot_path = _check_plot_path(arguments.plot, path) if arguments.plot else None
    try:
        values, duration, sample_rate = features_of_file.extract_file_features(path)
        nested = to_nested(values)
        if plot_path is not None:
            from jobs.commands import describe_plot  # importing matplotlib takes a second

            describe_plot.plot_file(path, nested, duration_s=duration, sample_rate=sample_rate, out=plot_path)
    except UnusableFile as error:
        raise InputError(f"{escape_control_chars(to_text(path))}: {error}") from error
    file_info = {
        "path": to_text(path),
        "duration_s": round(duration, 3),
        "sample_rate": sample_rate,
        "feature_version": FEATURE_VERSION,
    }
    if plot_path is not None:
        print(f"describe: {escape_control_chars(to_text(plot_path))}")
    elif arguments.json:
        print(json.dumps({**file_info, **nested}, indent=1))
    else:
        _print_table(file_info, nested)
    return StepResult()


def _check_plot_path(name: str, audio: str) -> Path:
    """Return the plot's path; raise InputError unless it is a new image or replaces an image."""
    path = Path(name).expanduser().absolute()
    if path.suffix.lower() not in IMAGE_EXTENSIONS:
        raise InputError(
            f"--plot: expected a name that ends in {', '.join(IMAGE_EXTENSIONS)}, found {name!r}"
        )
    if not path.parent.is_dir():
        raise InputError(f"--plot: expected an existing folder, found none at {path.parent}")
    if path.is_dir() or (path.exists() and path.samefile(audio)):
        raise InputError(f"--plot: expected another file, found {name!r}, the audio itself or a folder")
    return path


def to_nested(values: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return features (beginning with SIGNAL_COLUMNS) as nested dictionaries.

    Returns
    -------
    {"features": {name: {statistic: [numbers]}}, "descriptors": {name: [numbers]}, "tags": {name:
    probability}}, seven digits each, three of the probabilities.
    """
    by_column = {}
    for column, value in zip(SIGNAL_COLUMNS, values.tolist(), strict=False):
        by_column[column] = float(f"{value:.7g}")
    features: dict[str, Any] = {}
    for feature in FEATURE_SIZES:
        features[feature] = {}
        for statistic in STATISTICS:
            columns = feature_columns(feature, statistic)
            features[feature][statistic] = [by_column[column] for column in columns]
    descriptors = {}
    for name in DESCRIPTORS:
        descriptors[name] = [by_column[column] for column in descriptor_columns(name)]
    return {"features": features, "descriptors": descriptors, "tags": _tags(values)}


def _tags(values: np.ndarray) -> dict[str, float]:
    """Return the probability of each of MusiCNN's tags, the largest first; nothing without its weights."""
    probabilities = values[-len(tags.TAGS) :].tolist()
    if not np.isfinite(probabilities).all():
        return {}
    return {name: float(f"{value:.3g}") for name, value in tags.most_probable(probabilities, len(tags.TAGS))}


def _print_table(file_info: dict[str, Any], nested: dict[str, dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(Text(escape_control_chars(file_info["path"]), style="bold"))
    length = f"{file_info['duration_s']} s at {file_info['sample_rate']} Hz"
    console.print(f"{length}, features {file_info['feature_version']}")
    console.print(summary(nested["descriptors"]))
    if nested["tags"]:
        likely = [f"{name} {value:.2f}" for name, value in list(nested["tags"].items())[:_N_TAGS]]
        console.print(f"MusiCNN's tags: {', '.join(likely)}")
    console.print()
    grid = Grid("feature", *_STATISTICS, box=None, pad_edge=False, padding=(0, 0, 0, 1), header_style="bold")
    for column in grid.columns:
        column.no_wrap = True
    for column in grid.columns[1:]:
        column.justify = "right"
    for name, statistics in nested["features"].items():
        size = FEATURE_SIZES[name]
        for number in range(size):
            label = name if size == 1 else f"{name} {number + 1:02d}"
            cells = [_format_short(statistics[statistic][number]) for statistic in _STATISTICS]
            grid.add_row(label, *cells, end_section=number + 1 == size)
    console.print(grid)
    console.print("\nDescriptors of several values: with --json")


def _format_short(value: float) -> str:
    """Return three digits of a value in at most seven characters: seven statistics fit into 80 columns."""
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def summary(descriptors: dict[str, list[float]]) -> str:
    """Return tempo, key and onset density in words."""
    tempo = descriptors["tempo"][0]
    key = tonality.KEYS[int(descriptors["key"][0])]
    strength = descriptors["key_strength"][0]
    density = descriptors["onset_density"][0]
    tempo_text = f"{tempo:.1f} beats per minute" if tempo else "no tempo"
    return f"{tempo_text}, {key} (strength {strength:.2f}), {density:.1f} onsets per second"
