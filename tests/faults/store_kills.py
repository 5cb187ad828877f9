"""kill -9 on a process that commits, appends and compacts in a lake in an object store, again and again.

    python -m tests.faults.store_kills [--kills 50] [--seed 1] [--report store_kills.md]

Between writer and store a proxy loses answers of puts and answers 503. A reader looks all the time, and again
after each kill: a table is one version whole, the last that was acknowledged or the one after it, and PLAYS
has each acknowledged play once. SEGUE_TEST_STORE names another server than moto (`tests/object_store.py`).
"""

import argparse
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from jobs.lake.schemas import PLAYS, VECTORS
from jobs.lake.storage import Lake
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay, PlayEvent
from tests.object_store import BUCKET, FaultProxy, served_store

_ROWS = 300
_PLAYS = 5
_COMPACT_EVERY = 4
_START = datetime(2026, 11, 1, tzinfo=UTC)
_WAIT_S = 120


def plays(number: int) -> pa.Table:
    """Return the plays of one append."""
    rows = [
        LoggedPlay(
            PlayEvent(
                event_id=f"e{number}-{each}",
                user_id="u",
                track_id="2",
                event="finished",
                played_at=_START + timedelta(hours=7 * number + each),
            ),
            "plays-0@x",
            number * _PLAYS + each,
        )
        for each in range(_PLAYS)
    ]
    return play_log.to_arrow(rows)


def write(root: Path, url: str) -> None:
    """Write for ever, from where an earlier writer was killed; print what is acknowledged."""
    lake = Lake(root, url)
    with lake.locked():
        print("ready", flush=True)
        number = max(_whole_version(lake), 0)
        while True:
            number += 1
            rows = [
                {"embedder_id": str(number), "track_id": f"{each:04d}", "embedding": [1.0] * 8}
                for each in range(_ROWS)
            ]
            lake.commit_arrow(VECTORS, pa.Table.from_pylist(rows, VECTORS.arrow_schema()).to_batches(100))
            print(f"committed {number}", flush=True)
            play_log.play_table(lake).append(f"plays-0@x.{number}", plays(number))
            print(f"appended {number}", flush=True)
            if number % _COMPACT_EVERY == 0:
                play_log.compact(lake)


def _whole_version(lake: Lake) -> int:
    """Return the number that every row of VECTORS has, -1 without rows; AssertionError if they differ."""
    rows = lake.read_arrow(VECTORS, "embedder_id")["embedder_id"].to_pylist()
    assert not rows or (len(set(rows)) == 1 and len(rows) == _ROWS), f"{len(rows)} rows of {set(rows)}"
    return int(rows[0]) if rows else -1


class Reader(threading.Thread):
    """Reads all the time; notes what it found that must not be."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(daemon=True)
        self.violations: list[str] = []
        self.reads = 0
        self._lake = lake
        self._stop_event = threading.Event()

    def run(self) -> None:
        last = -1
        while not self._stop_event.wait(0.02):
            try:
                number = _whole_version(self._lake)
                if number < last:
                    self.violations.append(f"version {number} after {last}")
                last = number
            except FileNotFoundError:  # two commits since the manifest was read: as on a disk
                continue
            except Exception as error:
                self.violations.append(f"{type(error).__name__}: {error}")
            self.reads += 1

    def end(self) -> None:
        """Read no more."""
        self._stop_event.set()
        self.join(_WAIT_S)


def kill_once(root: Path, url: str, seconds: float) -> dict[str, set[int]]:
    """Run a writer, kill it `seconds` after it is ready; return the numbers that it acknowledged."""
    command = [sys.executable, "-m", "tests.faults.store_kills", "--write", str(root), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        timer = threading.Timer(_WAIT_S, process.kill)  # one that does not start
        timer.start()
        ready = process.stdout.readline()
        timer.cancel()
        assert ready == "ready\n", f"the writer said {ready!r}"
        time.sleep(seconds)
        process.kill()
        lines = [line.split() for line in process.stdout.read().splitlines()]
    return {
        action: {int(words[1]) for words in lines if len(words) == 2 and words[0] == action}
        for action in ("committed", "appended")
    }


def run(kills: int, seed: int, proxy: FaultProxy, longest_s: float = 0.8) -> tuple[list[str], str]:
    """Kill `kills` writers; return the violations, and a line about what was done."""
    rng = random.Random(seed)
    url = f"s3://{BUCKET}/{secrets.token_hex(4)}/lake"
    violations: list[str] = []
    appended: set[int] = set()
    version = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "writer"
        reader_lake = Lake(Path(folder) / "reader", url)
        reader = Reader(reader_lake)
        reader.start()
        for _ in range(kills):
            proxy.faults.lost, proxy.faults.unavailable = rng.randrange(3), rng.randrange(3)
            acknowledged = kill_once(root, url, rng.uniform(0, longest_s))
            proxy.faults.lost = proxy.faults.unavailable = 0
            appended |= acknowledged["appended"]
            last = max(acknowledged["committed"], default=version)
            version = max(_whole_version(reader_lake), 0)
            if version not in (last, last + 1):
                violations.append(f"version {version} after {last} was acknowledged")
            violations += _check_plays(reader_lake, appended)
        reader.end()
        violations += reader.violations
    puts = sum(command == "PUT" for command, _ in proxy.faults.requests)
    done = f"{kills} kills, {version} versions, {len(appended)} appends, {puts} puts"
    return violations, f"{done}, {reader.reads} whole reads, {len(violations)} violations"


def _check_plays(lake: Lake, appended: set[int]) -> list[str]:
    """Return what is not as it must be in PLAYS after a kill; `appended` are all acknowledged appends."""
    violations = []
    ids = play_log.read(lake, "event_id")["event_id"].to_pylist()
    expected = {f"e{number}-{each}" for number in appended for each in range(_PLAYS)}
    if missing := expected - set(ids):
        violations.append(f"{len(missing)} acknowledged plays are lost: {sorted(missing)[:3]}")
    if len(ids) != len(set(ids)):
        violations.append("plays are doubled")
    compacted = lake.read_arrow(PLAYS, "event_id")["event_id"].to_pylist()
    if len(compacted) != len(set(compacted)):
        violations.append("plays are doubled in the compacted version")
    return violations


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write the result to this file")
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(Path(arguments.write[0]), arguments.write[1])
    with served_store() as proxy:
        violations, line = run(arguments.kills, arguments.seed, proxy)
    report = "\n".join(["# kill -9 of writers to an object store", "", line, *violations, ""])
    print(report)
    if arguments.report:
        arguments.report.write_text(report)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
