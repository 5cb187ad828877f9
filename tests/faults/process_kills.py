"""kill -9 on random processes of `segue up` while clients play and nightly_refresh runs; then check the
invariants.

    python -m tests.faults.process_kills [--kills 50] [--seed 1] [--gap 15] [--report process_kills.md]

Writes a demo library and a lake to a temporary folder (--folder keeps them); about 20 minutes for 50 kills.
Exit 1, and the folder stays, if an accepted event is lost or doubled, or a part has not recovered.
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
from tests.faults.simulated_clients import Promises, SimulatedClient, add_users
from tests.services.conftest import SEGUE, environment, segue

# Part, a piece of its command line (the first match counts), and the service whose health shows that the part
# has recovered; None for parts of a task, which Airflow retries.
PARTS = (
    ("MongoDB", "-Dsegue.mongo=", "mongo"),
    ("MongoDB's parent", "-m jobs.runtime.embedded_mongo", "mongo"),
    ("Kafka", "-Dsegue.kafka=", "kafka"),
    ("Kafka's parent", "-m jobs.runtime.embedded_kafka", "kafka"),
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

# Time limit of one nightly run, including the minutes between four tries of a task.
_NIGHTLY_LIMIT_S = 1_800


@dataclass
class Kill:
    """One kill.

    Attributes
    ----------
    at
        Seconds since the start.
    time
        Seconds since 1970.
    known
        All process ids of the part at that time.
    back
        Seconds until recovery.
    """

    at: float
    time: float
    part: str
    service: str | None
    pid: int
    known: set[int]
    back: float | None = None


def victims(home: supervisor.ServiceHome) -> dict[str, list[psutil.Process]]:
    """Return the running processes by part, supervisord excluded."""
    found: dict[str, list[psutil.Process]] = {}
    for process in processes.find_processes(home):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            part = next((part for part, mark, _ in PARTS if mark in words), None)
            if part is not None:
                found.setdefault(part, []).append(process)
    return found


class Killer:
    """Kills random processes and measures how long each part takes to recover."""

    def __init__(self, home: supervisor.ServiceHome, seed: int) -> None:
        self.home = home
        self.kills: list[Kill] = []
        self._chance, self._begun = random.Random(seed), time.monotonic()
        self._stopped = threading.Event()
        self._watch = threading.Thread(target=self._watch_recovery, daemon=True)

    def run(self, count: int, gap_s: float) -> None:
        """Kill `count` processes, with exponentially distributed pauses of `gap_s` on average."""
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
        """Wait until every part has recovered or the time limit; return whether all did."""
        waiting = [kill for kill in self.kills if kill.service]
        good = invariants.wait_until(lambda: all(kill.back is not None for kill in waiting), _UP_S)
        self._stopped.set()
        self._watch.join()
        for kill in waiting:
            if kill.back is None:
                services = supervisor.define_services(self.home, self.home.state())
                print(f"not recovered: {kill}, health {health.check_health(self.home, services)}")
        return good

    def _watch_recovery(self) -> None:
        services = supervisor.define_services(self.home, self.home.state())
        while not self._stopped.wait(0.5):
            away = [kill for kill in self.kills if kill.service and kill.back is None]
            if not away:
                continue
            good, spoken, living = (
                health.check_health(self.home, services),
                self._last_reports(),
                victims(self.home),
            )
            for kill in away:
                # Compare process ids, not start times: Linux rounds those to a second, and supervisord
                # restarts faster.
                new = any(process.pid not in kill.known for process in living.get(kill.part, []))
                service = str(kill.service)
                # Services known only by a heartbeat must have sent one since the kill.
                if new and good[service] and spoken.get(service, kill.time + 1) > kill.time:
                    kill.back = time.monotonic() - self._begun - kill.at

    def _last_reports(self) -> dict[str, float]:
        """Return the time (s since 1970) of the last heartbeat of services that are not asked directly."""
        found = dict.fromkeys(("stream", "scheduler", "dag-processor"), 0.0)
        found["stream"] = (stream_status.read(self.home.lake) or {}).get("at", 0.0)
        with suppress(OSError, HTTPException, ValueError, KeyError):
            address = f"http://127.0.0.1:{self.home.state()['airflow']}/api/v2/monitor/health"
            with urllib.request.urlopen(address, timeout=10) as answer:
                output = json.loads(answer.read())
            for name in ("scheduler", "dag_processor"):
                at = datetime.fromisoformat(output[name][f"latest_{name}_heartbeat"])
                found[name.replace("_", "-")] = at.timestamp()
        return found


class NightlyRuns(threading.Thread):
    """Runs nightly_refresh through Airflow's REST API, one after another until stopped.

    Records how each ended.
    """

    def __init__(self, home: supervisor.ServiceHome) -> None:
        super().__init__(daemon=True)
        self.home, self.ended, self.tries = home, [""] * 0, Counter[str]()
        self._stopped = threading.Event()

    def stop(self) -> bool:
        """Wait for the current run, and run once more if it failed; return whether the last one succeeded."""
        self._stopped.set()
        self.join(2 * _NIGHTLY_LIMIT_S)
        if not self.ended or self.ended[-1] != "success":
            self._run_once()
        return self.ended[-1] == "success"

    def run(self) -> None:
        while not self._stopped.is_set():
            self._run_once()

    def _run_once(self) -> None:
        runs = "/api/v2/dags/nightly_refresh/dagRuns"
        run_id = f"fault-{len(self.ended)}-{time.time_ns()}"
        body = {"logical_date": None, "dag_run_id": run_id, "conf": {"force": True}}
        deadline, state, tasks = time.monotonic() + _NIGHTLY_LIMIT_S, "not started", []
        while state not in ("success", "failed") and time.monotonic() < deadline:
            time.sleep(2)
            with suppress(OSError, HTTPException, ValueError, KeyError):
                token = self._call(
                    "/auth/token", None, {"username": "admin", "password": self.home.secrets()["admin"]}
                )
                access_token = token["access_token"]
                if state == "not started":
                    with suppress(urllib.error.HTTPError):  # 409: the answer was lost, not the request
                        self._call(runs, access_token, body)
                state = self._call(f"{runs}/{run_id}", access_token)["state"]
                tasks = self._call(f"{runs}/{run_id}/taskInstances", access_token)["task_instances"]
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


def kill_supervisord(home: supervisor.ServiceHome, up: list[str]) -> list[tuple[str, str]]:
    """Kill supervisord: `segue status` must report it and `segue up` must restart everything."""
    psutil.Process(home.state()["supervisord"]).kill()
    output = segue(home.lake, "status", status=1).stderr
    started = time.monotonic()
    done = subprocess.run(up, env=environment(home.lake), capture_output=True, text=True, timeout=_UP_S)
    print(
        f"supervisord killed; `segue up` had everything back after {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return [
        ("`segue status` reports that supervisord was killed", "" if "supervisord" in output else output),
        ("`segue up` restarts supervisord", done.stderr if done.returncode else ""),
    ]


def report(
    killer: Killer,
    nights: NightlyRuns,
    promises: Promises,
    found: list[tuple[str, str]],
    silence: float,
    seed: int,
) -> str:
    """Return the report in Markdown."""
    away = Counter[str](kill.part for kill in killer.kills)
    lines = [
        f"# {len(killer.kills)} kill -9 over `segue up`, seed {seed}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{os.cpu_count()} cores. {len(promises.sent)} events sent, {len(promises.accepted)} accepted, "
        f"{promises.refused} answers other than 2xx, {promises.repeated} re-sent with the same id. "
        f"Longest time without audio {silence:.1f} s. nightly_refresh: {', '.join(nights.ended)}; retries: "
        f"{', '.join(f'{task} {n}' for task, n in sorted(nights.tries.items()) if n) or 'none'}.",
        "",
        "| invariant | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
        "",
        "| part | kills | recovered after, s (median, longest) |",
        "| --- | --- | --- |",
    ]
    for part, count in sorted(away.items()):
        times = sorted(kill.back for kill in killer.kills if kill.part == part and kill.back is not None)
        recovery = f"{times[len(times) // 2]:.1f}, {times[-1]:.1f}" if times else "the task is retried"
        lines.append(f"| {part} | {count} | {recovery} |")
    lines += ["", "| at, s | killed | process | recovered after, s |", "| --- | --- | --- | --- |"]
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
        "--gap",
        type=float,
        default=15,
        help="average seconds between two kills, plus two (default %(default)s)",
    )
    parser.add_argument("--listeners", type=int, default=6)
    parser.add_argument("--tracks", type=int, default=20)
    parser.add_argument("--folder", help="new folder to keep (default: a temporary one, deleted on success)")
    parser.add_argument(
        "--port",
        type=int,
        default=23000,
        help="port of the player; Airflow and MLflow take the next two (default %(default)s)",
    )
    parser.add_argument("--report", default="process_kills.md")
    arguments = parser.parse_args()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="segue-kills-")).absolute()
    home = supervisor.ServiceHome(folder / "lake")
    print(f"in {folder}", flush=True)
    segue(home.lake, "demo", "--out", str(folder / "demo"), "--tracks", str(arguments.tracks))
    segue(home.lake, "run", "--library", str(folder / "demo"), "--k", "3", "--seeds", "1")
    secrets = add_users(home.lake, [f"listener-{number}" for number in range(arguments.listeners)])
    port = arguments.port
    up = [SEGUE, "up", "--library", str(folder / "demo"), "--port", str(port)]
    up += ["--airflow-port", str(port + 1), "--mlflow-port", str(port + 2)]
    try:
        subprocess.run(up, env=environment(home.lake), check=True, timeout=_UP_S)
        found, text = inject(home, up, secrets, arguments)
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


def inject(
    home: supervisor.ServiceHome, up: list[str], secrets: dict[str, str], arguments: argparse.Namespace
) -> tuple[list[tuple[str, str]], str]:
    """Play, kill, wait for recovery; return the invariants with their violations, and the report."""
    promises, nights, killer = Promises(), NightlyRuns(home), Killer(home, arguments.seed)
    base = f"http://127.0.0.1:{home.state()['serving']}"
    listeners = [
        SimulatedClient(base, name, secret, promises, rate=0.8, patient=number % 2 == 0, seed=arguments.seed)
        for number, (name, secret) in enumerate(secrets.items())
    ]
    for each in [*listeners, nights]:
        each.start()
    killer.run(arguments.kills, arguments.gap)
    back = killer.stop()
    found = [("every part has recovered", "" if back else "see below")]
    found.append(("the last nightly_refresh succeeded", "" if nights.stop() else nights.ended[-1]))
    silence = max(promises.silences, default=0.0)
    found += kill_supervisord(home, up)
    for listener in listeners:
        listener.stop()
    empty = invariants.wait_until(
        lambda: promises.accepted <= invariants.event_ids_in_plays(home.lake) and _lag(home) == 0, _EMPTY_S
    )
    found.append(("the stream has processed every event", "" if empty else f"{_lag(home)} waiting"))
    time.sleep(3)
    # Written first, so that a failing check does not lose twenty minutes.
    record = {
        "sent": promises.sent,
        "accepted": sorted(promises.accepted),
        "kills": [vars(kill) | {"known": sorted(kill.known)} for kill in killer.kills],
    }
    (home.lake.parent / "promises.json").write_text(json.dumps(record))
    found += invariants.violations(home.lake, promises)
    output = subprocess.run([SEGUE, "status"], env=environment(home.lake), capture_output=True, text=True)
    found.append(("`segue status` reports no fault", output.stderr if output.returncode else ""))
    return found, report(killer, nights, promises, found, silence, arguments.seed)


def _lag(home: supervisor.ServiceHome) -> int | None:
    return (stream_status.read(home.lake) or {}).get("lag")


if __name__ == "__main__":
    sys.exit(main())
