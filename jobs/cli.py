"""The command line: parse one command, run it, map errors to an exit status and one line."""

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
from jobs.errors import InputError, own_message
from jobs.lake.storage import open_lake
from jobs.progress import StepResult
from jobs.runtime import task_watchdog


@dataclass(frozen=True, kw_only=True)
class Command:
    """A `segue` command."""

    # Its line in `--help`.
    summary: str
    # Has `add_arguments(parser)` and `main(arguments) -> StepResult`.
    module: str
    # Whether it locks the lake for writing.
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


# The groups of `segue --help`.
GROUPS: dict[str, dict[str, Command]] = {
    "pipeline steps": {
        "run": _command("run", "run all pipeline steps over a folder of music", writes_lake=True),
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
        "up": _command("up", "start the player, Airflow, MLflow, stream and embedded servers"),
        "status": _command("status", "show which services are up, and the latest alerts"),
        "down": _command("down", "stop the services"),
        "serve": _command("serve", "serve the player, its API and the APIs of other players"),
        "stream": _command("stream", "process play events: update profiles and recommendations"),
        "user": _command(
            "user", "add, list, change, remove users; create app passwords; back up", has_addresses=False
        ),
    },
    "data": {
        "import-plays": _command("import_plays", "import a history of ListenBrainz, Last.fm or Spotify"),
        "produce": _command("produce", "send play events to Kafka, from a file or of simulated users"),
        "demo": _command("demo", "write the demo library: 60 short pieces of music", has_addresses=False),
        "describe": _command(
            "describe", "show one file's features: a table, JSON or a plot", has_addresses=False
        ),
        "upgrade": _command("upgrade", "upgrade a lake that Segue 0.1 wrote"),
        "sample": _command(
            "sample", "make a smaller library, stratified by genre, split by artist", has_addresses=False
        ),
        "fma": _command(
            "fma", "the Free Music Archive: download, import, export, baselines", has_addresses=False
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


# Messages for "disk full": from the operating system (also inside Spark's Java traces) and from SQLite.
_DISK_FULL_MESSAGES = (os.strerror(errno.ENOSPC), "database or disk is full")

# With less free space than this, report "disk full" whatever the error is: other failures follow from it,
# such as a store that closes or a worker that ends.
_MIN_FREE_BYTES = 1 << 20

# What to do about an error of Spark or the system whose cause is known, by words of its message.
_ADVICE = (
    (
        re.compile(
            r"OutOfMemoryError|Java heap space|GC overhead limit|Not enough memory to build and broadcast"
        ),
        "Spark has too little memory: raise spark.driver.memory in spark_conf/, or close other programs",
    ),
    (
        re.compile(r"Could not execute broadcast in \d+|broadcast.*timeout|autoBroadcastJoinThreshold", re.I),
        "a broadcast did not end in time: set spark.sql.autoBroadcastJoinThreshold to -1 in spark_conf/",
    ),
    (
        re.compile(
            r"Address already in use|BindException|service 'sparkDriver'|Can't assign requested address"
        ),
        "a port or an address cannot be used: end the program that has it, or set SPARK_LOCAL_IP=127.0.0.1",
    ),
)

INTERRUPTED_STATUS = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    arguments = parse(argv)
    configure_logging()
    task_pid = settings.airflow_task_pid()
    if task_pid is not None:
        task_watchdog.end_with_task(task_pid)
    try:
        with progress.display():
            result = _run(arguments)
        if getattr(arguments, "summary_json", None):
            arguments.summary_json.write_text(result.to_json())
    except KeyboardInterrupt:
        message = "interrupted; re-run the same command to resume"
        print(f"segue {arguments.command}: {message}", file=sys.stderr)
        return INTERRUPTED_STATUS
    except Exception as error:
        print(f"segue {arguments.command}: {error_message(error, arguments)}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if result.details:
        print(result.details)
    if result.summary():
        print(f"{arguments.command}: {result.summary()}")
    return 0


def configure_logging() -> None:
    """Log to stderr: our own lines from INFO on, the libraries' warnings."""
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING, stream=sys.stderr
    )
    logging.getLogger("segue").setLevel(logging.INFO)
    # kafka-python logs a line for each attempt while the broker is unavailable; we log the outage once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of one command. Only its module is imported: importing all takes a second."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="segue",
        usage="segue COMMAND [options]",
        description="Turn a folder of music into a private streaming service with recommendations.",
        epilog=_command_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="segue", help=argparse.SUPPRESS
    )
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name, description=f"{command.summary[0].upper()}{command.summary[1:]}."
        )
        if arguments[:1] == [name]:
            importlib.import_module(command.module).add_arguments(subparser)
            if command.has_addresses:
                settings.add_arguments(subparser)
    return parser.parse_args(arguments)


def _command_list() -> str:
    """Return the commands by group, for the end of `segue --help`."""
    width = max(len(name) for name in COMMANDS) + 2
    lines = []
    for title, commands in GROUPS.items():
        lines.append(f"{title}:")
        for name, command in commands.items():
            lines.append(f"  {name:<{width}}{command.summary}")
        lines.append("")
    lines.append("segue COMMAND --help shows a command's options.")
    return "\n".join(lines)


def error_message(error: Exception, arguments: argparse.Namespace) -> str:
    """Return the one line that the console prints for an error."""
    if isinstance(error, InputError):
        return str(error)
    message = own_message(error)
    free = _free_bytes(arguments)
    if _is_disk_full(error, free):
        places = ", ".join(f"{count >> 20} MiB at {place}" for place, count in free.items())
        cause = f" (first error: {message[:200]})" if message else ""
        return (
            f"expected room on the disk, found it full ({places}); "
            f"free some, then re-run the same command to resume{cause}"
        )
    if message:
        return message
    if isinstance(error, OSError):
        return str(error) + (f"; {_ADVICE[2][1]}" if error.errno == errno.EADDRINUSE else "")
    # A defect of Segue or of Spark: one line on the console, the traceback in a file.
    lines = str(error).strip().splitlines() or [""]
    advice = "".join(f"; {text}" for pattern, text in _ADVICE if pattern.search(str(error)))
    return f"unexpected {type(error).__name__}: {lines[0][:200]}{advice}; traceback: {_save_traceback()}"


def _is_disk_full(error: Exception, free: dict[str, int]) -> bool:
    """Return whether a full disk is the cause: the error says so, or hardly any space is left."""
    if any(message in str(error) for message in _DISK_FULL_MESSAGES):
        return True
    return any(count < _MIN_FREE_BYTES for count in free.values())


def _free_bytes(arguments: argparse.Namespace) -> dict[str, int]:
    """Return the free bytes of the folders that the command writes to, by their path."""
    free = {}
    with suppress(OSError):  # the lake does not exist yet
        if "lake" in arguments:
            lake = str(settings.lake_path(arguments.lake))
            free[lake] = shutil.disk_usage(lake).free
    try:
        temporary = tempfile.gettempdir()  # raises if no such folder can be written
        free[temporary] = shutil.disk_usage(temporary).free
    except FileNotFoundError:
        free["the folder for temporary files"] = 0
    return free


def _save_traceback() -> Path:
    """Write the traceback of the current exception to a file for a bug report; return its path."""
    descriptor, name = tempfile.mkstemp(prefix="segue-error-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        traceback.print_exc(file=file)
    return Path(name)


def _run(arguments: argparse.Namespace) -> StepResult:
    """Run the command's module; lock the lake if the command writes to it."""
    command = COMMANDS[arguments.command]
    module: Any = importlib.import_module(command.module)
    if not command.writes_lake:
        return module.main(arguments)
    lake = open_lake(arguments)
    from jobs.spark import session  # here, since it loads PySpark: commands without Spark do without

    session.redirect_stderr_to(lake.root / "logs" / "spark.log")
    with lake.locked():
        return module.main(arguments)
