"""Back to the champion before this one: two aliases and one document move, nothing is trained or copied.

Stopped half way, the same command goes on.
"""

import argparse
import time
from typing import Any

from jobs import settings
from jobs.lake.storage import Lake
from jobs.model import registry
from jobs.online import mongo
from jobs.runtime import embedded_mongo
from jobs.steps import publish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one champion to go back to."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the previous champion champion and bring it online again; return both versions and the seconds it took."""
    lake = Lake(settings.lake_path(arguments.lake))
    registry.connect(arguments.mlflow, lake.root)
    with embedded_mongo.mongo_at(arguments.mongo, lake.root) as uri:
        started = time.monotonic()
        with mongo.database(uri) as database:
            database["settings"].find_one({"_id": "champion"})  # a store that is away changes nothing
        old, new = registry.uncrown()
        if publish.flip_back(uri, new):
            registry.crown(new)
            how = f"flipped in {time.monotonic() - started:.2f} s"
        else:  # MongoDB has lost it, or never had it
            publish.main(arguments)
            how = "published again"
    return {"model version": new, "instead of": old, "online copy": how}
