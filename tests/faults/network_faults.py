"""The network to Kafka and MongoDB cut, silent and slow, the clock put back and forward, the disk full, while listeners play.

    python -m tests.faults.network_faults [--seconds 15] [--report network.md] [--clock] [--disk-mib 300]

Serving, the stream, the embedded broker and store, each started again as supervisord would; the first two reach the others
through proxies of ours. A lake of 40 planted tracks in a temporary folder; as root with --disk-mib on a file system of its own,
which is filled to the brim.
Exit 1 where anything that was accepted is lost or doubled.
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
from pathlib import Path

from jobs.online import mongo
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, stream_status
from tests import synthetic_lake
from tests.faults import invariants
from tests.faults.disk_full import disk, fill, free
from tests.faults.network_proxy import Proxy
from tests.faults.simulated_clients import Listener, Promises, invite
from tests.services.conftest import SEGUE, environment
from tests.services.player import free_port

_READY_S, _EMPTY_S = 120, 240

# `python -m jobs.runtime.embedded_kafka`; but who asks that broker where it is must be sent to the proxy, too.
_KEPT_BROKER = """\
import sys
from pathlib import Path
from jobs.runtime import embedded_kafka as broker, embedded_server as embedded
port = "advertised.listeners=PLAINTEXT://127.0.0.1:"
broker._SETTINGS = broker._SETTINGS.replace(port + "{port}", port + sys.argv[1])
embedded.keep(broker.KAFKA, Path(sys.argv[2]))
"""


class Kept:
    """A command that is started again when it ends, a second later, as supervisord does it."""

    def __init__(self, lake: Path, name: str, command: list[str], given: dict[str, str]) -> None:
        self.log, self.starts = lake / "logs" / f"{name}.out", 0
        self._command, self._given, self._told = command, given, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.log.parent.mkdir(exist_ok=True)
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._told.is_set():
            with self.log.open("ab") as out:
                self._process = subprocess.Popen(self._command, env=self._given, stdout=out, stderr=out)
            self.starts += 1
            self._process.wait()
            self._told.wait(1)

    def said(self) -> list[str]:
        """Return the lines so far."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def stop(self) -> None:
        """End it."""
        self._told.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(60)


class Clock:
    """The time of day of every process that is started with `given`; those that run follow it at once."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        self._file, library = folder / "clock", folder / "clock.so"
        self._file.write_bytes(bytes(8))
        self.given = {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(self._file)} if wanted else {}
        if wanted:
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)

    def set(self, seconds: int) -> None:
        """Be so much ahead of the time."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=15, help="of each trouble, and of the quiet after it"
    )
    parser.add_argument("--report", default="network.md")
    parser.add_argument("--clock", action="store_true", help="the clock jumps, too; needs cc")
    parser.add_argument(
        "--disk-mib", type=int, default=0, help="as root: the lake on a disk of this size, which is filled"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-network-"))
    with disk(folder, arguments.disk_mib):
        text, good = soak(folder / "lake", arguments)
        Path(arguments.report).write_text(text)
    print(text)
    if good:
        shutil.rmtree(folder)
    return 0 if good else 1


@dataclass
class Place:
    """Everything at work: the two networks, the clock, what is kept, where the player and the store are."""

    lake: Path
    kafka: Proxy
    store: Proxy
    clock: Clock
    kept: list[Kept]
    player: str
    uri: str


@contextmanager
def started(lake: Path, clock: Clock) -> Iterator[Place]:
    """Start broker, store, stream and serving, the last two behind proxies; end them after the block."""
    with ExitStack() as stack:
        # Its port is known before it answers, which it is asked for through the proxy already.
        kafka = Proxy(lambda: int(json.loads((lake / "kafka" / "ports.json").read_text())[0]))
        plain = environment(lake) | clock.given

        def keep(name: str, command: list[str], **given: str) -> Kept:
            kept = Kept(lake, name, command, plain | given)
            stack.callback(kept.stop)
            return kept

        keep("broker", [sys.executable, "-c", _KEPT_BROKER, str(kafka.port), str(lake / "kafka")])
        keep("store", [sys.executable, "-m", "jobs.runtime.embedded_mongo", str(lake / "mongo")])
        if not invariants.wait_until(lambda: _answer(lake), _READY_S):
            raise SystemExit(f"broker and store did not start; see {lake}/logs")
        store = Proxy(lambda: int(_port(lake)))
        uri, port = f"mongodb://127.0.0.1:{store.port}/segue", free_port()
        with mongo.database(uri) as database:
            mongo.upsert(database["settings"], [{"_id": "champion", "model_version": "1", "digest": "1"}])
        given = {"SEGUE_MONGO": uri, "SEGUE_KAFKA": f"127.0.0.1:{kafka.port}"}
        kept = [
            keep("stream", [SEGUE, "stream"], **given),
            keep("serve", [SEGUE, "serve", "--port", str(port)], **given),
        ]
        if not invariants.wait_until(lambda: stream_status.is_alive(lake), _READY_S):
            raise SystemExit(f"the stream did not start; see {kept[0].log}")
        yield Place(lake, kafka, store, clock, kept, f"http://127.0.0.1:{port}", uri)


def soak(lake: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """One trouble after another; return the report, and whether all is well."""
    synthetic_lake.make(lake)
    secrets = invite(lake, [f"listener-{number}" for number in range(4)])
    rows: list[str] = []
    with started(lake, Clock(lake.parent, arguments.clock)) as place:
        promises = Promises()
        listeners = [
            Listener(place.player, name, secret, promises, rate=2, patient=number % 2 == 0, seed=1)
            for number, (name, secret) in enumerate(secrets.items())
        ]
        for listener in listeners:
            listener.start()
        time.sleep(arguments.seconds)
        for name, begin, end in troubles(place, arguments):
            rows.append(meet(name, begin, end, promises, place, arguments.seconds))
            print(rows[-1], flush=True)
        for listener in listeners:
            listener.stop()
        empty = invariants.wait_until(lambda: promises.accepted <= invariants.heard(lake), _EMPTY_S)
        time.sleep(5)  # what follows from the last plays is written after them
        wrong = invariants.wrong(lake, promises, place.uri)
        found = [("the stream comes to its end", "" if empty else "events wait"), *wrong]
    return report(promises, rows, found), not any(wrong for _, wrong in found)


def report(promises: Promises, rows: list[str], found: list[tuple[str, str]]) -> str:
    """Return it all in Markdown."""
    lines = [
        f"{os.cpu_count()} cores; {len(promises.sent)} events sent, {len(promises.accepted)} accepted, {promises.refused} "
        f"answers other than 2xx, longest time without audio {max(promises.silences, default=0):.1f} s.",
        "",
        "| trouble | accepted meanwhile | heard again after, s | starts of stream, serving | said first |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        "| must hold | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
    ]
    return "\n".join(lines) + "\n"


def _answer(lake: Path) -> bool:
    """Tell whether the lake's broker and store do their work."""
    return embedded_server.is_running(embedded_kafka.KAFKA, lake / "kafka") and embedded_server.is_running(
        embedded_mongo.MONGO, lake / "mongo"
    )


def _port(lake: Path) -> str:
    """Return the port of the lake's store, as of its last start."""
    found = embedded_server.read_state(embedded_mongo.MONGO, lake / "mongo")
    return found[0].rpartition(":")[2].partition("/")[0] if found else "1"


Trouble = tuple[str, Callable[[], object], Callable[[], object]]


def troubles(place: Place, arguments: argparse.Namespace) -> list[Trouble]:
    """Return each trouble's name, how it begins and how it ends."""
    made: list[Trouble] = [
        (
            f"{name} {mode}",
            lambda proxy=proxy, mode=mode: proxy.set(mode),
            lambda proxy=proxy: proxy.set("open"),
        )
        for name, proxy in (("Kafka", place.kafka), ("MongoDB", place.store))
        for mode in ("cut", "silent", "slow")
    ]
    if arguments.clock:
        made += [
            ("the clock an hour ahead", lambda: place.clock.set(3600), lambda: place.clock.set(0)),
            ("the clock an hour behind", lambda: place.clock.set(-3600), lambda: place.clock.set(0)),
        ]
    if arguments.disk_mib:
        made.append(("the disk full", lambda: fill(place.lake), lambda: free(place.lake)))
    return made


def meet(
    name: str,
    begin: Callable[[], object],
    end: Callable[[], object],
    promises: Promises,
    place: Place,
    seconds: float,
) -> str:
    """Let a trouble last and pass; return its row of the report."""
    lake, kept = place.lake, place.kept
    before, starts, said = (
        len(promises.accepted),
        [each.starts for each in kept],
        [len(each.said()) for each in kept],
    )
    begin()
    time.sleep(seconds)
    accepted = len(promises.accepted) - before
    end()
    over = time.monotonic()
    wanted = set(promises.accepted)
    again = invariants.wait_until(lambda: wanted <= invariants.heard(lake), _EMPTY_S)
    heard = f"{time.monotonic() - over:.0f}" if again else "not"
    time.sleep(seconds / 2)
    lines = [
        line
        for each, at in zip(kept, said, strict=True)
        for line in each.said()[at:]
        if "Traceback" not in line
    ]
    ended = " / ".join(str(each.starts - at) for each, at in zip(kept, starts, strict=True))
    return f"| {name} | {accepted} | {heard} | {ended} | {len(lines)} lines: {'; '.join(lines[:2])[:200]} |"


if __name__ == "__main__":
    sys.exit(main())
