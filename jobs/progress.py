"""How far a step is: one rich display on a terminal, a log line now and then elsewhere."""

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
    TextColumn,
    TimeElapsedColumn,
)

log = logging.getLogger("segue")

# Seconds between two log lines of one step, and between two looks at the counter.
_LOG_EVERY_S, _LOOK_EVERY_S = 10.0, 0.3

_display: Progress | None = None


@dataclass(frozen=True)
class StepResult:
    """What a command did: counts for its summary line and for Airflow, and the model version it made or used."""

    counts: Mapping[str, Any] = field(default_factory=dict)
    model_version: str | None = None

    def summary(self) -> str:
        """Return the command's summary line."""
        version = {} if self.model_version is None else {"model version": self.model_version}
        return summary({**self.counts, **version})

    def to_json(self) -> str:
        """Return the result as JSON: {"counts": {...}, "model_version": ...}."""
        return json.dumps({"counts": dict(self.counts), "model_version": self.model_version})


def summary(counts: Mapping[str, Any]) -> str:
    """Return what a step did as one line: a number stands before what it counts, text after its name."""
    return ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{value:,} {name}" for name, value in counts.items()
    )


@contextmanager
def display() -> Iterator[None]:
    """Show the progress of everything watched inside, on a terminal; do nothing where stderr is none."""
    global _display
    if not sys.stderr.isatty() or _display is not None:
        yield
        return
    columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description:<10}"), BarColumn(30))
    with Progress(
        *columns, MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True)
    ) as _display:
        try:
            yield
        finally:
            _display = None


def log_finished(name: str, seconds: float) -> None:
    """Say that `name` is done, where no display shows it."""
    if _display is None:
        log.info("%s: done after %.0f s", name, seconds)


@contextmanager
def watch(name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[None]:
    """Show `name` as under way, with `count()` of `total` done; without `count` it is done when the block ends."""
    stop = threading.Event()
    started = time.monotonic()
    task = _display.add_task(name, total=total) if _display is not None else None

    def look() -> None:
        logged = started
        while not stop.wait(_LOOK_EVERY_S):
            done = count() if count is not None else 0
            if task is not None and _display is not None:
                _display.update(task, completed=done)
            elif time.monotonic() - logged >= _LOG_EVERY_S:
                logged = time.monotonic()
                rate = done / (logged - started)
                log.info("%s: %d of %d (%.1f/s)", name, done, total, rate) if count else log.info(
                    "%s: at work", name
                )

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
        if task is not None and _display is not None:
            _display.update(task, completed=total)
    finally:
        stop.set()
        thread.join()
