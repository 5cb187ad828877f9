"""The network to MLflow cut, silent and slow while the steps that need it are at work.

    python -m tests.faults.registry_faults [--seconds 10] [--report registry.md]

A server of its own behind a proxy of ours, over a demo library of twelve tracks. The trouble begins with the step's first
connection. A step ends well when it is over, or says in one line what is away; then the same command must do it. Exit 1 where
anything is otherwise.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from jobs.runtime import supervisor
from tests.faults import invariants
from tests.faults.network_proxy import Proxy
from tests.services.conftest import SEGUE, environment
from tests.services.player import free_port

MODES = ("cut", "silent", "slow")

# A step, with MLflow's own tries.
_STEP_S = 600


def steps(number: int) -> list[list[str]]:
    """Return the steps that need MLflow; each number makes a model of its own."""
    trained = ["cluster", "--k", "3", "--seeds", "1", "--seed", str(number)]
    return [trained, ["evaluate"], ["promote", "--force"], ["publish"], ["rollback"], ["models"]]


@contextmanager
def server(lake: Path) -> Iterator[int]:
    """Have an MLflow server over the lake's runs, as `segue up` has it; its port."""
    home, ports = (
        supervisor.ServiceHome(lake),
        {name: free_port() for name in ("serving", "airflow", "mlflow")},
    )
    service = next(service for service in supervisor.define_services(home, ports) if service.name == "mlflow")
    given = supervisor.airflow_environment(home, ports, master="local[2]", library=None)
    with (lake / "mlflow.out").open("wb") as out:
        process = subprocess.Popen(service.command, env=given, stdout=out, stderr=out)
    try:
        if not invariants.wait_until(lambda: _answers(str(service.health)), 120):
            raise SystemExit(f"MLflow did not start; see {lake}/mlflow.out")
        yield ports["mlflow"]
    finally:
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(address, timeout=2):
        return True
    return False


@dataclass
class Ended:
    """How a command ended: its exit status, what it said last, all of its stderr, and after how long."""

    status: int
    said: str
    errors: str
    seconds: float


def run(lake: Path, address: str, words: list[str]) -> Ended:
    """Run a command to its end."""
    begun, given = time.monotonic(), environment(lake) | {"SEGUE_MLFLOW": address}
    done = subprocess.run(
        [SEGUE, *words], env=given, capture_output=True, text=True, timeout=_STEP_S, check=False
    )
    said = ((done.stderr if done.returncode else done.stdout).strip() or "nothing").splitlines()[-1]
    return Ended(done.returncode, said, done.stderr, time.monotonic() - begun)


def troubled(proxy: Proxy, mode: str, seconds: float, over: threading.Event) -> None:
    """Have the trouble from the next connection on, for so long; slow is slow until the step is over."""
    before = proxy.met
    while proxy.met == before and not over.is_set():
        time.sleep(0.02)
    time.sleep(0.3)  # amid what it says
    proxy.set(mode)
    over.wait(_STEP_S if mode == "slow" else seconds)
    proxy.set("open")


def soak(lake: Path, seconds: float) -> tuple[list[str], list[tuple[str, str]]]:
    """Bring each trouble to each step; return the report's rows, and what must hold with what is wrong."""
    rows, bad = [], []
    with server(lake) as port:
        proxy = Proxy(lambda: port)
        address = f"http://127.0.0.1:{proxy.port}"
        for number, mode in enumerate(MODES, 1):
            for words in steps(number):
                over = threading.Event()
                trouble = threading.Thread(target=troubled, args=(proxy, mode, seconds, over))
                trouble.start()
                ended = run(lake, address, words)
                over.set()
                trouble.join()
                rows.append(
                    f"| {words[0]} | {mode} | {ended.seconds:.0f} | {ended.status} | {ended.said[:160]} |"
                )
                print(rows[-1], flush=True)
                if ended.status and ("Traceback" in ended.errors or "mlflow" not in ended.said.lower()):
                    bad.append(f"{words[0]}, {mode}: {ended.said}")
                if ended.status and (again := run(lake, address, words)).status:
                    bad.append(f"{words[0]} again: {again.said}")
        client = MlflowClient(address, registry_uri=address)
        champions = [m.aliases for m in client.search_registered_models()]
        running = [
            run.info.run_name
            for experiment in client.search_experiments()
            for run in client.search_runs([experiment.experiment_id], "status = 'RUNNING'")
        ]
    one = len(champions) == 1 and "champion" in champions[0]
    return rows, [
        ("a step is done, or says that MLflow is away; then the same command does it", "; ".join(bad)),
        ("there is one model with one champion", "" if one else str(champions)),
        ("no run is left at work", ", ".join(running)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10, help="that MLflow is away")
    parser.add_argument("--report", default="registry.md")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-registry-"))
    lake, music = folder / "lake", folder / "demo"
    subprocess.run([SEGUE, "demo", "--out", str(music), "--tracks", "12"], check=True)
    subprocess.run([SEGUE, "run", "--library", str(music)], env=environment(lake), check=True)
    rows, found = soak(lake, arguments.seconds)
    lines = ["| step | MLflow | seconds | exit | said last |", "| --- | --- | --- | --- | --- |", *rows, ""]
    lines += [
        "| must hold | |",
        "| --- | --- |",
        *(f"| {question} | {wrong or 'yes'} |" for question, wrong in found),
    ]
    text = "\n".join(lines) + "\n"
    Path(arguments.report).write_text(text)
    print(text)
    if good := not any(wrong for _, wrong in found):
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
