"""Print which services are healthy, their addresses and memory, and the latest alerts."""

import argparse
from pathlib import Path

from jobs import settings
from jobs.errors import StepError
from jobs.progress import StepResult
from jobs.runtime import health, processes, stream_status, supervisor

_MAX_ALERTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none, the lake identifies the services."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Print a line for each service. StepError if one is not healthy, or if none runs."""
    home = supervisor.ServiceHome(settings.lake_path(arguments.lake))
    for line in _latest_alerts(home.lake):
        print(f"  alert        {line}")
    state = home.state()
    if not state or not processes.find_processes(home):
        raise StepError(f"expected services over {home.lake}, found none; start them with `segue up`")
    healthy = health.check_health(home, supervisor.define_services(home, state))
    for name, is_healthy in healthy.items():
        print(f"  {name:<12} {'healthy' if is_healthy else 'not healthy'}")
    stream_line = stream_status.format_status_line(home.lake)
    if stream_line:
        print(f"  plays        {stream_line}")
    supervisor.print_addresses(home)
    if not health.is_supervised(home):
        raise StepError(
            "expected supervisord to run, found it ended: the services go on, but none is restarted; "
            "`segue up` replaces them"
        )
    unhealthy = [name for name, is_healthy in healthy.items() if not is_healthy]
    if unhealthy:
        log = home.folder / "logs" / f"{unhealthy[0]}.log"
        raise StepError(f"expected every service to be healthy, found {unhealthy[0]} unhealthy; see {log}")
    return StepResult({"services": len(healthy), "MiB (PSS)": processes.total_pss(home) >> 20})


def _latest_alerts(lake: Path) -> list[str]:
    """Return the last lines of the lake's alerts.log, which Airflow's runs append to."""
    alerts = lake / "logs" / "alerts.log"
    return alerts.read_text().splitlines()[-_MAX_ALERTS:] if alerts.exists() else []
