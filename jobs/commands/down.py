"""End the services that `segue up` started."""

import argparse

from jobs import settings
from jobs.progress import StepResult
from jobs.runtime import processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none, the lake says which services."""


def main(arguments: argparse.Namespace) -> StepResult:
    """End all of them; where none is up, there is nothing to do."""
    return StepResult(
        {"processes ended": processes.stop_all(supervisor.ServiceHome(settings.lake_path(arguments.lake)))}
    )
