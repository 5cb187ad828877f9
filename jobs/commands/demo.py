"""`segue demo`: write the demo library, synthetic music in eight styles for a first run without a collection.

The package jobs.demo synthesizes it from fixed seeds: every run on one machine writes the same files, byte
for byte. Clips that exist already are not written again, so that a killed run resumes and a second run
changes nothing.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from jobs import progress
from jobs.demo import encode, manifest
from jobs.demo.clips import Clip, clip
from jobs.demo.variation import perform
from jobs.errors import InputError, StepError
from jobs.paths import sha256_file
from jobs.progress import StepResult
from jobs.runtime.parent_death import kill_on_parent_exit

DEFAULT_TRACKS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write the clips to; created if missing",
    )
    parser.add_argument(
        "--tracks",
        type=int,
        default=DEFAULT_TRACKS,
        metavar="N",
        help="number of clips (default %(default)s); from the 61st on genres overlap, rates and formats vary",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Write the missing clips; return the counts of `tracks`, `written` and `unchanged`."""
    if arguments.tracks < 1:
        raise InputError(f"expected --tracks of at least 1, found {arguments.tracks}")
    out = _create_folder(arguments.out)
    manifest.remove_leftovers(out)
    library = manifest.Manifest(out)
    clips = [clip(number) for number in range(arguments.tracks)]
    missing = [entry for entry in clips if not library.is_current(entry.path)]
    if missing:
        _write_missing(out, missing, library)
    library.close()
    n_unchanged = len(clips) - len(missing)
    return StepResult({"tracks": len(clips), "written": len(missing), "unchanged": n_unchanged})


def _create_folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder as --out, found a file: {out}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected an --out that can be created, found: {error.strerror}: {out}") from error
    return out


def write_clip(out: Path, entry: Clip) -> str:
    """Synthesize one clip, write its file and return the file's SHA-256 in hex."""
    path = out / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    stereo = perform(entry.style, entry.seed, entry.tone, entry.variation, entry.recording)
    manifest.write_file(path, lambda part: encode.encode_clip(stereo, entry, part))
    return sha256_file(path)


def _write_missing(out: Path, missing: list[Clip], library: manifest.Manifest) -> None:
    n_done = 0
    with progress.display(), progress.watch("demo", len(missing), lambda: n_done):
        for entry, digest in _write_all(out, missing):
            library.add(entry.path, digest)
            n_done += 1


def _write_all(out: Path, clips: list[Clip]) -> Iterator[tuple[Clip, str]]:
    """Write the clips on all cores; yield each with its SHA-256 when it is done."""
    # "spawn", since the caller may have threads (embedded services, the progress bar) that a fork would cut
    # in half; not "forkserver", whose workers are children of a server that they keep alive after a killed
    # run.
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
            "expected every worker to finish, found one killed; re-run the same command to resume"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
