"""Back to the champion before this one: two aliases and one document move, nothing is trained or copied.

Stopped half way, the same command goes on.
"""

import argparse
import time

from jobs.lake.storage import open_lake
from jobs.model import registry
from jobs.online import mongo
from jobs.progress import StepResult
from jobs.runtime import embedded_mongo
from jobs.steps import publish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one champion to go back to."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Make the previous champion champion and bring it online again; return both versions and the seconds it took."""
    lake = open_lake(arguments)
    registry.connect(arguments.mlflow, lake.root)
    with embedded_mongo.mongo_uri(arguments.mongo, lake.root) as uri:
        started = time.monotonic()
        with mongo.database(uri) as database:
            database["settings"].find_one({"_id": "champion"})  # a store that is away changes nothing
        old, new = registry.restore_previous()
        if publish.restore_champion(uri, new):
            registry.set_champion(new)
            how = f"flipped in {time.monotonic() - started:.2f} s"
        else:  # MongoDB has lost it, or never had it
            publish.main(arguments)
            how = "published again"
    return StepResult({"instead of": old, "online copy": how}, model_version=new)
