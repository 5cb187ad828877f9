"""Publish the champion to the online store: tracks, neighbours, map, and the pointer to it last."""

import argparse

from jobs.lake.storage import open_lake
from jobs.model import tracking
from jobs.online import publisher
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the champion is published."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Publish the champion; return the number of its tracks and how many of them were written."""
    lake = open_lake(arguments)
    tracking.connect(arguments.mlflow, lake.root)
    return publisher.publish_champion(lake, master=arguments.master, mongo_uri=arguments.mongo)
