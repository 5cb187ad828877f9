"""The disk full at each writer: at every step of the batch, then at all of `segue up` while listeners play.

    python -m tests.faults.disk_full [--mib 600] [--seconds 20] [--report disk.md]        (as root, who may mount)

The lake is on a file system of its own, which is filled to the brim, or to little before it; after that each step must do what
it does on an empty disk, and every service come back by itself. Exit 1 where anything is otherwise, and the lake's logs stay.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.pipeline import STEPS
from jobs.runtime import health, processes, stream_status, supervisor
from tests.faults import invariants
from tests.faults.simulated_clients import Listener, Promises, invite
from tests.services.conftest import SEGUE, environment, portable

# Bytes that are left when a step begins: none, and enough to begin with.
ROOMS = (0, 100 << 10)

# Tables whose rows do not name a model; its version is a number more where a step was tried again.
TABLES = ("FILES", "TRACKS", "FEATURES", "PAIRS", "PROJECTIONS", "VECTORS", "REJECTS")

_UP_S, _EMPTY_S = 300, 240


@contextmanager
def disk(folder: Path, mib: int) -> Iterator[None]:
    """Have the folder on a file system of its own, of so many MiB; 0: where it is."""
    if not mib:
        yield
        return
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(lake: Path, room: int = 0) -> None:
    """Leave so many bytes, no more, on the lake's disk."""
    with (lake.parent / "ballast").open("ab", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"\0" * 65_536):
                pass
        file.truncate(max(0, file.tell() - room))


def free(lake: Path) -> None:
    """Take away what fills the disk."""
    (lake.parent / "ballast").unlink()


def step(lake: Path, name: str, music: Path) -> subprocess.CompletedProcess[str]:
    """Run a step of the batch as a command."""
    words = {"compress": ["--library", str(music)], "cluster": ["--k", "3", "--seeds", "1"]}
    command = [SEGUE, name, *words.get(name, [])]
    return subprocess.run(
        command, env=environment(lake), capture_output=True, text=True, timeout=600, check=False
    )


def batch(lake: Path, music: Path, beside: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Run each step with the disk full, then with room; return the report's rows, and what must hold with what is wrong."""
    lines, bad = [], []
    for name in (each.name for each in STEPS):
        assert step(beside, name, music).returncode == 0, name
        for room in ROOMS:
            fill(lake, room)
            done = step(lake, name, music)
            free(lake)
            said = ((done.stderr if done.returncode else done.stdout).strip() or "nothing").splitlines()[-1]
            lines.append(f"| {name} | {room >> 10} | {done.returncode} | {said[:200]} |")
            print(lines[-1], flush=True)
            if "Traceback" in done.stderr or (done.returncode and "full" not in said and "room" not in said):
                bad.append(f"{name}: {said}")
                (beside.parent / f"{name}-{room >> 10}.err").write_text(done.stderr)
        done = step(lake, name, music)
        if done.returncode:
            bad.append(f"{name} with room again: {done.stderr.strip()[-300:]}")
    expected, found = portable(beside, *TABLES), portable(lake, *TABLES)
    differing = [name for name in TABLES if expected[name] != found[name]]
    return lines, [
        ("a full disk is what a step says, or it has done its work", "; ".join(bad)),
        ("the tables are those of a lake that always had room", ", ".join(differing)),
    ]


@contextmanager
def up(lake: Path, music: Path, port: int) -> Iterator[supervisor.ServiceHome]:
    """Have `segue up` over the lake; its processes are ended after the block."""
    home = supervisor.ServiceHome(lake)
    command = [SEGUE, "up", "--library", str(music), "--port", str(port)]
    command += ["--airflow-port", str(port + 1), "--mlflow-port", str(port + 2)]
    try:
        subprocess.run(command, env=environment(lake), check=True, timeout=_UP_S)
        yield home
    finally:
        processes.stop_all(home)


def together(
    home: supervisor.ServiceHome, promises: Promises, seconds: float
) -> tuple[str, list[tuple[str, str]]]:
    """Fill the disk while listeners play; return how it went, and what must hold with what is wrong."""
    lake, address = home.lake, f"http://127.0.0.1:{home.state()['serving']}"
    wanted = supervisor.define_services(home, home.state())
    listeners = [
        Listener(address, name, secret, promises, rate=1, patient=number % 2 == 0, seed=1)
        for number, (name, secret) in enumerate(invite(lake, [f"listener-{n}" for n in range(4)]).items())
    ]
    for each in listeners:
        each.start()
    time.sleep(seconds)
    before, silences = len(promises.accepted), len(promises.silences)
    fill(lake)
    time.sleep(seconds)
    accepted, ill = len(promises.accepted) - before, _ill(home, wanted)
    free(lake)
    over = time.monotonic()
    back = invariants.wait_until(lambda: not _ill(home, wanted), _UP_S)
    took = time.monotonic() - over
    time.sleep(seconds)
    for each in listeners:
        each.stop()
    empty = invariants.wait_until(
        lambda: promises.accepted <= invariants.heard(lake) and _lag(lake) == 0, _EMPTY_S
    )
    time.sleep(5)  # what follows from the last plays is written after them
    away = _ill(home, wanted)
    said = subprocess.run(
        [SEGUE, "status"], env=environment(lake), capture_output=True, text=True, check=False
    )
    return (
        f"`segue up`, full for {seconds:.0f} s: {len(promises.accepted)} events accepted, {accepted} meanwhile; not healthy at "
        f"its end: {', '.join(ill) or 'none'}; all healthy {took:.0f} s after there was room; longest time without audio "
        f"{max(promises.silences[silences:], default=0):.1f} s.",
        [
            ("every service is back by itself", "" if back and not away else f"not {', '.join(away)}"),
            ("`segue status` is content", said.stderr if said.returncode else ""),
            ("the stream comes to its end", "" if empty else f"{_lag(lake)} waiting"),
            *invariants.wrong(lake, promises),
        ],
    )


def _ill(home: supervisor.ServiceHome, wanted: list[supervisor.Service]) -> list[str]:
    return [name for name, good in health.check_health(home, wanted).items() if not good]


def _lag(lake: Path) -> int | None:
    return (stream_status.read(lake) or {}).get("lag")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=600, help="of the lake's disk")
    parser.add_argument(
        "--seconds", type=float, default=20, help="that it is full under `segue up`, and before and after"
    )
    parser.add_argument(
        "--port", type=int, default=24000, help="of the player; Airflow and MLflow take the next two"
    )
    parser.add_argument("--report", default="disk.md")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-disk-"))
    lake, music = folder / "disk" / "lake", folder / "demo"
    subprocess.run([SEGUE, "demo", "--out", str(music), "--tracks", "12"], check=True)
    with disk(lake.parent, arguments.mib):
        lines, found = batch(lake, music, folder / "beside")
        with up(lake, music, arguments.port) as home:
            text, more = together(home, Promises(), arguments.seconds)
        found += more
        if any(wrong for _, wrong in found):
            subprocess.run(["cp", "-r", str(lake / "logs"), str(folder)], check=False)
    report = [
        f"{os.cpu_count()} cores, a disk of {arguments.mib} MiB.",
        "",
        "| step | KiB left | exit | said last |",
        "| --- | --- | --- | --- |",
        *lines,
        "",
        text,
        "",
        "| must hold | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
    ]
    Path(arguments.report).write_text("\n".join(report) + "\n")
    print("\n".join(report))
    return 1 if any(wrong for _, wrong in found) else 0


if __name__ == "__main__":
    sys.exit(main())
