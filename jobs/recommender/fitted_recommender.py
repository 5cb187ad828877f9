"""A recommender fitted on a part of the plays, to evaluate configurations and weights on the rest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jobs.model.metrics import K
from jobs.plays.events import PlayEvent
from jobs.recommender import collaborative, implicit_als, ranking
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.holdout import Holdout, listener_counts, positive_counts
from jobs.recommender.implicit_als import FactorConfig
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights, SimilarItems


class FittedRecommender:
    """The interaction matrix and the listener counts of some plays.

    The rule about artists and recordings is off: it would cost every system that is compared the same.
    """

    def __init__(self, catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> None:
        """Fit on plays of the catalog's tracks; plays of other tracks are left out."""
        index_of = catalog.index_of
        counts = sorted(positive_counts(index_of, plays).items())
        users = np.array([user for (user, _), _ in counts], dtype=str)
        indices = np.array([index for (_, index), _ in counts], dtype=int)
        n_plays = np.array([count for _, count in counts], dtype=float)
        self._interactions = collaborative.interaction_matrix(users, indices, len(index_of))
        self._confidences = collaborative.confidence_matrix(users, indices, n_plays, len(index_of))
        self._similar_items: dict[CollaborativeConfig, dict[int, SimilarItems]] = {}
        self._item_factors: dict[tuple[float, float], np.ndarray] = {}
        self.listeners = listener_counts(index_of, plays)
        unknown_artists = np.full(len(index_of), "")
        self._catalog = replace(
            catalog, artists=unknown_artists, recordings=catalog.ids, plays=self.listeners
        )

    def similar_items(self, config: CollaborativeConfig) -> dict[int, SimilarItems]:
        """Return the similar items of each track; computed once per configuration."""
        if config not in self._similar_items:
            self._similar_items[config] = collaborative.similar_items(
                self._interactions, self._confidences, self._catalog.vectors, config
            )
        return self._similar_items[config]

    def item_factors(self, config: FactorConfig) -> np.ndarray | None:
        """Return the item factors (n, d), None without plays; fitted once per regularization."""
        if not self._confidences.nnz:
            return None
        key = (config.regularization, 0.0)
        if key not in self._item_factors:
            self._item_factors[key] = implicit_als.fit_item_factors(self._confidences, config.regularization)
        key = (config.regularization, config.sound_prior)
        if key not in self._item_factors:
            fitted = self._item_factors[config.regularization, 0.0]
            self._item_factors[key] = implicit_als.add_sound(
                fitted, self._catalog.vectors, self.listeners, config.sound_prior
            )
        return self._item_factors[key]

    def recommend(
        self,
        config: CollaborativeConfig,
        factor_config: FactorConfig,
        weights: RankingWeights,
        holdout: Holdout,
    ) -> np.ndarray:
        """Return the ten best new tracks of each user of the holdout, indices (users, 10).

        -1 after the end of a list.
        """
        similar_items = self.similar_items(config) if weights.collaborative else {}
        factors = self.item_factors(factor_config) if weights.factors else None
        weights = replace(weights, regularization=factor_config.regularization)
        catalog = self._catalog.with_weights(weights, similar_items, factors)
        ranked = np.full((len(holdout.profiles), K), -1)
        for row, (profile, before) in enumerate(zip(holdout.profiles, holdout.before, strict=True)):
            exclude = {str(catalog.ids[index]) for index in before}
            # The first ten have no exploration.
            scored = ranking.recommend(catalog, profile, count=K, exclude=exclude)
            ranked[row, : len(scored)] = [catalog.index_of[item.track_id] for item in scored]
        return ranked
