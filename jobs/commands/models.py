"""List the registered versions of the model as a table."""

import argparse
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from jobs.lake.storage import open_lake
from jobs.model import registry, tracking
from jobs.progress import StepResult

_COLUMNS = (
    "version",
    "alias",
    "trained (UTC)",
    "recipe",
    "tracks",
    "k",
    "silhouette",
    "precision@10",
    "MAP",
    "gate",
)

# Of the model, in the columns "precision@10" and "MAP".
_METRICS = ("genre_precision_at_10", "genre_map")

# Characters per line where the output is a pipe, which has no width.
_MIN_WIDTH = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the registry is small."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Print a row for every version, newest first."""
    tracking.connect(arguments.mlflow, open_lake(arguments).root)
    aliases = registry.aliases()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _COLUMNS:
        table.add_column(title, overflow="fold")
    for version in registry.versions():
        number = str(version.version)
        version_aliases = sorted(alias for alias, aliased in aliases.items() if aliased == number)
        trained = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        metrics = registry.evaluation(version).get("model", {})
        table.add_row(
            number,
            ", ".join(version_aliases),
            f"{trained:%Y-%m-%d %H:%M}",
            *(version.tags.get(name, "") for name in ("recipe", "tracks", "k", "silhouette")),
            *(f"{metrics[name]:.3f}" if name in metrics else "" for name in _METRICS),
            version.tags.get("gate", ""),
        )
    console = Console(highlight=False)
    console.width = max(console.width, _MIN_WIDTH)
    console.print(table)
    return StepResult()
