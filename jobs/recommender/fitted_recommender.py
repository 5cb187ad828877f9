"""A recommender fitted on a part of the plays, to evaluate configurations and weights on the rest."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from jobs.model.metrics import K, ranking_scores
from jobs.plays.events import PlayEvent
from jobs.recommender import collaborative, implicit_als, ranking, scoring
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.holdout import Holdout, listener_counts, positive_counts
from jobs.recommender.implicit_als import FactorConfig
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights
from jobs.recommender.scoring import QueryProfile


class FittedRecommender:
    """The plays of some users as a matrix, what was learned from it, and the listener counts.

    The rule about artists and recordings is off: it would cost every system that is compared the same.
    """

    def __init__(self, catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> None:
        """Fit on plays of the catalog's tracks; plays of other tracks are left out."""
        index_of = catalog.index_of
        counts = sorted(positive_counts(index_of, plays).items())
        users = np.array([user for (user, _), _ in counts], dtype=str)
        indices = np.array([index for (_, index), _ in counts], dtype=int)
        n_plays = np.array([count for _, count in counts], dtype=float)
        self._confidences = collaborative.confidence_matrix(users, indices, n_plays, len(index_of))
        self._similar_items: dict[CollaborativeConfig, csr_array] = {}
        self._item_factors: dict[FactorConfig, np.ndarray] = {}
        self._cached_queries: dict[tuple[int, float], list[QueryProfile]] = {}
        self.listeners = listener_counts(index_of, plays)
        unknown_artists = np.full(len(index_of), "")
        self._catalog = replace(
            catalog, artists=unknown_artists, recordings=catalog.ids, plays=self.listeners
        )

    def similar_items(self, config: CollaborativeConfig) -> csr_array:
        """Return the similar items (n, n); computed once per configuration."""
        if config not in self._similar_items:
            self._similar_items[config] = collaborative.similar_items(
                self._confidences, self._catalog.vectors, config
            )
        return self._similar_items[config]

    def item_factors(self, config: FactorConfig) -> np.ndarray | None:
        """Return the item factors (n, d), None without plays; fitted once per regularization."""
        if not self._confidences.nnz:
            return None
        by_plays = replace(config, sound_prior=0.0)
        if by_plays not in self._item_factors:
            self._item_factors[by_plays] = implicit_als.fit_item_factors(
                self._confidences, config.regularization
            )
        if config not in self._item_factors:
            self._item_factors[config] = implicit_als.add_sound(
                self._item_factors[by_plays], self._catalog.vectors, self.listeners, config.sound_prior
            )
        return self._item_factors[config]

    def forget(self, factors: Collection[FactorConfig], configs: Collection[CollaborativeConfig]) -> None:
        """Free what was fitted for other configurations than these."""
        self._item_factors = {
            config: found for config, found in self._item_factors.items() if config in factors
        }
        self._similar_items = {
            config: found for config, found in self._similar_items.items() if config in configs
        }

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
        catalog = self._with_weights(config, factor_config, weights)
        ranked = np.full((len(holdout.profiles), K), -1)
        for row, (profile, before) in enumerate(zip(holdout.profiles, holdout.before, strict=True)):
            exclude = {str(catalog.ids[index]) for index in before}
            # The first ten have no exploration.
            scored = ranking.recommend(catalog, profile, count=K, exclude=exclude)
            ranked[row, : len(scored)] = [catalog.index_of[item.track_id] for item in scored]
        return ranked

    def ndcg(
        self,
        config: CollaborativeConfig,
        factor_config: FactorConfig,
        options: Sequence[RankingWeights],
        holdout: Holdout,
    ) -> np.ndarray:
        """Return the NDCG@10 (options, users) of the lists of `recommend` by each of the ranking weights.

        Each user's candidates are found once for all options, so the options have one `recency`. A user whose
        profile has no seed is recommended nothing.
        """
        asked = {
            name: float(any(getattr(option, name) for option in options))
            for name in ("content", "collaborative", "factors", "popularity")
        }
        catalog = self._with_weights(config, factor_config, replace(options[0], **asked))
        by_part = np.array([option.of_parts() for option in options])
        ranked = np.full((len(options), len(holdout.profiles), K), -1)
        queries = self._queries(catalog, holdout)
        users = self._user_factors(catalog, queries)
        for row, found in enumerate(scoring.signals(catalog, queries, users)):
            if not queries[row].seeds.size:
                continue
            by_sound = asked["content"] > 0
            candidates = scoring.find_candidates(catalog, queries[row], found, by_sound=by_sound)
            is_new = np.ones(len(catalog.ids), dtype=bool)
            is_new[list(holdout.before[row] | queries[row].excluded)] = False
            is_new = is_new[candidates.indices]
            by_option = by_part @ candidates.parts[:, is_new] - candidates.penalty[is_new]
            best = np.argsort(-np.round(by_option, 6), axis=1, kind="stable")[:, :K]
            ranked[:, row, : best.shape[1]] = candidates.indices[is_new][best]
        scores = [ranking_scores(lists, holdout.after)["next_play_ndcg_at_10"] for lists in ranked]
        return np.array(scores)

    def cold_ndcg(self, factor_config: FactorConfig, holdout: Holdout) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of the holdout and their NDCG@10 by item factors among the least played tracks alone.

        These have at most as many listeners as the least played third of the played tracks, or none. Beside
        all tracks they are in no list of ten, whatever they are. Rows are users who met one later.
        """
        least = np.percentile(self.listeners[self.listeners > 0], 100 / 3)
        cold = np.flatnonzero(self.listeners <= least)
        rows = [row for row, later in enumerate(holdout.after) if not later.isdisjoint(cold.tolist())]
        catalog = self._with_weights(
            CollaborativeConfig(), factor_config, RankingWeights(content=0.0, factors=1.0)
        )
        users = self._user_factors(catalog, self._queries(catalog, holdout))
        ranked = np.full((len(rows), K), -1)
        for place, row in enumerate(rows):
            new = np.setdiff1d(cold, list(holdout.before[row]))
            if users[row] is not None and catalog.factors is not None:
                best = np.argsort(-(catalog.factors[new] @ users[row]), kind="stable")[:K]
                ranked[place, : len(best)] = new[best]
        later = [holdout.after[row] & set(cold.tolist()) for row in rows]
        return np.array(rows, dtype=int), ranking_scores(ranked, later)["next_play_ndcg_at_10"]

    def _queries(self, catalog: ItemCatalog, holdout: Holdout) -> list[QueryProfile]:
        """Return the query of each profile; computed once per holdout and recency."""
        key = (id(holdout), catalog.weights.recency)
        if key not in self._cached_queries:
            self._cached_queries = {
                key: [scoring.query_profile(catalog, profile) for profile in holdout.profiles]
            }
        return self._cached_queries[key]

    @staticmethod
    def _user_factors(catalog: ItemCatalog, queries: Sequence[QueryProfile]) -> list[np.ndarray | None]:
        """Return the factors of all queries, solved together in float32 (`scoring`: one by one, float64)."""
        if not catalog.weights.factors or catalog.factors is None:
            return [None] * len(queries)
        sizes = [len(query.liked) for query in queries]
        confidences = csr_array(
            (
                np.concatenate([query.confidences for query in queries]).astype(np.float32),
                np.concatenate([query.liked for query in queries]),
                np.concatenate([[0], np.cumsum(sizes)]),
            ),
            shape=(len(queries), len(catalog.ids)),
        )
        users = implicit_als.fold_in_rows(catalog.factors, confidences, catalog.weights.regularization)
        return [user if size else None for user, size in zip(users, sizes, strict=True)]

    def _with_weights(
        self, config: CollaborativeConfig, factor_config: FactorConfig, weights: RankingWeights
    ) -> ItemCatalog:
        similar = self.similar_items(config) if weights.collaborative else None
        factors = self.item_factors(factor_config) if weights.factors else None
        weights = replace(weights, regularization=factor_config.regularization)
        return self._catalog.with_weights(weights, similar, factors)
