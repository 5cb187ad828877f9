"""Choose the configurations of similar items and item factors and the ranking weights by NDCG@10.

The choice is made within the known plays, on folds of the pairs of user and track and, if the plays have
times, on an earlier temporal split. Content, similar items, item factors and popularity alone are among the
choices. A mixture of item factors and similar items is the default: another option replaces it if its lead is
larger than one standard error over users, so that a history of few users does not follow chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jobs.plays import splits
from jobs.plays.events import PlayEvent
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.fitted_recommender import FittedRecommender
from jobs.recommender.holdout import Holdout, build_holdout
from jobs.recommender.implicit_als import FactorConfig
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights

# Users per split, sampled evenly. A history of fewer users is split into more folds.
TUNING_USERS = 1_000
_MAX_FOLDS = 3

# Regularizations by powers of 2, then half a power around the best; then the chosen one with sound.
REGULARIZATIONS = (5.0, 10.0, 20.0, 40.0, 80.0)
_FINER = (0.5**0.5, 2**0.5)
SOUND_PRIORS = (0.0, 1.0, 4.0)

BM25_GRID = (
    CollaborativeConfig(saturation=1.2, length_damping=0.2),
    CollaborativeConfig(saturation=1.2, length_damping=0.6),
    CollaborativeConfig(saturation=3.0, length_damping=0.2),
    CollaborativeConfig(saturation=10.0, length_damping=0.2),
)
EASE_GRID = (
    CollaborativeConfig(model="ease", ease_regularization=50.0),
    CollaborativeConfig(model="ease", ease_regularization=200.0),
    CollaborativeConfig(model="ease", ease_regularization=200.0, content_weight=1.0),
)

CONTENT_ONLY = RankingWeights(content=1.0, collaborative=0.0, popularity=0.0)
COLLABORATIVE_ONLY = RankingWeights(content=0.0, collaborative=1.0, popularity=0.0)
FACTORS_ONLY = RankingWeights(content=0.0, factors=1.0, popularity=0.0)
POPULARITY_ONLY = RankingWeights(content=0.0, collaborative=0.0, popularity=64.0)
DEFAULT_WEIGHTS = RankingWeights(content=0.0, collaborative=0.3, factors=1.0, popularity=0.0)
WEIGHT_GRID = (
    DEFAULT_WEIGHTS,
    CONTENT_ONLY,
    COLLABORATIVE_ONLY,
    FACTORS_ONLY,
    POPULARITY_ONLY,
    RankingWeights(content=0.0, collaborative=1.0, factors=1.0, popularity=0.0),
    RankingWeights(content=0.0, collaborative=1.0, factors=0.3, popularity=0.0),
    RankingWeights(content=0.1, collaborative=0.3, factors=1.0, popularity=0.0),
    RankingWeights(content=0.1, collaborative=1.0, factors=0.3, popularity=0.0),
    RankingWeights(content=0.3, collaborative=0.5, factors=1.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=0.5, factors=1.0, popularity=0.0),
    # The scores are weighed against the skip penalty too, so the size of the weights matters, not only their
    # ratio.
    RankingWeights(content=10.0, popularity=0.0),
    RankingWeights(content=0.3, collaborative=1.0, popularity=0.0),
    RankingWeights(content=1.0, collaborative=1.0, popularity=0.0),
    RankingWeights(content=0.0, collaborative=0.3, factors=1.0, popularity=0.2),
)
RECENCIES = (0.0, 1.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class SelectedWeights:
    """The chosen configurations of similar items and item factors, and the ranking weights."""

    config: CollaborativeConfig = CollaborativeConfig()
    factor_config: FactorConfig = FactorConfig()
    weights: RankingWeights = RankingWeights()


@dataclass
class _Scores:
    """NDCG@10 of options on the same users: `users` (u,) numbers, `values` a row (u,) per option.

    A user of several splits is one observation.
    """

    users: np.ndarray
    values: dict[SelectedWeights, np.ndarray] = field(default_factory=dict)

    def best(self, default: SelectedWeights | None = None) -> SelectedWeights:
        """Return the option with the best mean, or the default if the lead is within one standard error."""
        best = max(self.values, key=lambda option: round(float(self.values[option].mean()), 6))
        return best if default is None or self.is_ahead(best, default) else default

    def is_ahead(self, option: SelectedWeights, other: SelectedWeights) -> bool:
        """Return whether an option's mean is higher than the other's by more than one standard error."""
        users, counts = np.unique(self.users, return_counts=True)
        lead = np.bincount(self.users, self.values[option] - self.values[other])[users] / counts
        return bool(lead.mean() > lead.std() / np.sqrt(len(lead)))


class _Tuning:
    """The tuning splits: a recommender fitted on each one's earlier part, and its holdout."""

    def __init__(self, parts: Sequence[tuple[FittedRecommender, Holdout]]) -> None:
        self._parts = parts
        names = [profile.user_id for _, holdout in parts for profile in holdout.profiles]
        self._users = np.unique(names, return_inverse=True)[1]

    def score(self, options: Sequence[SelectedWeights]) -> _Scores:
        """Score options that differ in their weights alone, or in anything (then each is computed alone)."""
        scores = _Scores(self._users)
        groups: dict[tuple[CollaborativeConfig, FactorConfig, float], list[SelectedWeights]] = {}
        for option in options:
            groups.setdefault((option.config, option.factor_config, option.weights.recency), []).append(
                option
            )
        for (config, factor_config, _), group in groups.items():
            weights = [option.weights for option in group]
            found = [
                recommender.ndcg(config, factor_config, weights, holdout)
                for recommender, holdout in self._parts
            ]
            scores.values.update(zip(group, np.concatenate(found, axis=1), strict=True))
        return scores

    def score_cold(self, options: Sequence[SelectedWeights]) -> _Scores:
        """Score options of the factors by the ranks of the least played tracks among themselves."""
        starts = np.cumsum([0] + [len(holdout.profiles) for _, holdout in self._parts])
        values = {}
        for option in options:
            found = [
                recommender.cold_ndcg(option.factor_config, holdout) for recommender, holdout in self._parts
            ]
            values[option] = np.concatenate([ndcg for _, ndcg in found])
        rows = [start + rows for start, (rows, _) in zip(starts, found, strict=False)]
        return _Scores(self._users[np.concatenate(rows)], values)

    def forget(self, *needed: SelectedWeights) -> None:
        """Free what was fitted for other options than these."""
        for recommender, _ in self._parts:
            recommender.forget(
                {option.factor_config for option in needed}, {option.config for option in needed}
            )


def select_weights(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> SelectedWeights | None:
    """Return the best configurations and weights, or None if no tuning split has a user to evaluate.

    One after the other: the regularization of the factors alone, BM25 and EASE alone, the similar items and
    the weights of all scores, the prior of the sound, the recency.
    """
    parts = _make_splits(catalog, plays)
    if not parts:
        return None
    tuning = _Tuning(parts)
    factors = _select_regularization(tuning)
    tuning.forget(factors)
    similar = [
        tuning.score([replace(factors, config=config, weights=COLLABORATIVE_ONLY) for config in grid]).best()
        for grid in (BM25_GRID, EASE_GRID)
    ]
    tuning.forget(factors, *similar)
    both = replace(similar[1].config, model="bm25+ease", saturation=similar[0].config.saturation)
    both = replace(both, length_damping=similar[0].config.length_damping)
    configs = [similar[0].config, similar[1].config, both]
    mixtures = [
        replace(factors, config=config, weights=weights) for config in configs for weights in WEIGHT_GRID
    ]
    default = replace(factors, config=both, weights=DEFAULT_WEIGHTS)
    selected = tuning.score(mixtures).best(default)
    tuning.forget(selected)
    if selected.weights.factors:
        with_sound = [
            replace(selected, factor_config=replace(selected.factor_config, sound_prior=prior))
            for prior in SOUND_PRIORS
        ]
        selected = _select_sound(tuning, with_sound)
    with_recency = [
        replace(selected, weights=replace(selected.weights, recency=recency)) for recency in RECENCIES
    ]
    return tuning.score(with_recency).best(with_recency[0])


def _select_regularization(tuning: _Tuning) -> SelectedWeights:
    """Return the best regularization of the factors alone: the best power of 2, then its neighbours."""

    def options(values: Sequence[float]) -> list[SelectedWeights]:
        return [
            SelectedWeights(factor_config=FactorConfig(regularization=value), weights=FACTORS_ONLY)
            for value in values
        ]

    scores = tuning.score(options(REGULARIZATIONS))
    best = scores.best().factor_config.regularization
    scores.values |= tuning.score(options([best * factor for factor in _FINER])).values
    return scores.best()


def _select_sound(tuning: _Tuning, options: Sequence[SelectedWeights]) -> SelectedWeights:
    """Return the prior that ranks the least played tracks best among themselves, without harm to all lists.

    The first option has no sound. Another one has to lead by one standard error among the least played
    tracks, and must not be behind by as much over all tracks, where they hardly count.
    """
    everywhere = tuning.score(options)
    without = options[0]
    harmless = [option for option in options if not everywhere.is_ahead(without, option) or option == without]
    cold = tuning.score_cold(harmless)
    return cold.best(without) if len(cold.users) else without


def _make_splits(catalog: ItemCatalog, plays: Sequence[PlayEvent]) -> list[tuple[FittedRecommender, Holdout]]:
    n_users = len({play.user_id for play in plays})
    n_folds = min(_MAX_FOLDS, max(1, TUNING_USERS // max(n_users, 1)))
    parts = [splits.pair_split(plays, fold) for fold in range(n_folds)]
    if splits.has_times(plays):
        parts += [splits.temporal_split(plays, train_share) for train_share in splits.TUNING_SPLITS]
    tuning_splits = []
    for before, after in parts:
        holdout = build_holdout(catalog.index_of, before, after, TUNING_USERS)
        if holdout.profiles:
            tuning_splits.append((FittedRecommender(catalog, before), holdout))
    return tuning_splits
