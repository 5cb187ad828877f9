"""Say which services are up, where, how much memory they take, and what alerts there were."""

import argparse

from jobs import settings
from jobs.commands import up
from jobs.errors import StepError
from jobs.progress import StepResult
from jobs.runtime import health, processes, stream_status, supervisor

# Alerts shown, the latest ones.
_ALERTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none, the lake says which services."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Print a line for each service; StepError where one is not healthy, or none is up."""
    home = supervisor.ServiceHome(settings.lake_path(arguments.lake))
    state = home.state()
    alerts = home.lake / "logs" / "alerts.log"
    for line in alerts.read_text().splitlines()[-_ALERTS:] if alerts.exists() else []:
        print(f"  alert        {line}")
    if not state or not processes.find_processes(home):
        raise StepError(f"expected services over {home.lake}, found none; start them with `segue up`")
    found = health.check_health(home, supervisor.define_services(home, state))
    for name, good in found.items():
        print(f"  {name:<12} {'healthy' if good else 'not healthy'}")
    if line := stream_status.format_status_line(home.lake):
        print(f"  plays        {line}")
    up.print_addresses(home)
    if not health.is_supervised(home):
        raise StepError(
            "expected supervisord to keep the services, found it ended: they work on, but none is started again; "
            "`segue up` takes their place"
        )
    sick = [name for name, good in found.items() if not good]
    if sick:
        raise StepError(
            f"expected every service to be healthy, found {sick[0]} not; see {home.folder}/logs/{sick[0]}.log"
        )
    return StepResult({"services": len(found), "MiB (PSS)": processes.total_pss(home) >> 20})
