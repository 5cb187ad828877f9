"""How every step scales with tracks and with users: CPU, memory, disk, and the slope of each.

    python -m tests.bench.bench_scaling [--tracks 100 1000 10000] [--listeners 1000 10000 100000] [--plays 20]
    [--folder DIR]

Tracks: clips of `segue demo`, each cut into ten pieces of about two seconds, so that 10,000 of them can be
processed in an hour (bench_batch.py measures how long a clip of 30 s takes to decode). Every step of `segue
run` is run as a command of its own, then all of them again with nothing new. Seconds are of CPU, of the
command and everything it starts: other work on the machine changes them little; wall-clock seconds stand
beside. The start of a command (Python, Spark, the store) is included, so the slope, an exponent, is that from
the second largest to the largest size. A slope of 1 is proportional to the tracks; more is a defect.

Users: `--plays` plays each on a thousand synthetic tracks; measured are rebuilding the store from PLAYS,
`segue recommend`, and a batch of the stream. Each size runs in a process of its own.
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
from jobs.online import mongo, state
from jobs.pipeline import STEPS
from jobs.plays import play_log
from jobs.runtime import embedded_mongo, embedded_server
from jobs.steps import recommend
from jobs.streaming import micro_batch, reconcile
from jobs.streaming.catalog_cache import CatalogCache
from tests.bench import bench_micro_batch
from tests.services.conftest import SEGUE, environment

PIECES = 10
N_TRACKS = 1_000
DAYS = 30

# Arguments of a step beside its name.
STEP_ARGUMENTS = {"compress": ("--library", "{music}"), "promote": ("--allow-refusal",)}

# Rows of PLAYS that are generated at once.
CHUNK = 200_000

MIB = 2**20


class ResourceMonitor(threading.Thread):
    """CPU seconds and peak memory (PSS, MiB) of a process and all that it starts, sampled twice a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._stopped = threading.Event()
        self.cpu_s = 0.0
        self.peak_mib = 0.0

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.wait(0.5):
            with suppress(psutil.Error):
                self._sample()

    def _sample(self) -> None:
        cpu_s = 0.0
        pss = 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                # The first four are of the process and of its children that have ended.
                cpu_s += sum(process.cpu_times()[:4])
                pss += process.memory_full_info().pss
        self.cpu_s = max(self.cpu_s, cpu_s)
        self.peak_mib = max(self.peak_mib, pss / MIB)


def measure_command(lake: Path, arguments: list[str]) -> dict[str, float]:
    """Run one command; return its CPU and wall seconds and its peak memory."""
    started = time.monotonic()
    process = subprocess.Popen(
        [SEGUE, *arguments],
        env=environment(lake),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    monitor = ResourceMonitor(process.pid)
    monitor.start()
    errors = process.communicate()[1]
    monitor.stop()
    if process.returncode:
        raise SystemExit(f"segue {' '.join(arguments)}: exit {process.returncode}\n{errors}")
    return {"cpu": monitor.cpu_s, "wall": time.monotonic() - started, "mib": monitor.peak_mib}


def measure_tracks(folder: Path, n_tracks: int) -> dict[str, dict[str, float]]:
    """Return what every step needs for this many tracks, and the disk space it leaves used."""
    clips = folder / "demo"
    music = folder / f"music-{n_tracks}"
    lake = folder / f"lake-{n_tracks}"
    n_clips = n_tracks // PIECES
    demo = ["demo", "--out", str(clips), "--tracks", str(n_clips)]
    results = {"demo, a tenth": measure_command(lake, demo)}
    cut_clips(clips, music, n_clips)
    for step in (step.name for step in STEPS):
        options = [word.format(music=music) for word in STEP_ARGUMENTS.get(step, ())]
        results[step] = measure_command(lake, [step, *options])
        print(f"  {n_tracks} tracks: {step} {results[step]['wall']:.1f} s", flush=True)
    results["run, nothing new"] = measure_command(lake, ["run", "--library", str(music)])
    results["disk"] = disk_usage(lake)
    return results


def disk_usage(lake: Path) -> dict[str, float]:
    """Return MiB of audio and of everything else in a lake."""
    files = [file for file in lake.rglob("*") if file.is_file() and not file.is_symlink()]
    audio = sum(file.stat().st_size for file in files if lake / "audio" in file.parents)
    total = sum(file.stat().st_size for file in files)
    return {"audio": audio / MIB, "rest": (total - audio) / MIB}


def cut_clips(clips: Path, music: Path, n_clips: int) -> None:
    """Cut the first clips into pieces, without encoding them again."""
    music.mkdir(exist_ok=True)
    for number in range(n_clips):
        source = clips / clip(number).path
        seconds = float(mutagen.File(source).info.length) / PIECES
        segments = ["-f", "segment", "-segment_time", f"{seconds:.3f}", "-reset_timestamps", "1"]
        out = music / f"{number:06d} %02d{source.suffix}"
        ffmpeg = [ffmpeg_path(), "-nostdin", "-y", "-i", str(source), "-map", "0:a", "-c", "copy"]
        subprocess.run([*ffmpeg, *segments, str(out)], check=True, capture_output=True)


def measure_users(n_users: int, plays_per_user: int) -> dict[str, float]:
    """Return the seconds and MiB that this many users with this many plays each need."""
    rng = np.random.default_rng(0)
    n_plays = n_users * plays_per_user
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="segue-scaling-") as scratch, threadpool_limits(1):
        lake = Lake(Path(scratch))
        bench_micro_batch.write(lake, N_TRACKS)
        for start in range(0, n_plays, CHUNK):
            rows = synthetic_plays(range(start, min(start + CHUNK, n_plays)), n_users, plays_per_user, rng)
            play_log.play_table(lake).append(f"{start}", rows)
        with embedded_mongo.embedded_mongo(lake.root / "mongo") as uri, mongo.database(uri) as database:
            champion = {"_id": state.CHAMPION, "model_version": "1", "digest": "1"}
            state.write(database, {**champion, "published_at": bench_micro_batch.NOW})
            catalog_cache = CatalogCache(lake)
            actions = {
                "rebuilding the store": lambda: reconcile.reconcile(database, catalog_cache, lake),
                "reconciliation, nothing to do": lambda: reconcile.reconcile(database, catalog_cache, lake),
                "segue recommend": lambda: recommend.main(nightly_arguments(lake, uri)),
                "segue recommend, nothing new": lambda: recommend.main(nightly_arguments(lake, uri)),
                "a thousand plays": lambda: apply_batch(
                    database, catalog_cache, n_users, plays_per_user, rng
                ),
            }
            for name, action in actions.items():
                started = time.monotonic()
                action()
                results[name] = time.monotonic() - started
            server = embedded_server.read_state(embedded_mongo.MONGO, lake.root / "mongo")
            assert server is not None
            results["store MiB"] = psutil.Process(server[1]).memory_full_info().pss / MIB
        store_files = (lake.root / "mongo").glob("*.db")
        results["store's file MiB"] = sum(file.stat().st_size for file in store_files) / MIB
        play_files = (lake.root / PLAYS.name).rglob("*.parquet")
        results["PLAYS MiB"] = sum(file.stat().st_size for file in play_files) / MIB
    results["this process, peak MiB"] = peak_memory_mib()
    return results


def peak_memory_mib() -> float:
    """Return the peak resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return kilobytes / 1024


def nightly_arguments(lake: Lake, uri: str) -> argparse.Namespace:
    return argparse.Namespace(lake=str(lake.root), mongo=uri, master="local[2]")


def apply_batch(
    database: Any, catalog_cache: CatalogCache, n_users: int, plays_per_user: int, rng: np.random.Generator
) -> None:
    """Apply a batch of the stream, by a thousand users."""
    number = n_users * plays_per_user // bench_micro_batch.BATCH + 1
    plays = bench_micro_batch.plays(number, n_users, N_TRACKS, rng)
    micro_batch.apply_plays(database, catalog_cache, plays, micro_batch.BatchStats())


def synthetic_plays(numbers: range, n_users: int, plays_per_user: int, rng: np.random.Generator) -> pa.Table:
    """Return plays over a month, by the users in turn.

    Each user's are of some clusters, so that there is a pattern.
    """
    offsets = np.array(numbers)
    users = offsets % n_users
    tracks = (rng.integers(10, size=len(offsets)) * 97 + users * 7) % N_TRACKS
    n_plays = n_users * plays_per_user
    columns = {
        "event_id": [f"e{number:09d}" for number in numbers],
        "user_id": [f"u{user:07d}" for user in users.tolist()],
        "track_id": [f"{track:06d}" for track in tracks.tolist()],
        "event": rng.choice(
            ["finished", "started", "skipped"], p=[0.6, 0.2, 0.2], size=len(offsets)
        ).tolist(),
        "position_s": np.full(len(offsets), 30.0),
        "duration_s": np.full(len(offsets), 30.0),
        "played_at": [
            bench_micro_batch.NOW - timedelta(days=DAYS * (1 - number / n_plays)) for number in numbers
        ],
        "session_id": [f"s{user}" for user in users.tolist()],
        "origin": ["plays-0@bench"] * len(offsets),
        "offset": offsets,
    }
    return pa.table({name: columns[name] for name in PLAYS.names}, schema=PLAYS.arrow_schema())


def slope(sizes: list[int], values: list[float]) -> str:
    """Return the exponent of growth between the two largest sizes, "" with fewer than two."""
    if len(sizes) < 2 or min(values[-2:]) <= 0:
        return ""
    return f"{math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2]):.2f}"


def print_table(title: str, sizes: list[int], rows: dict[str, list[float]]) -> None:
    print(f"\n{title:30s}" + "".join(f"{size:>12,d}" for size in sizes) + "   slope")
    for name, values in rows.items():
        print(f"{name:30s}" + "".join(f"{value:12.1f}" for value in values) + f"{slope(sizes, values):>8s}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tracks", type=int, nargs="*", default=[100, 1_000, 10_000], help="sizes of the library in tracks"
    )
    parser.add_argument(
        "--listeners", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="numbers of users"
    )
    parser.add_argument("--plays", type=int, default=20, help="plays per user (default 20)")
    parser.add_argument(
        "--folder", type=Path, help="folder for libraries and lakes (default: a temporary one)"
    )
    parser.add_argument("--json", type=Path, help="file to which the results are added, as JSON")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.one:
        print(json.dumps(measure_users(arguments.one, arguments.plays)))
        return
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {today}, load {os.getloadavg()[0]:.1f}")
    results: dict[str, Any] = {"tracks": {}, "listeners": {}}
    if arguments.json and arguments.json.exists():
        results |= json.loads(arguments.json.read_text())
    with tempfile.TemporaryDirectory(prefix="segue-scaling-") as scratch:
        folder = arguments.folder or Path(scratch)
        for n_tracks in arguments.tracks:
            results["tracks"][str(n_tracks)] = measure_tracks(folder, n_tracks)
            write_results(arguments.json, results)
    for n_users in arguments.listeners:
        words = ["-m", "tests.bench.bench_scaling", "--one", str(n_users), "--plays", str(arguments.plays)]
        output = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True).stdout
        results["listeners"][str(n_users)] = json.loads(output.splitlines()[-1])
        write_results(arguments.json, results)
    print_results(results)


def write_results(file: Path | None, results: dict[str, Any]) -> None:
    if file:
        file.write_text(json.dumps(results, indent=1))


def print_results(results: dict[str, Any]) -> None:
    if results["tracks"]:
        print_track_results(results["tracks"])
    if results["listeners"]:
        by_users = results["listeners"]
        sizes = sorted(map(int, by_users))
        rows = {name: [by_users[str(size)][name] for size in sizes] for name in by_users[str(sizes[0])]}
        print_table("users: seconds, MiB", sizes, rows)


def print_track_results(by_tracks: dict[str, Any]) -> None:
    sizes = sorted(map(int, by_tracks))
    steps = [step for step in by_tracks[str(sizes[0])] if step != "disk"]
    for title, name in (("CPU seconds", "cpu"), ("wall seconds", "wall"), ("peak MiB (PSS, all)", "mib")):
        rows = {step: [by_tracks[str(size)][step][name] for size in sizes] for step in steps}
        print_table(f"tracks: {title}", sizes, rows)
    disk = {name: [by_tracks[str(size)]["disk"][name] for size in sizes] for name in ("audio", "rest")}
    print_table("tracks: MiB on disk", sizes, disk)


if __name__ == "__main__":
    main()
