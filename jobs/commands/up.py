"""Start the services of this machine, wait until all are healthy, print their addresses."""

import argparse
import signal
import time
from contextlib import ExitStack, suppress
from typing import NoReturn

import filelock

from jobs import paths, progress, settings
from jobs.errors import InputError
from jobs.lake.storage import open_lake
from jobs.progress import StepResult
from jobs.runtime import airflow_environment, health, ports, processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--library",
        metavar="DIR",
        help="folder of music for nightly_refresh and ingest (SEGUE_LIBRARY, default: the one given last)",
    )
    parser.add_argument("--port", type=int, help="player port (default 8000; another free port if taken)")
    parser.add_argument(
        "--airflow-port", type=int, help="Airflow port (default 8080; another free port if taken)"
    )
    parser.add_argument(
        "--mlflow-port", type=int, help="MLflow port (default 5000; another free port if taken)"
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Start the services, after stopping what is left of an earlier start; print addresses and logins."""
    lake = open_lake(arguments)
    home = supervisor.ServiceHome(lake.root, settings.lake_store(arguments.lake))
    if arguments.mongo or arguments.mlflow or arguments.kafka:
        raise InputError(
            "expected neither --mongo nor --kafka nor --mlflow (nor their environment variables), found one: "
            "`segue up` starts its own"
        )
    processes.stop_all(home)
    if not settings.mlflow_database(lake.root).exists():
        from jobs.model import tracking  # MLflow takes seconds to import

        tracking.database(lake.root)
    paths.make_private_dir(lake.root / "airflow")
    # A chosen port counts as free until its service listens: `segue up` over another lake must wait.
    with ExitStack() as stack:
        with suppress(OSError):  # the installation is read-only: run without that lock
            stack.enter_context(filelock.FileLock(supervisor.BIN.parent / "up.lock"))
        _start(home, arguments)
    supervisor.print_addresses(home)
    return StepResult()


def _start(home: supervisor.ServiceHome, arguments: argparse.Namespace) -> None:
    """Choose the ports and start everything; return when all services are healthy."""
    chosen = _choose_ports(arguments)
    environment = airflow_environment.service_environment(
        home, chosen, master=arguments.master, library=home.library(arguments.library)
    )
    services = supervisor.define_services(home, chosen)
    n_healthy = 0

    def report(count: int) -> None:
        nonlocal n_healthy
        n_healthy = count

    handler = signal.signal(signal.SIGTERM, _exit)
    with progress.watch("up", len(services), lambda: n_healthy):
        try:
            pid = supervisor.start(home, environment, services)
            home.write("state.json", {**chosen, "supervisord": pid, "started": int(time.time())})
            health.wait_until_healthy(home, services, pid, report)
        except BaseException:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not end this either
            processes.stop_all(home)
            raise
    signal.signal(signal.SIGTERM, handler)


def _exit(number: int, _: object) -> NoReturn:
    """Exit as Python does on Ctrl-C, so that what was started is stopped: by default SIGTERM ends at once."""
    raise SystemExit(128 + number)


def _choose_ports(arguments: argparse.Namespace) -> dict[str, int]:
    """Return a free port for each service that has a page."""
    airflow = ports.free_port(arguments.airflow_port, 8080, taken=())
    mlflow = ports.free_port(arguments.mlflow_port, 5000, taken=(airflow,))
    player = ports.free_port(arguments.port, 8000, taken=(airflow, mlflow))
    return {"airflow": airflow, "mlflow": mlflow, "serving": player}
