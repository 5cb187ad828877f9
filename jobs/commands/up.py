"""Start the services of this machine, wait until each is healthy, say where they are."""

import argparse
import json
import time
from contextlib import ExitStack, suppress

import filelock

from jobs import paths, progress, settings
from jobs.errors import InputError
from jobs.lake.storage import open_lake
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka, health, processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--library",
        metavar="DIR",
        help="folder of music that nightly_refresh looks at, and ingest offers; without it the one given last",
    )
    parser.add_argument("--port", type=int, help="of the player: default 8000, or any free one")
    parser.add_argument("--airflow-port", type=int, help="default 8080, or any free one")
    parser.add_argument("--mlflow-port", type=int, help="default 5000, or any free one")


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring the services up, anew where some are left of before; print addresses and logins."""
    lake = open_lake(arguments)
    home = supervisor.ServiceHome(lake.root)
    if arguments.mongo or arguments.mlflow or arguments.kafka:
        raise InputError(
            "`segue up` starts MongoDB, Kafka and MLflow of its own: expected neither --mongo nor --kafka nor --mlflow"
        )
    processes.stop_all(home)
    if not settings.mlflow_database(lake.root).exists():
        from jobs.model import registry  # MLflow takes seconds to import

        registry.database(lake.root)
    paths.make_private_dir(lake.root / "airflow")
    # A port is free until its service has begun: another lake's `segue up` must not choose it meanwhile.
    with ExitStack() as stack:
        with suppress(
            OSError
        ):  # an installation of somebody else's, or read-only: then two at once may collide
            stack.enter_context(filelock.FileLock(supervisor.BIN.parent / "up.lock"))
        _start(home, arguments)
    print_addresses(home)
    return StepResult()


def _start(home: supervisor.ServiceHome, arguments: argparse.Namespace) -> None:
    """Choose the ports and start everything on them; return when all is healthy."""
    airflow = supervisor.free_port(arguments.airflow_port, 8080, set())
    ports = {"airflow": airflow, "mlflow": supervisor.free_port(arguments.mlflow_port, 5000, {airflow})}
    ports["serving"] = supervisor.free_port(arguments.port, 8000, set(ports.values()))
    given = supervisor.airflow_environment(
        home, ports, master=arguments.master, library=home.library(arguments.library)
    )
    wanted = supervisor.define_services(home, ports)
    healthy = 0

    def tell(count: int) -> None:
        nonlocal healthy
        healthy = count

    with progress.watch("up", len(wanted), lambda: healthy):
        state = {**ports, "supervisord": supervisor.start(home, given, wanted), "started": int(time.time())}
        supervisor.write_private(home.folder / "state.json", json.dumps(state))
        try:
            health.wait_until_healthy(home, wanted, state["supervisord"], tell)
        except BaseException:
            processes.stop_all(home)
            raise


def print_addresses(home: supervisor.ServiceHome) -> None:
    """Print where the services are, and how to log in and to end them."""
    ports, keys = home.state(), home.secrets()
    print(f"  the player   http://127.0.0.1:{ports['serving']}")
    print(f"  Airflow      http://127.0.0.1:{ports['airflow']}")
    print(f"               admin / {keys['admin']}; to look only: viewer / {keys['viewer']}")
    # Straight to the model: MLflow's first page is about other things.
    print(f"  MLflow       {settings.mlflow_model_url('http://127.0.0.1:' + str(ports['mlflow']))}")
    print(f"  Kafka        {embedded_kafka.find_embedded(home.lake)}")
    print(f"  logs         {home.folder}/logs")
    print(f"  end them     {supervisor.BIN}/segue down --lake {home.lake}")
