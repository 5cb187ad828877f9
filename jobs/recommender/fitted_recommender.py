"""A recommender fitted on a part of the plays, to evaluate configurations and weights on the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from jobs.model.metrics import K
from jobs.plays.events import PlayEvent
from jobs.recommender import collaborative, ranking
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.holdout import Holdout, listener_counts, positive_pairs
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights, SimilarItems


class FittedRecommender:
    """The interaction matrix and the listener counts of some plays.

    The rule about artists and recordings is off: it would cost every system that is compared the same.
    """

    def __init__(self, catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> None:
        """Fit on plays of the catalog's tracks; plays of other tracks are left out."""
        index_of = catalog.index_of
        pairs = sorted(positive_pairs(index_of, plays))
        users = np.array([user for user, _ in pairs], dtype=str)
        indices = np.array([index for _, index in pairs], dtype=int)
        self._interactions = collaborative.interaction_matrix(users, indices, len(index_of))
        self.listeners = listener_counts(index_of, plays)
        unknown_artists = np.full(len(index_of), "")
        self._catalog = replace(
            catalog, artists=unknown_artists, recordings=catalog.ids, plays=self.listeners
        )

    def factorize(self, config: CollaborativeConfig) -> np.ndarray:
        """Return the item factors (see `collaborative.factorize`)."""
        return collaborative.factorize(self._interactions, self._catalog.vectors, config)

    def recommend(
        self, similar_items: Mapping[int, SimilarItems], weights: RankingWeights, holdout: Holdout
    ) -> np.ndarray:
        """Return the ten best new tracks of each user of the holdout, indices (users, 10).

        -1 after the end of a list.
        """
        catalog = self._catalog.with_weights(weights, similar_items)
        ranked = np.full((len(holdout.profiles), K), -1)
        for row, (profile, before) in enumerate(zip(holdout.profiles, holdout.before, strict=True)):
            exclude = {str(catalog.ids[index]) for index in before}
            # One more than needed: the tenth is exploration, which has no score and is left out.
            items = ranking.recommend(catalog, profile, count=K + 1, exclude=exclude)
            scored = [item for item in items if (item.rank, item.score) != (K, 0.0)][:K]
            ranked[row, : len(scored)] = [catalog.index_of[item.track_id] for item in scored]
        return ranked
