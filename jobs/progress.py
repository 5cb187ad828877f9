"""A command's result, and its progress.

A live display on a terminal, a log line every ten seconds elsewhere.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("segue")

_LOG_INTERVAL_S = 10.0
_UPDATE_INTERVAL_S = 0.3

# Module state, because a process has one terminal: the display that is open, None without a terminal or
# outside `display`.
_display: Progress | None = None


@dataclass(frozen=True)
class StepResult:
    """What a command did.

    Counts for its summary line and for Airflow, the model version it made or used, and lines that the command
    prints above its summary.
    """

    counts: Mapping[str, Any] = field(default_factory=dict)
    model_version: str | None = None
    details: str = ""

    def summary(self) -> str:
        """Return the command's summary line."""
        version = {} if self.model_version is None else {"model version": self.model_version}
        return summary({**self.counts, **version})

    def to_json(self) -> str:
        """Return the result as JSON: {"counts": {...}, "model_version": ...}."""
        return json.dumps({"counts": dict(self.counts), "model_version": self.model_version})


def wrap_at_commas(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` characters, broken only after a comma."""
    lines = [""]
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(longer) >= width and lines[-1]:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def summary(counts: Mapping[str, Any]) -> str:
    """Return counts as one line: a number stands before its name, a text after it."""
    parts = []
    for name, value in counts.items():
        parts.append(f"{name} {value}" if isinstance(value, str) else f"{value:,} {name}")
    return ", ".join(parts)


@contextmanager
def display() -> Iterator[None]:
    """Show the progress of everything watched inside on the terminal; do nothing if stderr is no terminal."""
    global _display
    if not sys.stderr.isatty() or _display is not None:
        yield
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<10}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as _display:
        try:
            yield
        finally:
            _display = None


def log_finished(name: str, seconds: float) -> None:
    """Log that `name` is done, unless the display shows it."""
    if _display is None:
        log.info("%s: done after %.0f s", name, seconds)


@contextmanager
def watch(name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[None]:
    """Show `name` as running while the block runs.

    Parameters
    ----------
    name
        What the display or the log line shows.
    total
        The count at the end.
    count
        Returns how much is done so far; another thread calls it every 0.3 s. None: the block is done at its
        end.
    """
    stop = threading.Event()
    task = _display.add_task(name, total=total) if _display is not None else None
    thread = threading.Thread(target=_report_until, args=(stop, name, total, count, task), daemon=True)
    thread.start()
    try:
        yield
        if task is not None and _display is not None:
            _display.update(task, completed=total)
    finally:
        stop.set()
        thread.join()


def _report_until(
    stop: threading.Event, name: str, total: int, count: Callable[[], int] | None, task: TaskID | None
) -> None:
    """Update the display's task, or log, until `stop` is set."""
    started = time.monotonic()
    logged_at = started
    while not stop.wait(_UPDATE_INTERVAL_S):
        done = 0 if count is None else count()
        if task is not None and _display is not None:
            _display.update(task, completed=done)
        elif time.monotonic() - logged_at >= _LOG_INTERVAL_S:
            logged_at = time.monotonic()
            if count is None:
                log.info("%s: running", name)
            else:
                rate = done / (logged_at - started)
                left = f", about {(total - done) / rate:.0f} s left" if done else ""
                log.info("%s: %d of %d (%.1f/s%s)", name, done, total, rate, left)
