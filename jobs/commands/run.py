"""The whole batch, step after step in one Spark session: each takes up where it was stopped, and does nothing twice."""

import argparse
import importlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jobs import pipeline, progress, settings
from jobs.lake.schemas import REJECTS
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.paths import one_line, to_text
from jobs.steps import catalog, cluster, compress, embed, evaluate, promote

_MAIN = {step.name: importlib.import_module(f"jobs.steps.{step.name}").main for step in pipeline.STEPS}
# A refusal of the gate ends no batch.
_MAIN["promote"] = promote.run

# Rejected files that the summary names; the table has them all.
_SHOWN_REJECTS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the steps that have any."""
    compress.add_arguments(parser)
    catalog.add_metadata_arguments(parser)
    embed.add_arguments(parser)
    cluster.add_arguments(parser)
    evaluate.add_labels_argument(parser)
    promote.add_margin_argument(parser)


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every step and print a summary; the counts are in it."""
    done: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    started = time.monotonic()
    arguments.model_version = None
    arguments.no_mongo = True  # publish writes all of it
    for name, step in _MAIN.items():
        begun = time.monotonic()
        done[name] = step(arguments)
        seconds[name] = time.monotonic() - begun
        progress.finished(name, seconds[name])
        if name == "cluster":  # the version of these very tracks, which need not be the newest
            arguments.model_version = done[name]["model version"]
    _print(arguments, done, seconds, time.monotonic() - started)
    return {}


def _print(
    arguments: argparse.Namespace, done: dict[str, dict[str, Any]], seconds: dict[str, float], total: float
) -> None:
    console = Console(soft_wrap=True, highlight=False)
    grid = Grid("step", "seconds", "what it did", box=None, pad_edge=False, header_style="bold")
    grid.columns[1].justify = "right"
    for name, counts in done.items():
        grid.add_row(name, f"{seconds[name]:.1f}", progress.summary(counts))
    grid.add_row("together", f"{total:.1f}", "", style="bold")
    console.print(grid)
    _print_rejects(console, arguments)
    _print_next(console, arguments)


def _print_rejects(console: Console, arguments: argparse.Namespace) -> None:
    lake = Lake(settings.lake_path(arguments.lake))
    prefix = scan.below(Path(arguments.library).expanduser().resolve())
    rejected = lake.arrow(REJECTS).sort_by([("path", "ascending")]).to_pylist()
    rows = [row for row in rejected if row["path"].startswith(prefix)]
    if not rows:
        return
    console.print(
        f"\n{len(rows)} rejected (table REJECTS; they are tried again when they change, or with --retry-rejected):"
    )
    for row in rows[:_SHOWN_REJECTS]:
        console.print(Text(f"  {one_line(row['path'].removeprefix(prefix))} ({row['step']}): {one_line(row['error'])}"))
    if len(rows) > _SHOWN_REJECTS:
        console.print(f"  and {len(rows) - _SHOWN_REJECTS} more")


def _print_next(console: Console, arguments: argparse.Namespace) -> None:
    lake = settings.lake_path(arguments.lake)

    def command(name: str) -> str:
        words = [name, "--library", arguments.library, "--lake", str(lake)]
        return f"{Path(sys.executable).parent}/{shlex.join(['segue', *words])}"

    console.print("\nNext:")
    console.print(Text(f"  tables       {to_text(lake)}/*/current, Parquet"))
    console.print(Text(f"  the model    {arguments.mlflow or 'in MLflow, started with Airflow by ' + command('up')}"))
    console.print(Text(f"  more music   add files and run again, only what is new is done: {command('run')}"))
