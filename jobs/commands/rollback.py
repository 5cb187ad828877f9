"""Back to the champion before this one: two aliases and one document move, nothing is trained or copied.

Stopped half way, the same command goes on.
"""

import argparse
import time

from jobs.lake.storage import open_lake
from jobs.model import registry
from jobs.online import mongo, publisher, state
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one champion to go back to."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Make the previous champion champion and bring it online again; return both versions and the seconds it took."""
    lake = open_lake(arguments)
    registry.connect(arguments.mlflow, lake.root)
    with mongo.connect(arguments.mongo, lake.root) as database:
        started = time.monotonic()
        state.champion(database)  # raises before anything is changed if the store does not answer
        old, new = registry.restore_previous()
        if publisher.restore_champion(database, new):
            registry.set_champion(new)
            how = f"flipped in {time.monotonic() - started:.2f} s"
        else:  # the store does not have that version
            publisher.publish_champion(lake, master=arguments.master, mongo_uri=arguments.mongo)
            how = "published again"
    return StepResult({"instead of": old, "online copy": how}, model_version=new)
