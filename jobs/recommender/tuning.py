"""Tune the configurations of similar items and item factors and the ranking weights by NDCG@10.

It is tuned on an earlier temporal split, and on a split by user and track: the only one that a history
without times has, and a larger sample of what each user likes. Content,
similar items, item factors and popularity alone are among the choices, so on the tuning plays the choice is
at least as good as each of its parts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from jobs.model.metrics import ranking_metrics
from jobs.plays import splits
from jobs.plays.events import PlayEvent
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.fitted_recommender import FittedRecommender
from jobs.recommender.holdout import Holdout, build_holdout
from jobs.recommender.implicit_als import FactorConfig
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights

# Users per split, sampled evenly.
TUNING_USERS = 300

CONFIG_GRID = (
    CollaborativeConfig(model="bm25", content_weight=0.0),
    CollaborativeConfig(content_weight=0.2),
    CollaborativeConfig(content_weight=1.0),
)

# Regularizations first, then the chosen one with sound.
REGULARIZATIONS = (5.0, 15.0, 30.0, 45.0, 70.0)
SOUND_PRIORS = (0.0, 1.0, 4.0)

CONTENT_ONLY = RankingWeights(content=1.0, collaborative=0.0, popularity=0.0)
COLLABORATIVE_ONLY = RankingWeights(content=0.0, collaborative=1.0, popularity=0.0)
FACTORS_ONLY = RankingWeights(content=0.0, factors=1.0, popularity=0.0)
POPULARITY_ONLY = RankingWeights(content=0.0, collaborative=0.0, popularity=64.0)
DEFAULT_WEIGHTS = RankingWeights(content=0.3, collaborative=0.5, factors=1.0, popularity=0.0)
WEIGHT_GRID = (
    CONTENT_ONLY,
    COLLABORATIVE_ONLY,
    FACTORS_ONLY,
    POPULARITY_ONLY,
    DEFAULT_WEIGHTS,
    # The scores are weighed against the skip penalty too, so the size of the weights matters, not only their
    # ratio.
    RankingWeights(content=10.0, popularity=0.0),
    RankingWeights(content=0.3, collaborative=1.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=1.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=0.5, factors=1.0, popularity=0.0),
    RankingWeights(content=0.0, collaborative=0.3, factors=1.0, popularity=0.0),
    RankingWeights(content=0.0, collaborative=1.0, factors=0.5, popularity=0.0),
    RankingWeights(content=0.0, collaborative=0.5, factors=1.0, popularity=0.3),
    RankingWeights(content=0.1, collaborative=0.5, factors=1.0, popularity=0.0),
)
RECENCIES = (0.0, 1.0, 4.0)

Option = TypeVar("Option")


@dataclass(frozen=True, kw_only=True)
class SelectedWeights:
    """The chosen configurations of similar items and item factors, and the ranking weights."""

    config: CollaborativeConfig = CollaborativeConfig()
    factor_config: FactorConfig = FactorConfig()
    weights: RankingWeights = RankingWeights()


class _TuningSplit:
    """One split: a recommender fitted on the plays before it, and its holdout."""

    def __init__(self, recommender: FittedRecommender, holdout: Holdout) -> None:
        self._recommender = recommender
        self._holdout = holdout

    def score(self, option: SelectedWeights) -> np.ndarray:
        """Return the NDCG@10 of each user of the holdout, (users,)."""
        ranked = self._recommender.recommend(
            option.config, option.factor_config, option.weights, self._holdout
        )
        ndcg = []
        for row, next_tracks in zip(ranked, self._holdout.after, strict=True):
            ndcg.append(ranking_metrics(row[None], [next_tracks])["next_play_ndcg_at_10"])
        return np.array(ndcg)


def select_weights(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> SelectedWeights | None:
    """Return the best configurations and weights, or None if no tuning split has a user to evaluate.

    One after the other: the regularization of the factors alone, the similar items alone, the weights of all
    scores, the prior of the sound, the recency.
    """
    tuning_splits = _make_splits(catalog, plays)
    if not tuning_splits:
        return None

    def best(options: Iterable[SelectedWeights], default: SelectedWeights | None = None) -> SelectedWeights:
        scores = {}
        for option in options:
            scores[option] = np.concatenate([split.score(option) for split in tuning_splits])
        return _best_by_one_standard_error(scores, default)

    factors = best(
        SelectedWeights(factor_config=FactorConfig(regularization=value), weights=FACTORS_ONLY)
        for value in REGULARIZATIONS
    )
    neighbours = best(replace(factors, config=config, weights=COLLABORATIVE_ONLY) for config in CONFIG_GRID)
    selected = best(replace(neighbours, weights=weights) for weights in WEIGHT_GRID)
    if selected.weights.factors:
        with_sound = [
            replace(selected, factor_config=replace(selected.factor_config, sound_prior=prior))
            for prior in SOUND_PRIORS
        ]
        selected = best(with_sound, with_sound[0])
    with_recency = [
        replace(selected, weights=replace(selected.weights, recency=recency)) for recency in RECENCIES
    ]
    return best(with_recency, with_recency[0])


def _make_splits(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> list[_TuningSplit]:
    parts = [splits.pair_split(plays)]
    if splits.has_times(plays):
        parts += [splits.temporal_split(plays, train_share) for train_share in splits.TUNING_SPLITS]
    tuning_splits = []
    for before, after in parts:
        holdout = build_holdout(catalog.index_of, before, after, TUNING_USERS)
        if holdout.profiles:
            tuning_splits.append(_TuningSplit(FittedRecommender(catalog, before), holdout))
    return tuning_splits


def _best_by_one_standard_error(scores: Mapping[Option, np.ndarray], default: Option | None) -> Option:
    """Return the option with the best mean, or a given default if the lead is within one standard error.

    `scores` are each option's scores of the same users, (users,).
    """
    best = max(scores, key=lambda option: round(float(scores[option].mean()), 6))
    if default is None:
        return best
    lead = scores[best] - scores[default]
    standard_error = lead.std() / np.sqrt(len(lead))
    return best if lead.mean() > standard_error else default
