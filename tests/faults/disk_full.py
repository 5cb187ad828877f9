"""A full disk before every step of the batch, then under `segue up` while clients play.

    python -m tests.faults.disk_full [--mib 600] [--seconds 20] [--report disk_full.md]

Needs root, to mount. The lake is
on a file system of its own, which is filled completely or nearly. With space again every step
must produce what it produces otherwise, and every service must recover by itself. Exit 1 if not, and the
lake's logs stay.
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
from tests.faults.simulated_clients import Promises, SimulatedClient, add_users
from tests.services.conftest import SEGUE, environment, portable

# Free bytes when a step starts: none, and enough to start.
FREE_BYTES = (0, 100 << 10)

# Tables without the model's version, which is one higher where a step was re-run.
TABLES = ("FILES", "TRACKS", "FEATURES", "DUPLICATE_PAIRS", "EMBEDDERS", "VECTORS", "REJECTS")

_UP_S, _EMPTY_S = 300, 240


@contextmanager
def disk(folder: Path, mib: int) -> Iterator[None]:
    """Mount a file system of `mib` MiB at the folder during the block; 0 mounts nothing."""
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
    """Fill the lake's disk up to `room` free bytes."""
    with (lake.parent / "ballast").open("ab", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"\0" * 65_536):
                pass
        file.truncate(max(0, file.tell() - room))


def free(lake: Path) -> None:
    """Delete the file that fills the disk."""
    (lake.parent / "ballast").unlink()


def run_step(lake: Path, name: str, music: Path) -> subprocess.CompletedProcess[str]:
    """Run one pipeline step as a command."""
    words = {"compress": ["--library", str(music)], "cluster": ["--k", "3", "--seeds", "1"]}
    command = [SEGUE, name, *words.get(name, [])]
    return subprocess.run(
        command, env=environment(lake), capture_output=True, text=True, timeout=600, check=False
    )


def fill_before_each_step(lake: Path, music: Path, beside: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Run each step on a full disk, then with space.

    Return report rows and invariants with their violations.
    """
    lines, bad = [], []
    for name in (each.name for each in STEPS):
        assert run_step(beside, name, music).returncode == 0, name
        for room in FREE_BYTES:
            fill(lake, room)
            done = run_step(lake, name, music)
            free(lake)
            output = ((done.stderr if done.returncode else done.stdout).strip() or "nothing").splitlines()[-1]
            lines.append(f"| {name} | {room >> 10} | {done.returncode} | {output[:200]} |")
            print(lines[-1], flush=True)
            if "Traceback" in done.stderr or (
                done.returncode and "full" not in output and "room" not in output
            ):
                bad.append(f"{name}: {output}")
                (beside.parent / f"{name}-{room >> 10}.err").write_text(done.stderr)
        done = run_step(lake, name, music)
        if done.returncode:
            bad.append(f"{name} with space again: {done.stderr.strip()[-300:]}")
    expected, found = portable(beside, *TABLES), portable(lake, *TABLES)
    differing = [name for name in TABLES if expected[name] != found[name]]
    return lines, [
        ("a step reports a full disk, or has done its work", "; ".join(bad)),
        ("the tables equal those of a lake that always had space", ", ".join(differing)),
    ]


@contextmanager
def up(lake: Path, music: Path, port: int) -> Iterator[supervisor.ServiceHome]:
    """Run `segue up` over the lake during the block."""
    home = supervisor.ServiceHome(lake)
    command = [SEGUE, "up", "--library", str(music), "--port", str(port)]
    command += ["--airflow-port", str(port + 1), "--mlflow-port", str(port + 2)]
    try:
        subprocess.run(command, env=environment(lake), check=True, timeout=_UP_S)
        yield home
    finally:
        processes.stop_all(home)


def fill_under_load(
    home: supervisor.ServiceHome, promises: Promises, seconds: float
) -> tuple[str, list[tuple[str, str]]]:
    """Fill the disk while clients play; return a summary and the invariants with their violations."""
    lake, address = home.lake, f"http://127.0.0.1:{home.state()['serving']}"
    services = supervisor.define_services(home, home.state())
    listeners = [
        SimulatedClient(address, name, secret, promises, rate=1, patient=number % 2 == 0, seed=1)
        for number, (name, secret) in enumerate(add_users(lake, [f"listener-{n}" for n in range(4)]).items())
    ]
    for each in listeners:
        each.start()
    time.sleep(seconds)
    before, silences = len(promises.accepted), len(promises.silences)
    fill(lake)
    time.sleep(seconds)
    accepted, ill = len(promises.accepted) - before, _unhealthy(home, services)
    free(lake)
    over = time.monotonic()
    back = invariants.wait_until(lambda: not _unhealthy(home, services), _UP_S)
    took = time.monotonic() - over
    time.sleep(seconds)
    for each in listeners:
        each.stop()
    empty = invariants.wait_until(
        lambda: promises.accepted <= invariants.event_ids_in_plays(lake) and _lag(lake) == 0, _EMPTY_S
    )
    time.sleep(5)  # feedback and lists are written after the plays
    away = _unhealthy(home, services)
    output = subprocess.run(
        [SEGUE, "status"], env=environment(lake), capture_output=True, text=True, check=False
    )
    return (
        f"`segue up`, full for {seconds:.0f} s: {len(promises.accepted)} events accepted, "
        f"{accepted} of them while full; unhealthy then: {', '.join(ill) or 'none'}; "
        f"all healthy {took:.0f} s after space was freed; longest time without audio "
        f"{max(promises.silences[silences:], default=0):.1f} s.",
        [
            ("every service has recovered by itself", "" if back and not away else f"not {', '.join(away)}"),
            ("`segue status` reports no fault", output.stderr if output.returncode else ""),
            ("the stream has processed every event", "" if empty else f"{_lag(lake)} waiting"),
            *invariants.violations(lake, promises),
        ],
    )


def _unhealthy(home: supervisor.ServiceHome, services: list[supervisor.Service]) -> list[str]:
    return [name for name, good in health.check_health(home, services).items() if not good]


def _lag(lake: Path) -> int | None:
    return (stream_status.read(lake) or {}).get("lag")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mib", type=int, default=600, help="size of the lake's disk in MiB (default %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20,
        help="how long the disk is full under `segue up`, and the time before and after",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=24000,
        help="port of the player; Airflow and MLflow take the next two (default %(default)s)",
    )
    parser.add_argument("--report", default="disk_full.md")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-disk-"))
    lake, music = folder / "disk" / "lake", folder / "demo"
    subprocess.run([SEGUE, "demo", "--out", str(music), "--tracks", "12"], check=True)
    with disk(lake.parent, arguments.mib):
        lines, found = fill_before_each_step(lake, music, folder / "beside")
        with up(lake, music, arguments.port) as home:
            text, more = fill_under_load(home, Promises(), arguments.seconds)
        found += more
        if any(wrong for _, wrong in found):
            subprocess.run(["cp", "-r", str(lake / "logs"), str(folder)], check=False)
    report = [
        f"{os.cpu_count()} cores, a disk of {arguments.mib} MiB.",
        "",
        "| step | KiB free | exit | last line |",
        "| --- | --- | --- | --- |",
        *lines,
        "",
        text,
        "",
        "| invariant | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
    ]
    Path(arguments.report).write_text("\n".join(report) + "\n")
    print("\n".join(report))
    return 1 if any(wrong for _, wrong in found) else 0


if __name__ == "__main__":
    sys.exit(main())
