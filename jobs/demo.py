"""The demo library: clips of made-up music in eight styles, for a first run without a collection of one's own.

Everything is played by jobs.studio from fixed seeds: the same files, byte for byte, on every run on one machine. Clips that
are already there are left alone, so a killed run goes on where it stopped and a second one changes nothing.
"""

import argparse
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from jobs import audio
from jobs.errors import InputError, StepError
from jobs.studio import ledger, tape
from jobs.studio.library import Clip, clip
from jobs.studio.styles import STYLES

TRACKS = 60

# Clips between two log lines, where there is no terminal to draw a bar on.
_LOG_EVERY = 20

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the step's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the clips to")
    parser.add_argument("--tracks", type=int, default=TRACKS, metavar="N", help="number of clips (default %(default)s)")


def main(arguments: argparse.Namespace) -> dict[str, int]:
    """Write the clips that are not there yet; return the counts of `tracks`, `written` and `kept`."""
    out = _folder(arguments.out)
    if arguments.tracks < 1:
        raise InputError(f"expected --tracks of at least 1, found {arguments.tracks}")
    ledger.sweep(out)
    book = ledger.Ledger(out)
    clips = [clip(number) for number in range(arguments.tracks)]
    missing = [entry for entry in clips if not book.holds(entry.path)]
    if missing:
        for entry, digest in _progress(_write_all(out, missing), len(missing)):
            book.add(entry.path, digest)
    book.close()
    return {"tracks": len(clips), "written": len(missing), "kept": len(clips) - len(missing)}


def _folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder as --out, found a file: {out}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected an --out that can be created, found: {error.strerror}: {out}") from error
    return out


def write(out: Path, entry: Clip) -> str:
    """Play one clip, put its file in place and return the file's SHA-256 in hex."""
    path = out / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    stereo = STYLES[entry.style].play(np.random.default_rng(entry.seed), entry.tone)
    ledger.replace(path, lambda part: tape.record(stereo, entry, part))
    return ledger.sha256(path)


def _write_all(out: Path, clips: list[Clip]) -> Iterator[tuple[Clip, str]]:
    """Write the clips on every core; yield each with its SHA-256 as it is done."""
    # A fork server, since the caller may have threads (the embedded services', the progress bar's) that a fork would
    # cut in half; and its workers must not outlive a killed run.
    workers, context = min(os.cpu_count() or 1, len(clips)), get_context("forkserver")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=audio.die_with_parent)
    try:
        futures: dict[Future[str], Clip] = {pool.submit(write, out, entry): entry for entry in clips}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise StepError("expected every worker to finish, found one killed; run `segue demo` again to go on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _progress(done: Iterable[tuple[Clip, str]], total: int) -> Iterator[tuple[Clip, str]]:
    """Pass the results on, with a bar on a terminal and log lines elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(
            *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as bar:
            yield from bar.track(done, total=total, description="Playing the demo library")
        return
    for count, result in enumerate(done, start=1):
        if count % _LOG_EVERY == 0 or count == total:
            _log.info("demo library: %d of %d clips written", count, total)
        yield result
