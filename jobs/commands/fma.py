"""`segue fma`: the Free Music Archive's data set: its archives, its metadata, its features."""

import argparse
import importlib

from jobs.progress import StepResult

# The command's own commands: the module of each, and what it does.
_COMMANDS = {
    "download": ("jobs.fma.download", "download and unpack its archives"),
    "import": (
        "jobs.commands.fma_import",
        "take features.csv or echonest.csv into FEATURES, without any audio",
    ),
    "export": ("jobs.commands.fma_export", "write FEATURES as a features.csv"),
    "baselines": (
        "jobs.commands.fma_baselines",
        "FMA's published genre baselines, from features.csv and tracks.csv",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their arguments."""
    commands = parser.add_subparsers(dest="fma_command", required=True, metavar="COMMAND")
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        importlib.import_module(module).add_arguments(command)


def main(arguments: argparse.Namespace) -> StepResult:
    """Run one of the commands."""
    module, _ = _COMMANDS[arguments.fma_command]
    result: StepResult = importlib.import_module(module).main(arguments)
    return result
