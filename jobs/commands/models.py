"""The registered versions of the model, as a table."""

import argparse
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table as Grid

from jobs.lake.storage import open_lake
from jobs.model import registry
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the registry is small."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Print a row for every version, newest first."""
    registry.connect(arguments.mlflow, open_lake(arguments).root)
    names = registry.aliases()
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for title in (
        "version",
        "is",
        "trained (UTC)",
        "recipe",
        "tracks",
        "k",
        "silhouette",
        "precision@10",
        "gate",
    ):
        grid.add_column(title, overflow="fold")
    for version in registry.versions():
        trained = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        figure = registry.evaluation(version).get("model", {}).get("genre_precision_at_10")
        aliases = ", ".join(
            sorted(alias for alias, number in names.items() if number == str(version.version))
        )
        shown = [version.tags.get(name, "") for name in ("recipe", "tracks", "k", "silhouette")]
        precision = "" if figure is None else f"{figure:.3f}"
        grid.add_row(str(version.version), aliases, trained, *shown, precision, version.tags.get("gate", ""))
    console = Console(highlight=False)
    console.width = max(console.width, 160)  # a pipe has no width
    console.print(grid)
    return StepResult()
