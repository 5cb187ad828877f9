"""The command line: `segue <step>`, also `python -m jobs <step>` and `spark-submit jobs/__main__.py <step>`."""

import argparse
import errno
import importlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # spark-submit has put jobs/ itself in front, and a zip of ours behind it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from jobs import progress, session, settings  # noqa: E402
from jobs.errors import InputError, StepError  # noqa: E402
from jobs.orchestration import lifeline  # noqa: E402
from jobs.storage import Lake  # noqa: E402

# What `segue --help` shows, and whether the command writes to the lake (one writer at a time).
COMMANDS = {
    "run": ("the whole batch over a folder of music, from where the last one stopped", True),
    "demo": ("write the demo library: 60 short pieces of music", False),
    "compress": ("compress a folder of music with FFmpeg", True),
    "catalog": ("describe what was found: ids, titles, artists, what FMA's metadata says", True),
    "extract": ("compute the features of every track with librosa", True),
    "recordings": ("find the tracks that are one recording", True),
    "embed": ("standardise and project the features to one vector per track", True),
    "cluster": ("train the model (K-Means over a grid of k) and log it in MLflow", True),
    "evaluate": ("measure the model beside the champion and baselines, in MLflow", True),
    "promote": ("make a version of the model champion if it is not worse, and bring it online", True),
    "rollback": ("back to the champion before this one, at once", True),
    "models": ("list the versions of the model", False),
    "publish": ("bring tracks, neighbours and the champion to MongoDB", True),
    "recommend": ("learn from plays what goes together; lists for everybody, and to start with", True),
    "stream": ("listen to plays on Kafka: profiles and recommendations within a second", False),
    "produce": ("send play events to Kafka, from a file or of simulated listeners", False),
    "listens": ("bring a history of ListenBrainz, Last.fm or Spotify as plays to Kafka", False),
    "serve": ("serve the player, its API and the APIs of other players", False),
    "user": ("add, list, change and remove who may listen", False),
    "up": ("start the player, the stream, Airflow, MLflow and the embedded services on this machine", False),
    "status": ("say which services are up, and the latest alerts", False),
    "down": ("end the services", False),
    "fma": ("the Free Music Archive's data set: download it, import and export its features", False),
    "sample": ("make a smaller library: the genres in their shares, no artist in two splits", False),
    "protocol": ("FMA's published genre protocol on its features.csv and tracks.csv", False),
    "features": ("show one file's features: a table, JSON or a picture", False),
}


# What is said of a full disk: by the system, which Spark repeats deep in a page of Java, and by SQLite.
_FULL = (os.strerror(errno.ENOSPC), "database or disk is full")

# One of our own lines, said on one of Spark's workers.
_OURS = re.compile(r"^jobs\.errors\.(?:StepError|InputError): (.+)$", re.MULTILINE)

# Bytes without which whatever fails does so for that reason, whatever it says: a store that is gone, a worker that has ended.
_ROOM = 1 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 could not be done, 2 bad input."""
    arguments = parse(argv)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("segue").setLevel(logging.INFO)
    if (task := settings.task()) is not None:
        lifeline.hold(task)
    try:
        with progress.display():
            counts = _run(arguments)
    except KeyboardInterrupt:
        print(f"segue {arguments.command}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"segue {arguments.command}: {_told(error, arguments)}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if getattr(arguments, "counts", None):
        Path(arguments.counts).write_text(json.dumps(counts))
    if counts:
        print(f"{arguments.command}: {progress.summary(counts)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of one command."""
    parser = argparse.ArgumentParser(prog="segue", description="A folder of music becomes a streaming service.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    argv = sys.argv[1:] if argv is None else list(argv)
    for name, (summary, _) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in argv[:1]:  # importing every step costs a second
            _module(name).add_arguments(command)
            if name not in (
                "demo",
                "features",
                "fma",
                "protocol",
                "sample",
            ):  # they know no lake, or name it themselves
                settings.add_arguments(command)
    return parser.parse_args(argv)


def _told(error: Exception, arguments: argparse.Namespace) -> str:
    """Return the one line that the console gets."""
    if isinstance(error, InputError):
        return str(error)
    free = _free(arguments)
    said = _OURS.findall(str(error)) if not isinstance(error, StepError) else [str(error)]
    if any(words in str(error) for words in _FULL) or min(free.values(), default=_ROOM) < _ROOM:
        shown = ", ".join(f"{count >> 20} MiB at {place}" for place, count in free.items())
        also = f" (found first: {said[-1][:200]})" if said else ""
        return f"expected room on the disk, found it full ({shown}); free some, and the same command goes on{also}"
    if said:
        return str(said[-1])
    if "API request to http" in str(error):  # MLflow's, amid a step
        return f"--mlflow: expected the server to answer, found: {str(error).splitlines()[0][:300]}; the same command goes on"
    if isinstance(error, OSError):
        return str(error)
    # A defect of ours, or of Spark's: the console gets a line, a file all of it.
    first = next(iter(str(error).strip().splitlines()), "")
    return f"unexpected {type(error).__name__}: {first[:200]}; the whole of it: {_save_traceback()}"


def _free(arguments: argparse.Namespace) -> dict[str, int]:
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


def _module(command: str) -> Any:
    return importlib.import_module(f"jobs.{command}")


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    module = _module(arguments.command)
    if not COMMANDS[arguments.command][1]:
        return module.main(arguments)
    lake = Lake(settings.lake_path(arguments.lake))
    session.log_to(lake.root / "logs" / "spark.log")
    with lake.locked():
        return module.main(arguments)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status) if status == 130 else sys.exit(status)
