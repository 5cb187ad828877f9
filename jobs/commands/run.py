"""The whole batch, step after step in one Spark session: each takes up where it was stopped, and does nothing twice."""

import argparse
import importlib
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jobs import pipeline, progress, settings
from jobs.lake.schemas import REJECTS
from jobs.lake.storage import open_lake
from jobs.library import scan
from jobs.paths import escape_control_chars, to_text
from jobs.progress import StepResult
from jobs.steps import catalog, cluster, compress, embed, evaluate, promote

_STEP_FUNCTIONS = {
    step.name: importlib.import_module(f"jobs.steps.{step.name}").main for step in pipeline.STEPS
}
# A refusal of the gate ends no batch.
_STEP_FUNCTIONS["promote"] = promote.promote_as_step

# Rejected files that the summary names; the table has them all.
_MAX_REJECTS_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the steps that have any."""
    compress.add_arguments(parser)
    catalog.add_metadata_arguments(parser)
    embed.add_arguments(parser)
    cluster.add_arguments(parser)
    evaluate.add_labels_argument(parser)
    promote.add_margin_argument(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Run every step and print a summary; the counts are in it."""
    results: dict[str, StepResult] = {}
    seconds: dict[str, float] = {}
    model_version = None
    started = time.monotonic()
    for name, step in _STEP_FUNCTIONS.items():
        step_started = time.monotonic()
        # `publish` writes all of MongoDB, so `catalog` need not.
        step_arguments = {**vars(arguments), "model_version": model_version, "no_mongo": True}
        results[name] = step(argparse.Namespace(**step_arguments))
        seconds[name] = time.monotonic() - step_started
        progress.log_finished(name, seconds[name])
        if name == "cluster":  # the version trained on these tracks, which need not be the newest
            model_version = results[name].model_version
    _print(arguments, results, seconds, time.monotonic() - started)
    return StepResult()


def _print(
    arguments: argparse.Namespace, results: dict[str, StepResult], seconds: dict[str, float], total: float
) -> None:
    console = Console(soft_wrap=True, highlight=False)
    grid = Grid("step", "seconds", "result", box=None, pad_edge=False, header_style="bold")
    grid.columns[1].justify = "right"
    for name, result in results.items():
        grid.add_row(name, f"{seconds[name]:.1f}", result.summary())
    grid.add_row("total", f"{total:.1f}", "", style="bold")
    console.print(grid)
    _print_rejects(console, arguments)
    _print_next(console, arguments)


def _print_rejects(console: Console, arguments: argparse.Namespace) -> None:
    lake = open_lake(arguments)
    prefix = scan.path_prefix(Path(arguments.library).expanduser().resolve())
    rejected = lake.read_arrow(REJECTS).sort_by([("path", "ascending")]).to_pylist()
    rows = [row for row in rejected if row["path"].startswith(prefix)]
    if not rows:
        return
    console.print(
        f"\n{len(rows)} rejected (table REJECTS; they are tried again when they change, or with --retry-rejected):"
    )
    for row in rows[:_MAX_REJECTS_SHOWN]:
        console.print(
            Text(
                f"  {escape_control_chars(row['path'].removeprefix(prefix))} ({row['step']}): {escape_control_chars(row['error'])}"
            )
        )
    if len(rows) > _MAX_REJECTS_SHOWN:
        console.print(f"  and {len(rows) - _MAX_REJECTS_SHOWN} more")


def _print_next(console: Console, arguments: argparse.Namespace) -> None:
    lake = settings.lake_path(arguments.lake)

    def command(name: str) -> str:
        words = [name, "--library", arguments.library, "--lake", str(lake)]
        return f"{Path(sys.executable).parent}/{shlex.join(['segue', *words])}"

    console.print("\nNext:")
    console.print(Text(f"  tables       {to_text(lake)}/*/current, Parquet"))
    console.print(
        Text(f"  the model    {arguments.mlflow or 'in MLflow, started with Airflow by ' + command('up')}")
    )
    console.print(Text(f"  more music   add files and run again, only what is new is done: {command('run')}"))
