"""Faults while clients play: the network to Kafka and MongoDB cut, silent and slow; clock jumps; a full disk.

    python -m tests.faults.network_faults [--seconds 15] [--report FILE.md] [--clock] [--disk-mib 300]

Serving, the stream, the embedded broker and store are restarted as supervisord would; serving and stream
reach the others through proxies. The lake has 40 synthetic tracks in a temporary folder; with --disk-mib
(needs root) on a file system of its own, which is filled. Exit 1 if an accepted event is lost or doubled.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.online import mongo
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, stream_status
from tests import synthetic_lake
from tests.faults import invariants
from tests.faults.disk_full import disk, fill, free
from tests.faults.network_proxy import Proxy
from tests.faults.simulated_clients import Promises, SimulatedClient, add_users
from tests.services.conftest import SEGUE, environment
from tests.services.player import free_port

_READY_S, _EMPTY_S = 120, 240

# `python -m jobs.runtime.embedded_kafka`, with the proxy's port advertised to clients.
_BROKER_BEHIND_PROXY = """\
import sys
from pathlib import Path
from jobs.runtime import embedded_kafka as broker, embedded_server as embedded
port = "advertised.listeners=PLAINTEXT://127.0.0.1:"
broker._SETTINGS = broker._SETTINGS.replace(port + "{port}", port + sys.argv[1])
embedded.serve_forever(broker.KAFKA, Path(sys.argv[2]))
"""


class SupervisedCommand:
    """A command that is restarted a second after it ends, as supervisord does."""

    def __init__(self, lake: Path, name: str, command: list[str], variables: dict[str, str]) -> None:
        self.log, self.starts = lake / "logs" / f"{name}.out", 0
        self._command, self._environment, self._stopped = command, variables, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.log.parent.mkdir(exist_ok=True)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self.log.open("ab") as out:
                self._process = subprocess.Popen(self._command, env=self._environment, stdout=out, stderr=out)
            self.starts += 1
            self._process.wait()
            self._stopped.wait(1)

    def lines(self) -> list[str]:
        """Return the lines printed so far."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def stop(self) -> None:
        """Terminate the command and stop restarting it."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(60)


class Clock:
    """Shifts the time of day of every process started with `environment`, at once and while it runs."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        self._file, library = folder / "clock", folder / "clock.so"
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(self._file)} if wanted else {}
        if wanted:
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)

    def set(self, seconds: int) -> None:
        """Shift the clock by `seconds` against the real time."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=15,
        help="duration of each fault, and of the pause after it (default %(default)s)",
    )
    parser.add_argument("--report", default="network_faults.md")
    parser.add_argument("--clock", action="store_true", help="also let the clock jump; needs cc")
    parser.add_argument(
        "--disk-mib", type=int, default=0, help="put the lake on a disk of this size and fill it; needs root"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-network-"))
    with disk(folder, arguments.disk_mib):
        text, good = inject_all(folder / "lake", arguments)
        Path(arguments.report).write_text(text)
    print(text)
    if good:
        shutil.rmtree(folder)
    return 0 if good else 1


@dataclass
class TestBed:
    """The running parts: two proxies, the clock, supervised commands, addresses of player and store."""

    lake: Path
    kafka: Proxy
    store: Proxy
    clock: Clock
    commands: list[SupervisedCommand]
    player: str
    uri: str


@contextmanager
def start_test_bed(lake: Path, clock: Clock) -> Iterator[TestBed]:
    """Run broker, store, stream and serving during the block, the last two behind proxies."""
    with ExitStack() as stack:
        # The port file is written before the broker answers, and clients already go through the proxy.
        kafka = Proxy(lambda: int(json.loads((lake / "kafka" / "ports.json").read_text())[0]))
        plain = environment(lake) | clock.environment

        def supervise(name: str, command: list[str], **variables: str) -> SupervisedCommand:
            commands = SupervisedCommand(lake, name, command, plain | variables)
            stack.callback(commands.stop)
            return commands

        supervise(
            "broker", [sys.executable, "-c", _BROKER_BEHIND_PROXY, str(kafka.port), str(lake / "kafka")]
        )
        supervise("store", [sys.executable, "-m", "jobs.runtime.embedded_mongo", str(lake / "mongo")])
        if not invariants.wait_until(lambda: _servers_answer(lake), _READY_S):
            raise SystemExit(f"broker and store did not start; see {lake}/logs")
        store = Proxy(lambda: int(_store_port(lake)))
        uri, port = f"mongodb://127.0.0.1:{store.port}/segue", free_port()
        with mongo.database(uri) as database:
            mongo.upsert(database["state"], [{"_id": "champion", "model_version": "1", "digest": "1"}])
        variables = {"SEGUE_MONGO": uri, "SEGUE_KAFKA": f"127.0.0.1:{kafka.port}"}
        commands = [
            supervise("stream", [SEGUE, "stream"], **variables),
            supervise("serve", [SEGUE, "serve", "--port", str(port)], **variables),
        ]
        if not invariants.wait_until(lambda: stream_status.is_alive(lake), _READY_S):
            raise SystemExit(f"the stream did not start; see {commands[0].log}")
        yield TestBed(lake, kafka, store, clock, commands, f"http://127.0.0.1:{port}", uri)


def inject_all(lake: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """Inject one fault after another; return the report and whether every invariant holds."""
    synthetic_lake.make(lake)
    secrets = add_users(lake, [f"listener-{number}" for number in range(4)])
    rows: list[str] = []
    with start_test_bed(lake, Clock(lake.parent, arguments.clock)) as test_bed:
        promises = Promises()
        listeners = [
            SimulatedClient(test_bed.player, name, secret, promises, rate=2, patient=number % 2 == 0, seed=1)
            for number, (name, secret) in enumerate(secrets.items())
        ]
        for listener in listeners:
            listener.start()
        time.sleep(arguments.seconds)
        for name, begin, end in faults(test_bed, arguments):
            rows.append(inject(name, begin, end, promises, test_bed, arguments.seconds))
            print(rows[-1], flush=True)
        for listener in listeners:
            listener.stop()
        empty = invariants.wait_until(
            lambda: promises.accepted <= invariants.event_ids_in_plays(lake), _EMPTY_S
        )
        time.sleep(5)  # feedback and lists are written after the plays
        wrong = invariants.violations(lake, promises, test_bed.uri)
        found = [("the stream has processed every event", "" if empty else "events are pending"), *wrong]
    return report(promises, rows, found), not any(wrong for _, wrong in found)


def report(promises: Promises, rows: list[str], found: list[tuple[str, str]]) -> str:
    """Return the report in Markdown."""
    lines = [
        f"{os.cpu_count()} cores; {len(promises.sent)} events sent, {len(promises.accepted)} accepted, "
        f"{promises.refused} answers other than 2xx, "
        f"longest time without audio {max(promises.silences, default=0):.1f} s.",
        "",
        "| fault | accepted during it | processed after, s | restarts of stream, serving | first lines |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        "| invariant | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
    ]
    return "\n".join(lines) + "\n"


def _servers_answer(lake: Path) -> bool:
    """Return whether the lake's broker and store answer."""
    return embedded_server.is_running(embedded_kafka.KAFKA, lake / "kafka") and embedded_server.is_running(
        embedded_mongo.MONGO, lake / "mongo"
    )


def _store_port(lake: Path) -> str:
    """Return the port of the lake's store since its last start."""
    found = embedded_server.read_state(embedded_mongo.MONGO, lake / "mongo")
    return found[0].rpartition(":")[2].partition("/")[0] if found else "1"


Fault = tuple[str, Callable[[], object], Callable[[], object]]


def faults(test_bed: TestBed, arguments: argparse.Namespace) -> list[Fault]:
    """Return each fault's name, how it starts and how it ends."""
    made: list[Fault] = [
        (
            f"{name} {mode}",
            partial(proxy.set, mode),
            partial(proxy.set, "open"),
        )
        for name, proxy in (("Kafka", test_bed.kafka), ("MongoDB", test_bed.store))
        for mode in ("cut", "silent", "slow")
    ]
    if arguments.clock:
        made += [
            ("the clock an hour ahead", lambda: test_bed.clock.set(3600), lambda: test_bed.clock.set(0)),
            ("the clock an hour behind", lambda: test_bed.clock.set(-3600), lambda: test_bed.clock.set(0)),
        ]
    if arguments.disk_mib:
        made.append(("the disk full", lambda: fill(test_bed.lake), lambda: free(test_bed.lake)))
    return made


def inject(
    name: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    promises: Promises,
    test_bed: TestBed,
    seconds: float,
) -> str:
    """Inject one fault for `seconds`, wait for recovery; return its row of the report."""
    lake, commands = test_bed.lake, test_bed.commands
    before, starts, output = (
        len(promises.accepted),
        [each.starts for each in commands],
        [len(each.lines()) for each in commands],
    )
    begin()
    time.sleep(seconds)
    accepted = len(promises.accepted) - before
    end()
    over = time.monotonic()
    wanted = set(promises.accepted)
    again = invariants.wait_until(lambda: wanted <= invariants.event_ids_in_plays(lake), _EMPTY_S)
    recovered_after = f"{time.monotonic() - over:.0f}" if again else "not"
    time.sleep(seconds / 2)
    lines = [
        line
        for each, at in zip(commands, output, strict=True)
        for line in each.lines()[at:]
        if "Traceback" not in line
    ]
    ended = " / ".join(str(each.starts - at) for each, at in zip(commands, starts, strict=True))
    first_lines = "; ".join(lines[:2])[:200]
    return f"| {name} | {accepted} | {recovered_after} | {ended} | {len(lines)} lines: {first_lines} |"


if __name__ == "__main__":
    sys.exit(main())
