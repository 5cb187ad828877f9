"""The documents of the collection `state`.

Which model is online, and how far each part of the store is up to date.
"""

from datetime import datetime
from typing import Any, TypedDict, cast

from jobs.online import mongo

# `_id` of each document.
CHAMPION = "champion"
RANKING_WEIGHTS = "ranking_weights"
DEFAULT_LIST = "default_list"
RECOMMENDATIONS_STATE = "recommendations_state"
PLAYS_RETENTION = "plays_retention"
MAP = "map"
CATALOG = "catalog"


class PublishedVersion(TypedDict):
    """A model version that the store has in full."""

    model_version: str
    feature_version: str
    tracks: int
    digest: str


class ChampionState(PublishedVersion):
    """`champion`: the version online. Written last, so a reader never sees half of a version."""

    _id: str
    previous: PublishedVersion | None
    published_at: datetime


class RankingState(TypedDict):
    """`ranking_weights`: the tuned weights and collaborative configuration, and what they were tuned on."""

    _id: str
    weights: dict[str, float]
    config: dict[str, Any]
    input_digest: str


class MapState(TypedDict):
    """`map`: which publication the coordinates in the collection `map` belong to."""

    _id: str
    model_version: str
    digest: str
    parts: int
    tracks: int


def champion(database: mongo.Database) -> ChampionState | None:
    """Return the state of the version online, or None before the first publication."""
    return cast(ChampionState | None, mongo.get(database["state"], CHAMPION))


def write(database: mongo.Database, document: Any) -> None:
    """Replace one document of the collection `state`, atomically."""
    mongo.upsert(database["state"], [document])
