"""The command line: parse one command, run it, and turn errors into an exit status and one line."""

import argparse
import errno
import importlib
import logging
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import pipeline, progress, settings
from jobs.errors import InputError, StepError
from jobs.lake.storage import open_lake
from jobs.progress import StepResult
from jobs.runtime import task_watchdog
from jobs.spark import session


@dataclass(frozen=True, kw_only=True)
class Command:
    """One `segue` command: its line in `--help`, its module, whether it locks the lake for writing."""

    summary: str
    module: str
    writes_lake: bool = False
    # Whether it takes the common addresses: lake, MongoDB, Kafka, MLflow, Spark.
    has_addresses: bool = True


def _command(module: str, summary: str, *, writes_lake: bool = False, has_addresses: bool = True) -> Command:
    return Command(
        summary=summary,
        module=f"jobs.commands.{module}",
        writes_lake=writes_lake,
        has_addresses=has_addresses,
    )


# What `segue --help` shows, in groups.
GROUPS: dict[str, dict[str, Command]] = {
    "pipeline steps": {
        "run": _command("run", "run every step below over a folder of music; resumes", writes_lake=True),
        **{
            step.name: Command(summary=step.summary, module=f"jobs.steps.{step.name}", writes_lake=True)
            for step in pipeline.STEPS
        },
    },
    "models": {
        "models": _command("models", "list the versions of the model"),
        "rollback": _command("rollback", "restore the previous champion at once", writes_lake=True),
    },
    "services": {
        "up": _command(
            "up", "start player, stream, Airflow, MLflow and the embedded services on this machine"
        ),
        "status": _command("status", "show which services are up, and the latest alerts"),
        "down": _command("down", "stop the services"),
        "serve": _command("serve", "serve the player, its API and the APIs of other players"),
        "stream": _command("stream", "process play events from Kafka: update profiles and recommendations"),
        "user": _command(
            "user", "add, list, change and remove users; create app passwords", has_addresses=False
        ),
        "upgrade": _command("upgrade", "upgrade a lake that Segue 0.1 wrote"),
    },
    "data": {
        "import-plays": _command(
            "import_plays", "import a history of ListenBrainz, Last.fm or Spotify as play events"
        ),
        "produce": _command("produce", "send play events to Kafka, from a file or of simulated users"),
        "demo": _command("demo", "write the demo library: 60 short pieces of music", has_addresses=False),
        "describe": _command(
            "describe", "show one file's features: a table, JSON or a plot", has_addresses=False
        ),
        "sample": _command(
            "sample", "make a smaller library, stratified by genre, split by artist", has_addresses=False
        ),
        "fma": _command(
            "fma", "the Free Music Archive: download, import, export, baselines", has_addresses=False
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


# What is said of a full disk: by the system, which Spark repeats deep in a page of Java, and by SQLite.
_DISK_FULL_MESSAGES = (os.strerror(errno.ENOSPC), "database or disk is full")

# One of our own lines, said on one of Spark's workers.
_WORKER_ERROR = re.compile(r"^jobs\.errors\.(?:StepError|InputError): (.+)$", re.MULTILINE)

# Bytes without which whatever fails does so for that reason, whatever it says: a store that is gone, a worker that has ended.
_MIN_FREE_BYTES = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 could not be done, 2 bad input."""
    arguments = parse(argv)
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING, stream=sys.stderr
    )
    logging.getLogger("segue").setLevel(logging.INFO)
    if (task := settings.airflow_task_pid()) is not None:
        task_watchdog.end_with_task(task)
    try:
        with progress.display():
            result = _run(arguments)
    except KeyboardInterrupt:
        print(f"segue {arguments.command}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"segue {arguments.command}: {error_message(error, arguments)}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if getattr(arguments, "summary_json", None):
        Path(arguments.summary_json).write_text(result.to_json())
    if result.summary():
        print(f"{arguments.command}: {result.summary()}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of one command."""
    parser = argparse.ArgumentParser(
        prog="segue",
        usage="segue COMMAND [options]",
        description="A folder of music becomes a streaming service.",
        epilog=_command_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    argv = sys.argv[1:] if argv is None else list(argv)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, description=command.summary)
        if name in argv[:1]:  # importing every command costs a second
            importlib.import_module(command.module).add_arguments(subparser)
            if command.has_addresses:
                settings.add_arguments(subparser)
    return parser.parse_args(argv)


def _command_list() -> str:
    """Return the commands by group, as the end of `segue --help` shows them."""
    width = max(map(len, COMMANDS)) + 2
    lines = []
    for title, commands in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {name:<{width}}{command.summary}" for name, command in commands.items()]
        lines.append("")
    return "\n".join(lines) + "segue COMMAND --help shows a command's options."


def error_message(error: Exception, arguments: argparse.Namespace) -> str:
    """Return the one line that the console gets."""
    if isinstance(error, InputError):
        return str(error)
    free = _free_bytes(arguments)
    said = _WORKER_ERROR.findall(str(error)) if not isinstance(error, StepError) else [str(error)]
    if (
        any(words in str(error) for words in _DISK_FULL_MESSAGES)
        or min(free.values(), default=_MIN_FREE_BYTES) < _MIN_FREE_BYTES
    ):
        shown = ", ".join(f"{count >> 20} MiB at {place}" for place, count in free.items())
        also = f" (found first: {said[-1][:200]})" if said else ""
        return f"expected room on the disk, found it full ({shown}); free some, and the same command goes on{also}"
    if said:
        return str(said[-1])
    if isinstance(error, OSError):
        return str(error)
    # A defect of ours, or of Spark's: the console gets a line, a file all of it.
    first = next(iter(str(error).strip().splitlines()), "")
    return f"unexpected {type(error).__name__}: {first[:200]}; the whole of it: {_save_traceback()}"


def _free_bytes(arguments: argparse.Namespace) -> dict[str, int]:
    """Return the bytes that are free where the command writes."""
    free = {}
    with suppress(OSError):  # the lake is not there yet
        if "lake" in arguments:
            place = str(settings.lake_path(arguments.lake))
            free[place] = shutil.disk_usage(place).free
    try:  # Python looks whether it can write there
        free[tempfile.gettempdir()] = shutil.disk_usage(tempfile.gettempdir()).free
    except FileNotFoundError:
        free["the folder for temporary files"] = 0
    return free


def _save_traceback() -> Path:
    """Write the traceback of the exception at hand where a bug report can take it from; return the file."""
    descriptor, name = tempfile.mkstemp(prefix="segue-error-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        traceback.print_exc(file=file)
    return Path(name)


def _run(arguments: argparse.Namespace) -> StepResult:
    command = COMMANDS[arguments.command]
    module: Any = importlib.import_module(command.module)
    if not command.writes_lake:
        return module.main(arguments)
    lake = open_lake(arguments)
    session.redirect_stderr_to(lake.root / "logs" / "spark.log")
    with lake.locked():
        return module.main(arguments)
