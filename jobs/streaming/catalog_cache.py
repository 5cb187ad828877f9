"""What the stream knows of tracks: the ids of TRACKS, and the champion's item catalog.

Reloaded only when a table changed.
"""

import logging
from dataclasses import dataclass
from typing import Any

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, ITEM_SIMILARITIES, TRACKS
from jobs.lake.storage import Lake
from jobs.lake.table_files import TableVersion
from jobs.online import mongo, state
from jobs.recommender import item_catalog

log = logging.getLogger("segue")


@dataclass(frozen=True)
class _CatalogKey:
    """What an item catalog was made from; another key needs another catalog."""

    model_version: str
    digest: str
    weights: item_catalog.RankingWeights
    table_versions: tuple[TableVersion | None, ...]


class CatalogCache:
    """Track ids and item catalog of a lake, in memory."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._tracks_version: TableVersion | None = None
        self._track_ids: set[str] = set()
        self._catalog_key: _CatalogKey | None = None
        self._catalog: item_catalog.ItemCatalog | None = None

    def track_ids(self) -> set[str]:
        """Return the ids of TRACKS."""
        version = self._lake.version(TRACKS)
        if version != self._tracks_version:
            self._track_ids = set(self._lake.read_arrow(TRACKS, "track_id")["track_id"].to_pylist())
            self._tracks_version = version
        return self._track_ids

    def item_catalog(self, states: dict[str, mongo.Document]) -> item_catalog.ItemCatalog | None:
        """Return the item catalog of the champion in the state documents; None before the first champion.

        If the lake lacks the champion's tables, which a store beside an older lake can name, the previous
        catalog stays.
        """
        champion: dict[str, Any] | None = states.get(state.CHAMPION)
        if champion is None:
            return self._catalog
        weights = item_catalog.RankingWeights.from_state(
            states.get(state.RANKING_WEIGHTS, {}).get("weights", {})
        )
        versions = tuple(self._lake.version(table) for table in (EMBEDDINGS, TRACKS, ITEM_SIMILARITIES))
        key = _CatalogKey(champion["model_version"], champion["digest"], weights, versions)
        if key != self._catalog_key:
            try:
                self._catalog = item_catalog.load(self._lake, key.model_version, weights=weights)
                self._catalog_key = key
                log.info("model version %s, %d tracks", key.model_version, len(self._catalog.ids))
            except StepError as error:
                log.warning("%s", error)
        return self._catalog
