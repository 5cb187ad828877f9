"""Restore the previous champion: two aliases and one document change, nothing is trained or copied.

If it is stopped half way, the same command continues.
"""

import argparse
import time

from jobs.lake.storage import open_lake
from jobs.model import registry, tracking
from jobs.online import mongo, publisher, state
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is one previous champion."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Make the previous champion the champion and put it online.

    Return both versions and the time it took.
    """
    lake = open_lake(arguments)
    tracking.connect(arguments.mlflow, lake.root)
    with mongo.connect(arguments.mongo, lake.root) as database:
        started = time.monotonic()
        state.champion(database)  # raises before anything is changed if the store does not answer
        rolled_back, restored = registry.restore_previous()
        if publisher.restore_champion(database, restored):
            registry.set_champion(restored)
            outcome = f"flipped in {time.monotonic() - started:.2f} s"
        else:  # the store does not have that version
            publisher.publish_champion(lake, master=arguments.master, mongo_uri=arguments.mongo)
            outcome = "published again"
    return StepResult({"previous": rolled_back, "online store": outcome}, model_version=restored)
