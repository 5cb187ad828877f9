"""How the services of one machine are."""

import json
import time
import urllib.request
from collections.abc import Callable

import psutil

from jobs.errors import StepError
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, processes, stream_status
from jobs.runtime.supervisor import Service, ServiceHome

# Seconds: all are healthy after 25 on an idle machine, after minutes on one that compiles; ended after 2.
_UP_LIMIT_S = 300

# A service that ends so often before all are healthy cannot start.
_TRIES = 4


def wait_until_healthy(
    home: ServiceHome, wanted: list[Service], supervisor: int, tell: Callable[[int], None]
) -> None:
    """Return once every service is healthy, told how many are; StepError, with the log to read, for one not in time."""
    deadline = time.monotonic() + _UP_LIMIT_S
    waiting = {service.name for service in wanted}
    while waiting:
        waiting = {name for name, good in check_health(home, wanted).items() if not good}
        tell(len(wanted) - len(waiting))
        log = home.folder / "logs" / "supervisord.log"
        said = log.read_text(errors="replace") if log.exists() else ""
        given_up = [name for name in waiting if said.count(f"exited: {name} ") >= _TRIES]
        if waiting and (given_up or time.monotonic() > deadline or not psutil.pid_exists(supervisor)):
            first = sorted(given_up or waiting)[0]
            raise StepError(f"expected {first} to start, found it ended; see {home.folder}/logs/{first}.log")
        time.sleep(0.3 if waiting else 0)


def is_supervised(home: ServiceHome) -> bool:
    """Tell whether supervisord lives: without it services go on, but one that ends is not started again."""
    leader = home.state().get("supervisord")
    return leader is not None and any(process.pid == leader for process in processes.find_processes(home))


def check_health(home: ServiceHome, wanted: list[Service]) -> dict[str, bool]:
    """Ask every service how it is: by its address, or by what Airflow's API says of its parts."""
    parts = _airflow_parts(next(service.health for service in wanted if service.name == "api-server"))
    found = {}
    for service in wanted:
        if service.name in ("scheduler", "dag-processor"):
            found[service.name] = parts.get(service.name.replace("-", "_")) == "healthy"
        elif service.health is None:
            found[service.name] = _WITHOUT_ADDRESS[service.name](home.lake)
        else:
            found[service.name] = _ask(service.health) is not None
    return found


def _ask(address: str) -> bytes | None:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def _airflow_parts(address: str | None) -> dict[str, str]:
    answer = _ask(address) if address else None
    said = json.loads(answer) if answer else {}
    return {name: part.get("status") or "" for name, part in said.items() if isinstance(part, dict)}


# How those are that have no address for it.
_WITHOUT_ADDRESS = {
    "mongo": lambda lake: embedded_server.is_running(embedded_mongo.MONGO, lake / "mongo"),
    "kafka": lambda lake: embedded_server.is_running(embedded_kafka.KAFKA, lake / "kafka"),
    "stream": stream_status.is_alive,
}
