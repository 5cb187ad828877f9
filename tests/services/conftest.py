"""The command line as a user runs it, and what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from jobs.lake import schemas
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.runtime import embedded_mongo

SEGUE = str(Path(sys.executable).with_name("segue"))


def environment(lake: Path) -> dict[str, str]:
    """This process's environment with the lake given and nothing else of Segue's, nor of the tasks that
    Airflow's tests ran.
    """
    others = ("SEGUE_", "AIRFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)} | {
        "SEGUE_LAKE": str(lake)
    }


def segue(lake: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the console script and check its exit status."""
    done = subprocess.run(
        [SEGUE, *arguments], env=environment(lake), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == status, (
        f"segue {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done


def steps(lake: Path, *commands: list[str]) -> None:
    """Run commands of `segue` in one process, so in one JVM: its start is most of what a small step takes."""
    program = "import json, sys; from jobs.cli import main; sys.exit(any(map(main, json.loads(sys.argv[1]))))"
    command = [sys.executable, "-c", program, json.dumps(commands)]
    done = subprocess.run(command, env=environment(lake), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def rows(lake: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, sorted by key; without the one column that tells the time of a run."""
    found = {}
    for table in schemas.TABLES:
        names = [name for name in table.names if name != "first_seen"]
        ordered = Lake(lake).read_arrow(table, *names).sort_by([(name, "ascending") for name in table.key])
        found[table.name] = ordered.to_pylist()
    return found


def portable(lake: Path, *names: str) -> Any:
    """Every row of these tables as JSON has it, wherever the lake lies."""
    found = rows(lake)
    return json.loads(
        json.dumps({name: found[name] for name in names}, default=str).replace(str(lake), "lake")
    )


def documents(lake: Path) -> dict[str, dict[str, Any]]:
    """Every document of the embedded MongoDB by collection and _id.

    Without the one field that tells the time.
    """
    with embedded_mongo.embedded_mongo(lake / "mongo") as uri, mongo.database(uri) as database:
        return {
            name: {
                document["_id"]: {**document, "published_at": None, "as_of": None, "snapshots": None}
                for document in database[name].find()
            }
            for name in ("tracks", "similar", "state")
        }
