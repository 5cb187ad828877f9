"""The network to MLflow cut, silent and slow while steps that need it run.

    python -m tests.faults.registry_faults [--seconds 10] [--report registry_faults.md]

An MLflow server behind a proxy, over a demo library of twelve tracks. The fault starts with the step's first
connection. A step must succeed, or report in one line that MLflow is unavailable and succeed when re-run.
Exit 1 if not.
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

from jobs.runtime import airflow_environment, supervisor
from tests.faults import invariants
from tests.faults.network_proxy import Proxy
from tests.services.conftest import SEGUE, environment
from tests.services.player import free_port

MODES = ("cut", "silent", "slow")

# Time limit of a step, including MLflow's own retries.
_STEP_S = 600


def steps(number: int) -> list[list[str]]:
    """Return the commands that need MLflow; each `number` trains a different model."""
    trained = ["cluster", "--k", "3", "--seeds", "1", "--seed", str(number)]
    return [trained, ["evaluate"], ["promote", "--force"], ["publish"], ["rollback"], ["models"]]


@contextmanager
def server(lake: Path) -> Iterator[int]:
    """Run an MLflow server over the lake, as `segue up` does; yield its port."""
    home, ports = (
        supervisor.ServiceHome(lake),
        {name: free_port() for name in ("serving", "airflow", "mlflow")},
    )
    service = next(service for service in supervisor.define_services(home, ports) if service.name == "mlflow")
    variables = airflow_environment.service_environment(home, ports, master="local[2]", library=None)
    with (lake / "mlflow.out").open("wb") as out:
        process = subprocess.Popen(service.command, env=variables, stdout=out, stderr=out)
    try:
        if not invariants.wait_until(lambda: _answers(str(service.health_url)), 120):
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
class CommandResult:
    """A finished command: exit status, last line, stderr, duration in seconds."""

    status: int
    last_line: str
    errors: str
    seconds: float


def run(lake: Path, address: str, words: list[str]) -> CommandResult:
    """Run a command and return its result."""
    started, variables = time.monotonic(), environment(lake) | {"SEGUE_MLFLOW": address}
    done = subprocess.run(
        [SEGUE, *words], env=variables, capture_output=True, text=True, timeout=_STEP_S, check=False
    )
    output = ((done.stderr if done.returncode else done.stdout).strip() or "nothing").splitlines()[-1]
    return CommandResult(done.returncode, output, done.stderr, time.monotonic() - started)


def inject_fault(proxy: Proxy, mode: str, seconds: float, over: threading.Event) -> None:
    """Set the fault from the next connection on for `seconds`; "slow" lasts until the step is over."""
    before = proxy.connections
    while proxy.connections == before and not over.is_set():
        time.sleep(0.02)
    time.sleep(0.3)  # in the middle of the exchange
    proxy.set(mode)
    over.wait(_STEP_S if mode == "slow" else seconds)
    proxy.set("open")


def inject_all(lake: Path, seconds: float) -> tuple[list[str], list[tuple[str, str]]]:
    """Inject each fault into each step; return report rows and invariants with their violations."""
    rows, bad = [], []
    with server(lake) as port:
        proxy = Proxy(lambda: port)
        address = f"http://127.0.0.1:{proxy.port}"
        for number, mode in enumerate(MODES, 1):
            for words in steps(number):
                over = threading.Event()
                fault = threading.Thread(target=inject_fault, args=(proxy, mode, seconds, over))
                fault.start()
                ended = run(lake, address, words)
                over.set()
                fault.join()
                rows.append(
                    f"| {words[0]} | {mode} | {ended.seconds:.0f} | {ended.status} | "
                    f"{ended.last_line[:160]} |"
                )
                print(rows[-1], flush=True)
                if ended.status and ("Traceback" in ended.errors or "mlflow" not in ended.last_line.lower()):
                    bad.append(f"{words[0]}, {mode}: {ended.last_line}")
                if ended.status and (again := run(lake, address, words)).status:
                    bad.append(f"{words[0]} again: {again.last_line}")
        client = MlflowClient(address, registry_uri=address)
        champions = [m.aliases for m in client.search_registered_models()]
        running = [
            run.info.run_name
            for experiment in client.search_experiments()
            for run in client.search_runs([experiment.experiment_id], "status = 'RUNNING'")
        ]
    one = len(champions) == 1 and "champion" in champions[0]
    return rows, [
        ("a step succeeds, or reports that MLflow is unavailable and succeeds when re-run", "; ".join(bad)),
        ("there is one model with one champion", "" if one else str(champions)),
        ("no run is left open", ", ".join(running)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10, help="duration of a fault (default %(default)s)")
    parser.add_argument("--report", default="registry_faults.md")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segue-registry-"))
    lake, music = folder / "lake", folder / "demo"
    subprocess.run([SEGUE, "demo", "--out", str(music), "--tracks", "12"], check=True)
    subprocess.run([SEGUE, "run", "--library", str(music)], env=environment(lake), check=True)
    rows, found = inject_all(lake, arguments.seconds)
    lines = ["| step | MLflow | seconds | exit | last line |", "| --- | --- | --- | --- | --- |", *rows, ""]
    lines += [
        "| invariant | |",
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
