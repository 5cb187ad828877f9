"""kill -9 at every process of `segue up`, at random, while listeners play and nightly_refresh runs; then what is left.

    python -m tests.faults.process_kills [--kills 50] [--seed 1] [--gap 15] [--report kills.md]

Makes a demo library and a lake of its own in a temporary folder (--folder to keep them), some 20 minutes for 50 kills. Exit
1, and the folder stays, where anything that was accepted is lost or doubled, or anything has not come back.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

from jobs.runtime import health, processes, stream_status, supervisor
from tests.faults import invariants
from tests.faults.simulated_clients import Listener, Promises, invite
from tests.services.conftest import SEGUE, environment, segue

# What tells a process's part, in this order, and the service whose health says that the part is back; None for what belongs
# to a task, which Airflow tries again.
PARTS = (
    ("MongoDB", "-Dsegue.mongo=", "mongo"),
    ("MongoDB's keeper", "-m jobs.runtime.embedded_mongo", "mongo"),
    ("Kafka", "-Dsegue.kafka=", "kafka"),
    ("Kafka's keeper", "-m jobs.runtime.embedded_kafka", "kafka"),
    ("stream", "segue stream", "stream"),
    ("stream's JVM", "pyspark-shell", "stream"),
    ("MLflow", "mlflow.server", "mlflow"),
    ("api-server", "airflow api_server", "api-server"),
    ("scheduler", "airflow scheduler", "scheduler"),
    ("executor's worker", "airflow worker -- LocalExecutor", "scheduler"),
    ("task", "airflow worker --", None),
    ("dag-processor", "airflow dag-processor", "dag-processor"),
    ("serving", "segue serve", "serving"),
    ("Spark job's JVM", "SparkSubmit", None),
    ("Spark job", "jobs/__main__.py", None),
    ("Spark's worker", "pyspark.daemon", None),
)

_UP_S, _EMPTY_S = 300, 180

# Seconds of a night, with the minutes between four tries of a task.
_NIGHT_S = 1_800


@dataclass
class Kill:
    """One kill: seconds since the start and since 1970, the part, its process, all of the part, seconds until it was back."""

    at: float
    time: float
    part: str
    service: str | None
    pid: int
    known: set[int]
    back: float | None = None


def victims(home: supervisor.ServiceHome) -> dict[str, list[psutil.Process]]:
    """Return the processes of each part that lives now; supervisord is none of them."""
    found: dict[str, list[psutil.Process]] = {}
    for process in processes.find_processes(home):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            part = next((part for part, mark, _ in PARTS if mark in words), None)
            if part is not None:
                found.setdefault(part, []).append(process)
    return found


class Killer:
    """Kills, and looks how long each part is away."""

    def __init__(self, home: supervisor.ServiceHome, seed: int) -> None:
        self.home, self.kills = home, [Kill] * 0
        self._chance, self._begun = random.Random(seed), time.monotonic()
        self._told = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def run(self, count: int, gap_s: float) -> None:
        """Kill so many, one after another, each some time after the one before."""
        self._watch.start()
        while len(self.kills) < count:
            time.sleep(2 + self._chance.expovariate(1 / gap_s))
            living = victims(self.home)
            part = self._chance.choice(sorted(living))
            process = self._chance.choice(living[part])
            service = next(service for name, _, service in PARTS if name == part)
            with suppress(psutil.NoSuchProcess):
                process.kill()
                known = {process.pid for process in living[part]}
                at = time.monotonic() - self._begun
                self.kills.append(Kill(at, time.time(), part, service, process.pid, known))
                print(f"{self.kills[-1].at:6.0f} s  kill -9 {process.pid}  {part}", flush=True)

    def stop(self) -> bool:
        """Wait until all is back, or for as long as that may take; return whether it is."""
        waiting = [kill for kill in self.kills if kill.service]
        good = invariants.wait_until(lambda: all(kill.back is not None for kill in waiting), _UP_S)
        self._told.set()
        self._watch.join()
        for kill in waiting:
            if kill.back is None:
                print(
                    f"not back: {kill}, health {health.check_health(self.home, supervisor.define_services(self.home, self.home.state()))}"
                )
        return good

    def _look(self) -> None:
        wanted = supervisor.define_services(self.home, self.home.state())
        while not self._told.wait(0.5):
            away = [kill for kill in self.kills if kill.service and kill.back is None]
            if not away:
                continue
            good, spoken, living = health.check_health(self.home, wanted), self._spoken(), victims(self.home)
            for kill in away:
                # By its number: Linux tells when a process began to the second before, and supervisord is quicker than that.
                new = any(process.pid not in kill.known for process in living.get(kill.part, []))
                service = str(kill.service)
                # What is only known to have been healthy of late must have spoken since.
                if new and good[service] and spoken.get(service, kill.time + 1) > kill.time:
                    kill.back = time.monotonic() - self._begun - kill.at

    def _spoken(self) -> dict[str, float]:
        """Return when those last said how they are that are not asked themselves, in seconds since 1970."""
        found = dict.fromkeys(("stream", "scheduler", "dag-processor"), 0.0)
        found["stream"] = (stream_status.read(self.home.lake) or {}).get("at", 0.0)
        with suppress(OSError, HTTPException, ValueError, KeyError):
            address = f"http://127.0.0.1:{self.home.state()['airflow']}/api/v2/monitor/health"
            with urllib.request.urlopen(address, timeout=10) as answer:
                said = json.loads(answer.read())
            for name in ("scheduler", "dag_processor"):
                at = datetime.fromisoformat(said[name][f"latest_{name}_heartbeat"])
                found[name.replace("_", "-")] = at.timestamp()
        return found


class Nights(threading.Thread):
    """nightly_refresh by Airflow's REST API, one after another until told; how each ended."""

    def __init__(self, home: supervisor.ServiceHome) -> None:
        super().__init__(daemon=True)
        self.home, self.ended, self.tries = home, [""] * 0, Counter[str]()
        self._told = threading.Event()

    def stop(self) -> bool:
        """Wait for the night at hand, and for one more where that has failed; return whether the last was a success."""
        self._told.set()
        self.join(2 * _NIGHT_S)
        if not self.ended or self.ended[-1] != "success":
            self._night()
        return self.ended[-1] == "success"

    def run(self) -> None:
        while not self._told.is_set():
            self._night()

    def _night(self) -> None:
        runs = "/api/v2/dags/nightly_refresh/dagRuns"
        run_id = f"soak-{len(self.ended)}-{time.time_ns()}"
        body = {"logical_date": None, "dag_run_id": run_id, "conf": {"force": True}}
        deadline, state, tasks = time.monotonic() + _NIGHT_S, "not begun", []
        while state not in ("success", "failed") and time.monotonic() < deadline:
            time.sleep(2)
            with suppress(OSError, HTTPException, ValueError, KeyError):
                token = self._call(
                    "/auth/token", None, {"username": "admin", "password": self.home.secrets()["admin"]}
                )
                given = token["access_token"]
                if state == "not begun":
                    with suppress(urllib.error.HTTPError):  # 409: the answer was lost, not the request
                        self._call(runs, given, body)
                state = self._call(f"{runs}/{run_id}", given)["state"]
                tasks = self._call(f"{runs}/{run_id}/taskInstances", given)["task_instances"]
        self.ended.append(state)
        self.tries.update({task["task_id"]: max(0, task["try_number"] - 1) for task in tasks})
        print(f"nightly_refresh {len(self.ended)}: {state}", flush=True)

    def _call(self, path: str, token: str | None, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        address = f"http://127.0.0.1:{self.home.state()['airflow']}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as answer:
            return json.loads(answer.read())


def without_supervisord(home: supervisor.ServiceHome, up: list[str]) -> list[tuple[str, str]]:
    """Kill what keeps all others: `segue status` says so, and `segue up` brings everything back."""
    psutil.Process(home.state()["supervisord"]).kill()
    said = segue(home.lake, "status", status=1).stderr
    begun = time.monotonic()
    done = subprocess.run(up, env=environment(home.lake), capture_output=True, text=True, timeout=_UP_S)
    print(f"supervisord killed; `segue up` had all back after {time.monotonic() - begun:.0f} s", flush=True)
    return [
        ("`segue status` says that supervisord was killed", "" if "supervisord" in said else said),
        ("`segue up` takes its place", done.stderr if done.returncode else ""),
    ]


def report(
    killer: Killer,
    nights: Nights,
    promises: Promises,
    found: list[tuple[str, str]],
    silence: float,
    seed: int,
) -> str:
    """Return it all in Markdown."""
    away = Counter[str](kill.part for kill in killer.kills)
    lines = [
        f"# {len(killer.kills)} kill -9 over `segue up`, seed {seed}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{os.cpu_count()} cores. {len(promises.sent)} events sent, {len(promises.accepted)} accepted, {promises.refused} "
        f"answers other than 2xx, {promises.repeated} sent again with the same id. Longest time without audio for anybody "
        f"{silence:.1f} s. nightly_refresh: {', '.join(nights.ended)}; retries: "
        f"{', '.join(f'{task} {n}' for task, n in sorted(nights.tries.items()) if n) or 'none'}.",
        "",
        "| must hold | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
        "",
        "| part | kills | back after, s (median, longest) |",
        "| --- | --- | --- |",
    ]
    for part, count in sorted(away.items()):
        times = sorted(kill.back for kill in killer.kills if kill.part == part and kill.back is not None)
        shown = f"{times[len(times) // 2]:.1f}, {times[-1]:.1f}" if times else "the task is tried again"
        lines.append(f"| {part} | {count} | {shown} |")
    lines += ["", "| at, s | killed | process | back after, s |", "| --- | --- | --- | --- |"]
    for kill in killer.kills:
        back = "" if kill.service is None else "not" if kill.back is None else f"{kill.back:.1f}"
        lines.append(f"| {kill.at:.0f} | {kill.part} | {kill.pid} | {back} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--gap", type=float, default=15, help="seconds between two kills on average, beside two more"
    )
    parser.add_argument("--listeners", type=int, default=6)
    parser.add_argument("--tracks", type=int, default=20)
    parser.add_argument(
        "--folder", help="a new folder, which stays; else a temporary one, which goes where all is well"
    )
    parser.add_argument(
        "--port", type=int, default=23000, help="of the player; Airflow and MLflow take the next two"
    )
    parser.add_argument("--report", default="kills.md")
    arguments = parser.parse_args()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="segue-kills-")).absolute()
    home = supervisor.ServiceHome(folder / "lake")
    print(f"in {folder}", flush=True)
    segue(home.lake, "demo", "--out", str(folder / "demo"), "--tracks", str(arguments.tracks))
    segue(home.lake, "run", "--library", str(folder / "demo"), "--k", "3", "--seeds", "1")
    secrets = invite(home.lake, [f"listener-{number}" for number in range(arguments.listeners)])
    port = arguments.port
    up = [SEGUE, "up", "--library", str(folder / "demo"), "--port", str(port)]
    up += ["--airflow-port", str(port + 1), "--mlflow-port", str(port + 2)]
    try:
        subprocess.run(up, env=environment(home.lake), check=True, timeout=_UP_S)
        found, text = soak(home, up, secrets, arguments)
    finally:
        processes.stop_all(home)
    found.append(
        ("`segue down` leaves nothing", "" if not processes.find_processes(home) else "processes are left")
    )
    Path(arguments.report).write_text(text)
    print(text)
    good = not any(wrong for _, wrong in found)
    if good and not arguments.folder:
        shutil.rmtree(folder)
    return 0 if good else 1


def soak(
    home: supervisor.ServiceHome, up: list[str], secrets: dict[str, str], arguments: argparse.Namespace
) -> tuple[list[tuple[str, str]], str]:
    """Play, kill, wait; return what must hold with what is wrong, and the report."""
    promises, nights, killer = Promises(), Nights(home), Killer(home, arguments.seed)
    base = f"http://127.0.0.1:{home.state()['serving']}"
    listeners = [
        Listener(base, name, secret, promises, rate=0.8, patient=number % 2 == 0, seed=arguments.seed)
        for number, (name, secret) in enumerate(secrets.items())
    ]
    for each in [*listeners, nights]:
        each.start()
    killer.run(arguments.kills, arguments.gap)
    back = killer.stop()
    found = [("every part is back, and healthy", "" if back else "see below")]
    found.append(("the last nightly_refresh is a success", "" if nights.stop() else nights.ended[-1]))
    silence = max(promises.silences, default=0.0)
    found += without_supervisord(home, up)
    for listener in listeners:
        listener.stop()
    empty = invariants.wait_until(
        lambda: promises.accepted <= invariants.heard(home.lake) and _lag(home) == 0, _EMPTY_S
    )
    found.append(("the stream comes to its end", "" if empty else f"{_lag(home)} waiting"))
    time.sleep(3)
    # Should a check itself fail, twenty minutes are not lost.
    kept = {
        "sent": promises.sent,
        "accepted": sorted(promises.accepted),
        "kills": [vars(kill) | {"known": sorted(kill.known)} for kill in killer.kills],
    }
    (home.lake.parent / "promises.json").write_text(json.dumps(kept))
    found += invariants.wrong(home.lake, promises)
    said = subprocess.run([SEGUE, "status"], env=environment(home.lake), capture_output=True, text=True)
    found.append(("`segue status` is content", said.stderr if said.returncode else ""))
    return found, report(killer, nights, promises, found, silence, arguments.seed)


def _lag(home: supervisor.ServiceHome) -> int | None:
    return (stream_status.read(home.lake) or {}).get("lag")


if __name__ == "__main__":
    sys.exit(main())
