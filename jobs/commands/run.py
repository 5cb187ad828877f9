"""Run all steps over a folder of music in one Spark session. Each resumes, and processes only what is new."""

import argparse
import importlib
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from jobs import pipeline, progress, settings
from jobs.lake.schemas import REJECTS
from jobs.lake.storage import open_lake
from jobs.library import scan
from jobs.paths import escape_control_chars, relative_to_here, to_text
from jobs.progress import StepResult
from jobs.steps import catalog, cluster, compress, embed, evaluate, promote

_STEP_FUNCTIONS = {
    step.name: importlib.import_module(f"jobs.steps.{step.name}").main for step in pipeline.STEPS
}
# The pipeline continues after a refusal of the quality gate.
_STEP_FUNCTIONS["promote"] = promote.promote_as_step

# The summary names at most this many rejected files; the table REJECTS has all.
_MAX_REJECTS_PRINTED = 8

# With the columns of names and seconds a line has 80 characters.
_RESULT_WIDTH = 58


@dataclass(frozen=True)
class _FinishedStep:
    """A step's result, and how many seconds it took."""

    name: str
    result: StepResult
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the steps' own arguments, as far as they make sense for a whole run."""
    compress.add_arguments(parser)
    catalog.add_metadata_arguments(parser)
    embed.add_arguments(parser)
    cluster.add_arguments(parser)
    evaluate.add_labels_argument(parser)
    promote.add_margin_argument(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Run every step, then print a summary with their counts."""
    finished: list[_FinishedStep] = []
    model_version = None
    started = time.monotonic()
    for name, step in _STEP_FUNCTIONS.items():
        step_started = time.monotonic()
        # `publish` writes all of MongoDB, so that `catalog` need not.
        step_arguments = {**vars(arguments), "model_version": model_version, "no_mongo": True}
        result = step(argparse.Namespace(**step_arguments))
        finished.append(_FinishedStep(name, result, time.monotonic() - step_started))
        progress.log_finished(name, finished[-1].seconds)
        if name == "cluster":  # the version trained on these tracks, which may not be the newest
            model_version = result.model_version
    console = Console(soft_wrap=True, highlight=False)
    _print_steps(console, finished, time.monotonic() - started)
    _print_rejects(console, arguments)
    _print_next(console, arguments)
    return StepResult()


def _print_steps(console: Console, finished: list[_FinishedStep], total_s: float) -> None:
    """Print a line for each step, and the total time."""
    grid = Grid("step", "seconds", "result", box=None, pad_edge=False, header_style="bold")
    grid.columns[1].justify = "right"
    for step in finished:
        lines = progress.wrap_at_commas(step.result.summary(), _RESULT_WIDTH)
        grid.add_row(step.name, f"{step.seconds:.1f}", "\n".join(lines))
    grid.add_row("total", f"{total_s:.1f}", "", style="bold")
    console.print(grid)


def _print_rejects(console: Console, arguments: argparse.Namespace) -> None:
    """Print the first rejected files of the library with their reasons."""
    lake = open_lake(arguments)
    prefix = scan.path_prefix(Path(arguments.library).expanduser().resolve())
    rejects = lake.read_arrow(REJECTS).sort_by([("path", "ascending")]).to_pylist()
    rows = [row for row in rejects if row["path"].startswith(prefix)]
    if not rows:
        return
    console.print(
        f"\n{len(rows)} rejected (table REJECTS; retried when the file changes, or with --retry-rejected):"
    )
    for row in rows[:_MAX_REJECTS_PRINTED]:
        name = escape_control_chars(row["path"].removeprefix(prefix))
        reason = escape_control_chars(row["error"])
        console.print(Text(f"  {name} ({row['step']}): {reason}"))
    if len(rows) > _MAX_REJECTS_PRINTED:
        console.print(f"  and {len(rows) - _MAX_REJECTS_PRINTED} more")


def _print_next(console: Console, arguments: argparse.Namespace) -> None:
    """Print where the results are, and how to continue."""
    store = settings.lake_store(arguments.lake)
    lake = store or str(relative_to_here(settings.lake_path(arguments.lake)))
    options = shlex.join(["--library", arguments.library, "--lake", lake])
    segue = relative_to_here(Path(sys.executable).parent / "segue")
    console.print("\nNext:")
    console.print(Text(f"  tables       {to_text(lake)}/*/current{'.json' if store else ''}, Parquet"))
    if arguments.mlflow:
        console.print(Text(f"  the model    {arguments.mlflow}"))
    else:
        console.print("  services     the player, Airflow, and MLflow with the model:")
        console.print(Text(f"    {segue} up {options}"))
    console.print("  more music   add files and run again; only new files are processed:")
    console.print(Text(f"    {segue} run {options}"))
