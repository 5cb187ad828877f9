"""End the services that `segue up` started."""

import argparse
from typing import Any

from jobs import settings
from jobs.runtime import processes, supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: none, the lake says which services."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """End all of them; where none is up, there is nothing to do."""
    return {"processes ended": processes.stop(supervisor.Home(settings.lake_path(arguments.lake)))}
