"""Stop the services that `segue up` started."""

import argparse

from jobs import settings
from jobs.progress import StepResult
from jobs.runtime import processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none, the lake identifies the services."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Stop all services; without any, do nothing."""
    home = supervisor.ServiceHome(settings.lake_path(arguments.lake))
    return StepResult({"processes ended": processes.stop_all(home)})
