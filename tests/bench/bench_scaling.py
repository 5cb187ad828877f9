"""What grows with the tracks and with the listeners: every step's CPU, memory and disk, and the slope of each.

    python -m tests.bench.bench_scaling [--tracks 100 1000 10000] [--listeners 1000 10000 100000] [--plays 20] [--folder DIR]

Tracks: clips of `segue demo`, each cut into ten pieces of some two seconds so that 10,000 do not take a night (what a clip of
30 s costs to decode is in bench_batch.py). Then each step of `segue run` as a command of its own, and all of them again with
nothing new. Seconds are of CPU, of the command with all that it starts: other work on the machine changes them little; the
wall clock's stand beside. What a command takes before it begins (Python, Spark's start, the store's) is in them, so the slope,
an exponent, is that of the second largest size to the largest. 1 is in proportion to the tracks; more is a defect.

Listeners: so many plays each over a thousand made-up tracks; the store made again from PLAYS, `segue recommend`, plays of the
stream. Each size in a process of its own.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import psutil
import pyarrow as pa
from threadpoolctl import threadpool_limits

from jobs.audio.decoding import ffmpeg_path
from jobs.demo.clips import clip
from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.pipeline import STEPS
from jobs.plays import play_log
from jobs.runtime import embedded_mongo, embedded_server
from jobs.steps import recommend
from jobs.streaming import micro_batch, reconcile
from jobs.streaming.catalog_cache import CatalogCache
from tests.bench import bench_micro_batch
from tests.services.conftest import SEGUE, environment

PIECES = 10
TRACKS, DAYS = 1_000, 30

# What a step is told beside its name.
WORDS = {"compress": ("--library", "{music}"), "promote": ("--allow-refusal",)}

# Rows of PLAYS that are made at once.
CHUNK = 200_000


class Watch(threading.Thread):
    """CPU seconds and peak memory (PSS, MiB) of a process and of all that it starts, looked at twice a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root, self._told = psutil.Process(pid), threading.Event()
        self.cpu = self.mib = 0.0

    def stop(self) -> None:
        self._told.set()
        self.join()

    def run(self) -> None:
        while not self._told.wait(0.5):
            with suppress(psutil.Error):
                self._look()

    def _look(self) -> None:
        cpu = pss = 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                cpu += sum(process.cpu_times()[:4])  # and of its children that have ended and were waited for
                pss += process.memory_full_info().pss
        self.cpu, self.mib = max(self.cpu, cpu), max(self.mib, pss / 2**20)


def command(lake: Path, words: list[str]) -> dict[str, float]:
    """Run one command; return CPU and wall seconds, and its peak memory."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [SEGUE, *words], env=environment(lake), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watch = Watch(process.pid)
    watch.start()
    said = process.communicate()[1]
    watch.stop()
    if process.returncode:
        raise SystemExit(f"segue {' '.join(words)}: exit {process.returncode}\n{said}")
    return {"cpu": watch.cpu, "wall": time.monotonic() - begun, "mib": watch.mib}


def of_tracks(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Return what each step costs over so many tracks, and what it left on the disk."""
    clips, music, lake = folder / "demo", folder / f"music-{count}", folder / f"lake-{count}"
    found = {"demo, a tenth": command(lake, ["demo", "--out", str(clips), "--tracks", str(count // PIECES)])}
    cut(clips, music, count // PIECES)
    for step in (each.name for each in STEPS):
        found[step] = command(lake, [step, *(word.format(music=music) for word in WORDS.get(step, ()))])
        print(f"  {count} tracks: {step} {found[step]['wall']:.1f} s", flush=True)
    found["run, nothing new"] = command(lake, ["run", "--library", str(music)])
    files = [file for file in lake.rglob("*") if file.is_file() and not file.is_symlink()]
    audio = sum(file.stat().st_size for file in files if lake / "audio" in file.parents)
    found["disk"] = {
        "audio": audio / 2**20,
        "rest": sum(file.stat().st_size for file in files) / 2**20 - audio / 2**20,
    }
    return found


def cut(clips: Path, music: Path, count: int) -> None:
    """Cut the first clips into pieces, without coding them anew."""
    music.mkdir(exist_ok=True)
    for number, entry in enumerate(clip(number) for number in range(count)):
        source = clips / entry.path
        seconds = float(mutagen.File(source).info.length) / PIECES
        pieces = ["-f", "segment", "-segment_time", f"{seconds:.3f}", "-reset_timestamps", "1"]
        out = music / f"{number:06d} %02d{source.suffix}"
        words = [ffmpeg_path(), "-nostdin", "-y", "-i", source, "-map", "0:a", "-c", "copy", *pieces, out]
        subprocess.run(words, check=True, capture_output=True)


def of_listeners(users: int, each: int) -> dict[str, float]:
    """Return what so many listeners with so many plays each cost."""
    rng, found = np.random.default_rng(0), dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="segue-growth-") as scratch, threadpool_limits(1):
        lake = Lake(Path(scratch))
        bench_micro_batch.write(lake, TRACKS)
        for number in range(0, users * each, CHUNK):
            rows = plays(range(number, min(number + CHUNK, users * each)), users, each, rng)
            play_log.play_table(lake).append(f"{number}", rows)
        with embedded_mongo.embedded_mongo(lake.root / "mongo") as uri, mongo.database(uri) as database:
            champion = {
                "_id": "champion",
                "model_version": "1",
                "digest": "1",
                "published_at": bench_micro_batch.NOW,
            }
            mongo.upsert(database["state"], [champion])
            shelf = CatalogCache(lake)
            for name, act in {
                "the store made again": lambda: reconcile.reconcile(database, shelf, lake),
                "looked at, nothing lost": lambda: reconcile.reconcile(database, shelf, lake),
                "segue recommend": lambda: recommend.main(nightly(lake, uri)),
                "segue recommend, nothing new": lambda: recommend.main(nightly(lake, uri)),
                "a thousand plays": lambda: a_thousand(database, shelf, users, each, rng),
            }.items():
                begun = time.monotonic()
                act()
                found[name] = time.monotonic() - begun
            state = embedded_server.read_state(embedded_mongo.MONGO, lake.root / "mongo")
            assert state is not None
            found["store MiB"] = psutil.Process(state[1]).memory_full_info().pss / 2**20
        found["store's file MiB"] = (
            sum(file.stat().st_size for file in (lake.root / "mongo").glob("*.db")) / 2**20
        )
        found["PLAYS MiB"] = sum(f.stat().st_size for f in lake.version(PLAYS).rglob("*.parquet")) / 2**20
    status = Path("/proc/self/status").read_text().splitlines()
    found["this process, peak MiB"] = (
        next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    )
    return found


def nightly(lake: Lake, uri: str) -> argparse.Namespace:
    return argparse.Namespace(lake=str(lake.root), mongo=uri, master="local[2]")


def a_thousand(
    database: Any, shelf: CatalogCache, users: int, each: int, rng: np.random.Generator
) -> None:
    """A batch of the stream's, of a thousand listeners."""
    batch = users * each // bench_micro_batch.BATCH + 1
    micro_batch.apply_plays(
        database, shelf, bench_micro_batch.plays(batch, users, TRACKS, rng), micro_batch.BatchStats()
    )


def plays(which: range, users: int, each: int, rng: np.random.Generator) -> pa.Table:
    """Plays by listeners in turn, over a month; each listener's are of some clusters, so that there is something to learn."""
    numbers, count = np.array(which), len(which)
    own = rng.integers(10, size=count) * 97 + numbers % users * 7
    at = [bench_micro_batch.NOW - timedelta(days=DAYS * (1 - n / (users * each))) for n in numbers.tolist()]
    columns = {
        "event_id": [f"e{number:09d}" for number in numbers.tolist()],
        "user_id": [f"u{number:07d}" for number in (numbers % users).tolist()],
        "track_id": [f"{number:06d}" for number in (own % TRACKS).tolist()],
        "event": rng.choice(["finished", "started", "skipped"], p=[0.6, 0.2, 0.2], size=count).tolist(),
        "position_s": np.full(count, 30.0),
        "duration_s": np.full(count, 30.0),
        "played_at": at,
        "session_id": [f"s{number}" for number in (numbers % users).tolist()],
        "origin": ["plays-0@bench"] * count,
        "offset": numbers,
    }
    return pa.table({name: columns[name] for name in PLAYS.names}, schema=PLAYS.arrow_schema())


def slope(sizes: list[int], values: list[float]) -> str:
    """Return the exponent of growth between the two largest sizes."""
    if len(sizes) < 2 or min(values[-2:]) <= 0:
        return ""
    return f"{math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2]):.2f}"


def table(title: str, sizes: list[int], rows: dict[str, list[float]]) -> None:
    print(f"\n{title:30s}" + "".join(f"{size:>12,d}" for size in sizes) + "   slope")
    for name, values in rows.items():
        print(f"{name:30s}" + "".join(f"{value:12.1f}" for value in values) + f"{slope(sizes, values):>8s}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--listeners", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--plays", type=int, default=20, help="of each listener")
    parser.add_argument(
        "--folder", type=Path, help="where libraries and lakes are kept; else a temporary one"
    )
    parser.add_argument("--json", type=Path, help="all of it, as JSON")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(of_listeners(arguments.one, arguments.plays)))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[0]:.1f}"
    )
    kept = {"tracks": {}, "listeners": {}} | (
        json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    )
    with tempfile.TemporaryDirectory(prefix="segue-growth-") as scratch:
        folder = arguments.folder or Path(scratch)
        for count in arguments.tracks:
            kept["tracks"][str(count)] = of_tracks(folder, count)
            _keep(arguments.json, kept)
    for users in arguments.listeners:
        words = ["-m", "tests.bench.bench_scaling", "--one", str(users), "--plays", str(arguments.plays)]
        said = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True)
        kept["listeners"][str(users)] = json.loads(said.stdout.splitlines()[-1])
        _keep(arguments.json, kept)
    show(kept)


def _keep(file: Path | None, found: dict[str, Any]) -> None:
    if file:
        file.write_text(json.dumps(found, indent=1))


def show(found: dict[str, Any]) -> None:
    if found["tracks"]:
        sizes = sorted(map(int, found["tracks"]))
        steps = [step for step in found["tracks"][str(sizes[0])] if step != "disk"]
        for title, name in (("CPU seconds", "cpu"), ("wall seconds", "wall"), ("peak MiB (PSS, all)", "mib")):
            table(
                f"tracks: {title}",
                sizes,
                {step: [found["tracks"][str(size)][step][name] for size in sizes] for step in steps},
            )
        disk = {
            name: [found["tracks"][str(size)]["disk"][name] for size in sizes] for name in ("audio", "rest")
        }
        table("tracks: MiB on the disk", sizes, disk)
    if found["listeners"]:
        sizes = sorted(map(int, found["listeners"]))
        names = list(found["listeners"][str(sizes[0])])
        table(
            "listeners: seconds, MiB",
            sizes,
            {name: [found["listeners"][str(size)][name] for size in sizes] for name in names},
        )


if __name__ == "__main__":
    main()
