"""The demo library: clips of made-up music in eight styles, for a first run without a collection of one's own.

Everything is played by jobs.studio from fixed seeds: the same files, byte for byte, on every run on one machine. Clips
that are already there are left alone: a killed run goes on where it stopped, and a second one changes nothing.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from jobs import progress
from jobs.demo import encode, manifest
from jobs.demo.clips import Clip, clip
from jobs.demo.styles import STYLES
from jobs.errors import InputError, StepError
from jobs.progress import StepResult
from jobs.runtime.parent_death import kill_on_parent_exit

DEFAULT_TRACKS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the step's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the clips to")
    parser.add_argument(
        "--tracks",
        type=int,
        default=DEFAULT_TRACKS,
        metavar="N",
        help="number of clips (default %(default)s)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Write the clips that are not there yet; return the counts of `tracks`, `written` and `kept`."""
    if arguments.tracks < 1:
        raise InputError(f"expected --tracks of at least 1, found {arguments.tracks}")
    out = _folder(arguments.out)
    manifest.remove_leftovers(out)
    book = manifest.Manifest(out)
    clips = [clip(number) for number in range(arguments.tracks)]
    missing = [entry for entry in clips if not book.is_current(entry.path)]
    if missing:
        _write_missing(out, missing, book)
    book.close()
    return StepResult({"tracks": len(clips), "written": len(missing), "kept": len(clips) - len(missing)})


def _folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder as --out, found a file: {out}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected an --out that can be created, found: {error.strerror}: {out}") from error
    return out


def write_clip(out: Path, entry: Clip) -> str:
    """Play one clip, put its file in place and return the file's SHA-256 in hex."""
    path = out / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    stereo = STYLES[entry.style].play(np.random.default_rng(entry.seed), entry.tone)
    manifest.replace(path, lambda part: encode.encode_clip(stereo, entry, part))
    return manifest.sha256(path)


def _write_missing(out: Path, missing: list[Clip], book: manifest.Manifest) -> None:
    done = 0
    with progress.display(), progress.watch("demo", len(missing), lambda: done):
        for entry, digest in _write_all(out, missing):
            book.add(entry.path, digest)
            done += 1


def _write_all(out: Path, clips: list[Clip]) -> Iterator[tuple[Clip, str]]:
    """Write the clips on every core; yield each with its SHA-256 as it is done."""
    # "spawn", since the caller may have threads (embedded services, the progress bar) that a fork would cut in
    # half; not "forkserver", whose workers are children of a server that they keep alive after a killed run.
    pool = ProcessPoolExecutor(
        min(os.cpu_count() or 1, len(clips)),
        mp_context=get_context("spawn"),
        initializer=kill_on_parent_exit,
        initargs=(os.getpid(),),
    )
    try:
        futures: dict[Future[str], Clip] = {pool.submit(write_clip, out, entry): entry for entry in clips}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise StepError(
            "expected every worker to finish, found one killed; run `segue demo` again to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
