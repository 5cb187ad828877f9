"""`segue fma`: the Free Music Archive data set: its archives, its features, its published baselines."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from jobs.commands import fma_baselines, fma_download, fma_export, fma_import
from jobs.progress import StepResult


@dataclass(frozen=True)
class _Command:
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    main: Callable[[argparse.Namespace], StepResult]


_COMMANDS = {
    "download": _Command(
        "download, verify and unpack FMA's archives", fma_download.add_arguments, fma_download.main
    ),
    "import": _Command(
        "import features.csv or echonest.csv into FEATURES, without any audio",
        fma_import.add_arguments,
        fma_import.main,
    ),
    "export": _Command(
        "export a version of FEATURES as a features.csv", fma_export.add_arguments, fma_export.main
    ),
    "baselines": _Command(
        "reproduce FMA's published genre baselines from features.csv and tracks.csv",
        fma_baselines.add_arguments,
        fma_baselines.main,
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their arguments."""
    subparsers = parser.add_subparsers(dest="fma_command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.summary, description=f"{command.summary[0].upper()}{command.summary[1:]}."
        )
        command.add_arguments(subparser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Run one sub-command."""
    return _COMMANDS[arguments.fma_command].main(arguments)
