"""Tune the collaborative configuration and ranking weights by NDCG@10 on earlier temporal splits.

The grid is searched in two passes: first the configuration with the default weights, then the weights with
that configuration. Content, collaborative and popularity alone are in the grid, so on the tuning plays the
choice is at least as good as each of its parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jobs.model.metrics import ranking_metrics
from jobs.plays.events import PlayEvent
from jobs.plays.splits import TUNING_SPLITS, temporal_split
from jobs.recommender import collaborative
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.fitted_recommender import FittedRecommender
from jobs.recommender.holdout import Holdout, build_holdout
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights, SimilarItems

# Users per split, sampled evenly.
TUNING_USERS = 150

CONFIG_GRID = tuple(
    CollaborativeConfig(content_weight=content_weight, power=power)
    for content_weight in (0.0, 0.2, 1.0)
    for power in (1.0, 2.0, 3.0)
)

CONTENT_ONLY = RankingWeights(content=1.0, collaborative=0.0, popularity=0.0)
COLLABORATIVE_ONLY = RankingWeights(content=0.0, collaborative=64.0, popularity=0.0)
POPULARITY_ONLY = RankingWeights(content=0.0, collaborative=0.0, popularity=64.0)
DEFAULT_WEIGHTS = RankingWeights(content=4.0, collaborative=64.0, popularity=0.0)
WEIGHT_GRID = (
    CONTENT_ONLY,
    COLLABORATIVE_ONLY,
    POPULARITY_ONLY,
    DEFAULT_WEIGHTS,
    # The scores are weighed against the skip penalty too, so the size of the weights matters, not only their
    # ratio.
    RankingWeights(content=10.0, collaborative=0.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=2.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=8.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=32.0, popularity=0.0),
    RankingWeights(content=16.0, collaborative=64.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=8.0, popularity=0.2),
    RankingWeights(content=4.0, collaborative=64.0, popularity=1.0),
)

Option = TypeVar("Option")


@dataclass(frozen=True)
class SelectedWeights:
    """The chosen collaborative configuration and ranking weights."""

    config: CollaborativeConfig
    weights: RankingWeights


class _TuningSplit:
    """One temporal split: a recommender fitted on the plays before it, and its holdout."""

    def __init__(self, recommender: FittedRecommender, holdout: Holdout) -> None:
        self._recommender = recommender
        self._holdout = holdout
        self._factors: dict[tuple[float, float], np.ndarray] = {}
        self._similar_items: dict[CollaborativeConfig, dict[int, SimilarItems]] = {}

    def score(self, config: CollaborativeConfig, weights: RankingWeights) -> np.ndarray:
        """Return the NDCG@10 of each user of the holdout, (users,)."""
        ranked = self._recommender.recommend(self._get_similar_items(config), weights, self._holdout)
        ndcg = []
        for row, next_tracks in zip(ranked, self._holdout.after, strict=True):
            ndcg.append(ranking_metrics(row[None], [next_tracks])["next_play_ndcg_at_10"])
        return np.array(ndcg)

    def _get_similar_items(self, config: CollaborativeConfig) -> dict[int, SimilarItems]:
        if config not in self._similar_items:
            # Factors do not depend on the power, and take most of the time.
            key = (config.content_weight, config.shrinkage)
            if key not in self._factors:
                self._factors[key] = self._recommender.factorize(config)
            self._similar_items[config] = collaborative.item_similarities(self._factors[key], config)
        return self._similar_items[config]


def select_weights(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> SelectedWeights | None:
    """Return the best configuration and weights, or None if no tuning split has a user to evaluate.

    With few users most differences are chance: another option than the default has to lead by more than one
    standard error.
    """
    tuning_splits = _make_splits(catalog, plays)
    if not tuning_splits:
        return None

    def score(config: CollaborativeConfig, weights: RankingWeights) -> np.ndarray:
        return np.concatenate([split.score(config, weights) for split in tuning_splits])

    config_scores = {}
    for config in CONFIG_GRID:
        config_scores[config] = score(config, DEFAULT_WEIGHTS)
    best_config = _best_by_one_standard_error(config_scores, CollaborativeConfig())
    weight_scores = {}
    for weights in WEIGHT_GRID:
        weight_scores[weights] = score(best_config, weights)
    return SelectedWeights(best_config, _best_by_one_standard_error(weight_scores, DEFAULT_WEIGHTS))


def _make_splits(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> list[_TuningSplit]:
    tuning_splits = []
    for train_share in TUNING_SPLITS:
        before, after = temporal_split(plays, train_share)
        holdout = build_holdout(catalog.index_of, before, after, TUNING_USERS)
        if holdout.profiles:
            tuning_splits.append(_TuningSplit(FittedRecommender(catalog, before), holdout))
    return tuning_splits


def _best_by_one_standard_error(scores: Mapping[Option, np.ndarray], default: Option) -> Option:
    """Return the option with the best mean, or the default if the lead is within one standard error.

    `scores` are each option's scores of the same users, (users,).
    """
    best = max(scores, key=lambda option: round(float(scores[option].mean()), 6))
    lead = scores[best] - scores[default]
    standard_error = lead.std() / np.sqrt(len(lead))
    return best if lead.mean() > standard_error else default
