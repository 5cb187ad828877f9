"""Ranking weights follow what users play next; the default stays unless another option leads."""

from dataclasses import replace

import numpy as np
import pytest

from jobs.model.metrics import ranking_scores
from jobs.plays import simulator, splits
from jobs.recommender import tuning
from jobs.recommender.fitted_recommender import FittedRecommender
from jobs.recommender.holdout import build_holdout
from jobs.recommender.implicit_als import FactorConfig
from tests.unit.recommender.conftest import NOW, make_event


def test_option_within_one_standard_error_is_not_chosen():
    default = np.array([0.5, 0.5, 0.5, 0.5])
    lucky = default + [1.0, -0.4, -0.4, 0.0]
    better = default + [0.2, 0.1, 0.2, 0.1]
    scores = tuning._Scores(np.arange(4), {"default": default, "lucky": lucky})
    assert scores.best("default") == "default" and scores.best() == "lucky"
    scores.values["better"] = better
    assert scores.best("default") == "better"


def test_user_of_several_splits_is_one_observation():
    """A lead of .2 with a deviation of .5 over ten users is certain; over one user ten times it is not."""
    default, ahead = np.zeros(10), np.array([0.7, -0.3] * 5)
    assert tuning._Scores(np.arange(10), {"default": default, "ahead": ahead}).best("default") == "ahead"
    two_users = np.array([0, 1] * 5)
    assert tuning._Scores(two_users, {"default": default, "ahead": ahead}).best("default") == "default"


def test_grids_have_the_defaults_and_each_part_alone():
    alone = {tuning.CONTENT_ONLY, tuning.COLLABORATIVE_ONLY, tuning.FACTORS_ONLY, tuning.POPULARITY_ONLY}
    assert {tuning.DEFAULT_WEIGHTS, *alone} <= set(tuning.WEIGHT_GRID)


def test_weights_are_selected_from_the_grids(catalog):
    groups = catalog.clusters.tolist()
    plays = simulator.simulate_plays(
        catalog.ids.tolist(), groups, [30.0] * len(groups), users=10, events=600, seed=1, begin=NOW
    )
    selected = tuning.select_weights(catalog, list(plays))
    without_recency = replace(selected.weights, recency=0.0)
    assert without_recency in tuning.WEIGHT_GRID and without_recency != tuning.POPULARITY_ONLY


def chain_plays():
    """Thirty users with ten of a hundred tracks in a row; no groups and no sound that would show it."""
    rng = np.random.default_rng(3)
    starts = rng.integers(100, size=30)
    return [
        replace(make_event("finished", f"{(start + step) % 100:03d}"), user_id=f"u{user}")
        for user, start in enumerate(starts)
        for step in range(10)
    ]


@pytest.mark.slow
def test_planted_best_system_is_chosen(catalog):
    """Of plays that follow the sound content leads; where the sound is a lie, co-listening."""
    rng = np.random.default_rng(4)
    by_sound = [
        replace(make_event("finished", f"{track:03d}"), user_id=f"u{user}")
        for user in range(20)
        for track in rng.choice(np.arange(user % 5, 100, 5), 5, replace=False)
    ]
    assert tuning.select_weights(catalog, by_sound).weights.content > 0
    selected = tuning.select_weights(catalog, chain_plays())
    assert selected.weights.content <= 0.1
    assert selected.weights.factors + selected.weights.collaborative > 0


def test_evaluated_lists_are_the_ranked_ones(catalog):
    """The fast scores of tuning give the NDCG of the lists that `ranking` makes."""
    before, after = splits.pair_split(chain_plays())
    holdout = build_holdout(catalog.index_of, before, after)
    recommender = FittedRecommender(catalog, before)
    config, factor_config = tuning.EASE_GRID[-1], FactorConfig(regularization=5.0)
    fast = recommender.ndcg(config, factor_config, tuning.WEIGHT_GRID[:4], holdout)
    for weights, values in zip(tuning.WEIGHT_GRID[:4], fast, strict=True):
        lists = recommender.recommend(config, factor_config, weights, holdout)
        slow = ranking_scores(lists, holdout.after)["next_play_ndcg_at_10"]
        np.testing.assert_allclose(values, slow, atol=0.02)
        assert abs(values.mean() - slow.mean()) < 0.002


def test_history_without_times_is_split_by_pairs(catalog):
    plays = [
        replace(make_event("finished", f"{(user + 5 * step) % 100:03d}"), user_id=f"u{user}")
        for user in range(10)
        for step in range(12)
        for _ in range(2)
    ]
    assert not splits.has_times(plays)
    before, after = splits.pair_split(plays)
    pairs = [{(play.user_id, play.track_id) for play in part} for part in (before, after)]
    assert not pairs[0] & pairs[1] and 0.1 < len(pairs[1]) / 120 < 0.3
    assert tuning.select_weights(catalog, plays) is not None


def test_without_a_user_to_evaluate_nothing_is_selected(catalog):
    assert tuning.select_weights(catalog, []) is None


def test_sound_is_chosen_where_it_ranks_cold_tracks(catalog):
    """Forty users play eight of twelve tracks of their group, and one that nobody else plays."""
    rng = np.random.default_rng(6)
    plays = []
    for user in range(40):
        for step in [*rng.choice(12, 8, replace=False), 12 + user // 5]:
            event = make_event("finished", f"{user % 5 + 5 * step:03d}")
            plays.append(replace(event, user_id=f"u{user:02d}"))
    options = [
        tuning.SelectedWeights(
            factor_config=FactorConfig(regularization=5.0, sound_prior=prior), weights=tuning.FACTORS_ONLY
        )
        for prior in tuning.SOUND_PRIORS
    ]
    tuned = tuning._Tuning(tuning._make_splits(catalog, plays))
    cold = tuned.score_cold(options).values
    assert max(cold[option].mean() for option in options[1:]) > cold[options[0]].mean() + 0.1
    assert tuning._select_sound(tuned, options).factor_config.sound_prior > 0
