"""The health of the services of one lake."""

import json
import time
import urllib.request
from collections.abc import Callable

import psutil

from jobs.errors import StepError
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, processes, stream_status
from jobs.runtime.supervisor import Service, ServiceHome

# All services are healthy after 25 s on an idle machine, after minutes on one that compiles.
_START_LIMIT_S = 300

# A service that has exited this often before all are healthy cannot start.
_MAX_EXITS = 4


def wait_until_healthy(
    home: ServiceHome, services: list[Service], supervisor: int, report: Callable[[int], None]
) -> None:
    """Return once every service is healthy.

    Parameters
    ----------
    home
        The files of the services.
    services
        The services to wait for.
    supervisor
        Supervisord's process id.
    report
        Called with the number of healthy services, every 0.3 s.

    Raises
    ------
    StepError
        A service keeps exiting, supervisord has ended, or the time limit is over; it names the log.
    """
    deadline = time.monotonic() + _START_LIMIT_S
    waiting = {service.name for service in services}
    while waiting:
        waiting = {name for name, healthy in check_health(home, services).items() if not healthy}
        report(len(services) - len(waiting))
        failed = _exited_too_often(home, waiting)
        if waiting and (failed or time.monotonic() > deadline or not psutil.pid_exists(supervisor)):
            first = sorted(failed or waiting)[0]
            raise StepError(f"expected {first} to start, found it ended; see {home.folder}/logs/{first}.log")
        time.sleep(0.3 if waiting else 0)


def _exited_too_often(home: ServiceHome, waiting: set[str]) -> list[str]:
    """Return the services that supervisord has seen exit `_MAX_EXITS` times."""
    log = home.folder / "logs" / "supervisord.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    return [name for name in waiting if text.count(f"exited: {name} ") >= _MAX_EXITS]


def is_supervised(home: ServiceHome) -> bool:
    """Return whether supervisord runs: without it the services go on, but none is restarted."""
    leader = home.state().get("supervisord")
    return leader is not None and any(process.pid == leader for process in processes.find_processes(home))


def check_health(home: ServiceHome, services: list[Service]) -> dict[str, bool]:
    """Return by name whether each service is healthy: by its URL, its process, or Airflow's own report."""
    api_server = next(service for service in services if service.name == "api-server")
    airflow = _airflow_health(api_server.health_url)
    healthy = {}
    for service in services:
        if service.name in ("scheduler", "dag-processor"):
            healthy[service.name] = airflow.get(service.name.replace("-", "_")) == "healthy"
        elif service.health_url is None:
            healthy[service.name] = _CHECKS_WITHOUT_URL[service.name](home.lake)
        else:
            healthy[service.name] = _fetch(service.health_url) is not None
    return healthy


def _fetch(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bytes(response.read())
    except OSError:
        return None


def _airflow_health(url: str | None) -> dict[str, str]:
    """Return the status of Airflow's components as its API reports them; empty if it does not answer."""
    answer = _fetch(url) if url else None
    report = json.loads(answer) if answer else {}
    return {
        name: component.get("status") or ""
        for name, component in report.items()
        if isinstance(component, dict)
    }


_CHECKS_WITHOUT_URL = {
    "mongo": lambda lake: embedded_server.is_running(embedded_mongo.MONGO, lake / "mongo"),
    "kafka": lambda lake: embedded_server.is_running(embedded_kafka.KAFKA, lake / "kafka"),
    "stream": stream_status.is_alive,
}
