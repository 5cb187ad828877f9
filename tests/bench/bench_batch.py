"""Measure the speed and memory of compress and extract, and the overhead of Spark over the bare functions.

    python -m tests.bench.bench_batch [--tracks 400] [--quick] [--library DIR]

Spark's times are those of a whole step on a new lake (plan, map, commit) with its workers running. The bare
pool runs the same function on the same files in as many processes, largest file first, within the same
minutes. Ratios are taken of such pairs, so that load on the machine changes them little; absolute times need
an idle machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from jobs import settings
from jobs.library import scan
from tests.bench.peak_memory import ROLES, Peaks

HERE = Path(__file__).resolve().parent
STEPS = ("compress", "extract")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=400, help="clips to measure with (default 400)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="pairs of Spark and bare on 2 cores (default 3)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="8 tracks, one round on 2 cores, to test the benchmark itself"
    )
    parser.add_argument(
        "--library",
        type=Path,
        default=Path(tempfile.gettempdir(), "segue-bench-library"),
        metavar="DIR",
        help="clips to use; `segue demo` fills a missing folder or a demo library (default %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if arguments.tracks < 4 or arguments.rounds < 1:
        parser.error("expected --tracks of at least 4 and --rounds of at least 1")
    if arguments.quick:
        arguments.tracks, arguments.rounds = 8, 1
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = parse(argv)
    os.environ.update(settings.SINGLE_THREAD_ENV)
    load = os.getloadavg()[0]
    clips = prepare(arguments.library, arguments.tracks)
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
        folders = [part(clips, share, Path(scratch)) for share in (4, 2, 1)]
        measured = {} if arguments.quick else {1: measure(1, folders[-1:], 1, Path(scratch, "1"))}
        measured[2] = measure(2, folders[2 * arguments.quick :], arguments.rounds, Path(scratch, "2"))
        last = Path(scratch, "2", f"lake-{arguments.rounds - 1}")
        idle = {step: idle_run(step, folders[-1], last) for step in STEPS}
    show(load, measured, idle)


def prepare(folder: Path, tracks: int) -> list[Path]:
    """Return `tracks` clips of the folder, largest first; fill a missing folder or a demo library before."""
    if not folder.exists() or (folder / ".segue-demo.sha256").exists():
        command = [sys.executable, "-m", "jobs", "demo", "--out", str(folder), "--tracks", str(tracks)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    found = sorted(scan.scan(str(folder), folder / "no lake").files, key=lambda file: -file["size"])
    if len(found) < tracks:
        sys.exit(f"--library: expected {tracks} audio files in {folder}, found {len(found)}")
    step = len(found) / tracks
    return [Path(found[int(i * step)]["path"]) for i in range(tracks)]


def part(clips: list[Path], share: int, scratch: Path) -> str:
    """Return a folder with every `share`-th clip, of all sizes: hard links, or copies if on another disk."""
    folder = scratch / f"library-{share}"
    folder.mkdir()
    for number, clip in enumerate(clips[share // 2 :: share]):
        target = folder / f"{number:06d}{clip.suffix}"
        try:
            os.link(clip, target)
        except OSError:
            shutil.copy2(clip, target)
        target.read_bytes()  # fill the disk cache, so that the first run has no disadvantage
    return str(folder)


def measure(cores: int, folders: list[str], rounds: int, scratch: Path) -> dict[str, Any]:
    """Run batch_session.py on the first cores of the machine; return its times, with the peak memory."""
    scratch.mkdir()
    plan: dict[str, Any] = {
        "cores": cores,
        "rounds": rounds,
        "folder": folders[-1],
        "growth": folders[:-1],
        "scratch": str(scratch),
    }
    plan["results"] = str(scratch / "results.json")
    print(f"{cores} core(s), {rounds} round(s):", file=sys.stderr)
    usable = sorted(os.sched_getaffinity(0))[:cores]
    command = [sys.executable, "-m", "tests.bench.batch_session", json.dumps(plan)]
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, usable))
    with process, Peaks(process.pid) as peaks:
        process.wait()
    if process.returncode:
        sys.exit(f"expected the session to finish, found exit status {process.returncode}")
    return {**json.loads(Path(plan["results"]).read_text()), "peaks": peaks.table()}


def idle_run(step: str, folder: str, lake: Path) -> float:
    """Return the elapsed seconds of the command when there is nothing to do."""
    command = [sys.executable, "-m", "jobs", step, "--lake", str(lake)]
    command += ["--library", folder] if step == "compress" else []
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def show(load: float, measured: dict[int, Any], idle: dict[str, float]) -> None:
    """Print all tables."""
    console = Console(width=110, highlight=False, soft_wrap=True)
    two = measured[2]
    console.print(
        f"{two['pairs'][0]['tracks']} clips, {two['pairs'][0]['audio_s'] / 60:.1f} min of audio. {cpu()}, "
        f"load {load:.1f} at the start. Python {sys.version.split()[0]}, Spark {version('pyspark')}."
    )
    for table in (throughput(measured), losses(two), growth(two), starts(measured, idle), memory(measured)):
        console.print("\n", table, sep="", end="")


def cpu() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "processor unknown"
    )


def grid(title: str, *columns: str) -> Grid:
    """Return an empty table, its first column to the left and the others to the right."""
    made = Grid(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    return made


def spread(values: list[float]) -> str:
    """Return least / median / most of some shares, in percent; one share as it is."""
    if len(values) == 1:
        return f"{values[0]:.0%}"
    return " / ".join(f"{value:.0%}" for value in (min(values), median(values), max(values)))


def throughput(measured: dict[int, Any]) -> Grid:
    """Return tracks/s of each step and number of cores, and Spark's share of the bare function's."""
    columns = (
        "cores",
        "Spark, tracks/s",
        "bare, tracks/s",
        "rounds",
        "Spark : bare, whole step",
        "map alone",
    )
    made = grid("Throughput, warm (shares: least / median / most of the rounds)", "step", *columns)
    for step in STEPS:
        for cores, times in measured.items():
            pairs, tracks = [pair[step] for pair in times["pairs"]], times["pairs"][0]["tracks"]
            spark, bare = ([pair[name]["seconds"] for pair in pairs] for name in ("spark", "bare"))
            whole = [pair["bare"]["seconds"] / pair["spark"]["seconds"] for pair in pairs]
            mapped = [pair["bare"]["seconds"] / pair["spark"]["map"] for pair in pairs]
            rates = [f"{tracks / median(seconds):.2f}" for seconds in (spark, bare)]
            made.add_row(step, str(cores), *rates, str(len(pairs)), spread(whole), spread(mapped))
    return made


def losses(two: dict[str, Any]) -> Grid:
    """Return where the seconds of Spark's steps go, on 2 cores."""
    columns = (
        "whole step",
        "plan",
        "in the function",
        "slots waiting",
        "commit",
        "rest",
        "a call, Spark : bare",
    )
    made = grid("Where Spark's seconds go, 2 cores (medians)", "step", *columns)
    for step in STEPS:
        spark = [pair[step]["spark"] for pair in two["pairs"]]
        parts = {
            name: median(times[name] for times in spark)
            for name in ("seconds", "plan", "map", "busy", "commit")
        }
        calls = median(pair[step]["spark"]["busy"] / pair[step]["bare"]["busy"] for pair in two["pairs"])
        working, rest = parts["busy"] / 2, parts["seconds"] - parts["plan"] - parts["map"] - parts["commit"]
        seconds = (parts["seconds"], parts["plan"], working, parts["map"] - working, parts["commit"], rest)
        made.add_row(step, *(f"{value:.2f}" for value in seconds), f"{calls:.2f}")
    return made


def growth(two: dict[str, Any]) -> Grid:
    """Return the steps' seconds at a quarter, half and all of the clips, on 2 cores."""
    made = grid(
        "Growth, Spark on 2 cores", "tracks", "compress, s", "per track, ms", "extract, s", "per track, ms"
    )
    whole = {
        step: {"seconds": median(pair[step]["spark"]["seconds"] for pair in two["pairs"])} for step in STEPS
    }
    for row in (*two["growth"], {"tracks": two["pairs"][0]["tracks"], **whole}):
        cells = [str(row["tracks"])]
        for step in STEPS:
            seconds = row[step]["seconds"]
            cells += [f"{seconds:.1f}", f"{1000 * seconds / row['tracks']:.0f}"]
        made.add_row(*cells)
    return made


def starts(measured: dict[int, Any], idle: dict[str, float]) -> Grid:
    """Return the cold starts, and the command line with nothing to do."""
    made = grid("Seconds not counted above", "", *(f"{cores} core(s)" for cores in measured))
    for name in measured[2]["cold"]:
        made.add_row(name, *(f"{times['cold'][name]:.1f}" for times in measured.values()))
    for step, seconds in idle.items():
        made.add_row(f"`segue {step}` with nothing to do", *[""] * (len(measured) - 1), f"{seconds:.1f}")
    return made


def memory(measured: dict[int, Any]) -> Grid:
    """Return the peak memory by role."""
    names = [f"{kind}, {cores} core(s)" for cores in measured for kind in ("RSS", "PSS")]
    made = grid("Peak memory, MiB (most of any one process)", "process", *names)
    for role in sorted(measured[2]["peaks"], key=ROLES.index):
        cells = [
            times["peaks"].get(role, {}).get(kind) for times in measured.values() for kind in ("rss", "pss")
        ]
        made.add_row(role, *("" if value is None or value != value else f"{value:,.0f}" for value in cells))
    return made


if __name__ == "__main__":
    main()
