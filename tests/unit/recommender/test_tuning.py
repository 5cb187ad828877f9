"""Ranking weights follow what users play next; the default stays unless another option leads."""

from dataclasses import replace

import numpy as np

from jobs.plays import simulator, splits
from jobs.recommender import tuning
from tests.unit.recommender.conftest import NOW, make_event


def test_option_within_one_standard_error_is_not_chosen():
    default = np.array([0.5, 0.5, 0.5, 0.5])
    lucky = default + [1.0, -0.4, -0.4, 0.0]
    better = default + [0.2, 0.1, 0.2, 0.1]
    assert tuning._best_by_one_standard_error({"default": default, "lucky": lucky}, "default") == "default"
    scores = {"default": default, "lucky": lucky, "better": better}
    assert tuning._best_by_one_standard_error(scores, "default") == "better"


def test_grids_have_the_defaults_and_each_part_alone():
    assert {config.model for config in tuning.CONFIG_GRID} == {"bm25", "autoencoder"}
    alone = {tuning.CONTENT_ONLY, tuning.COLLABORATIVE_ONLY, tuning.FACTORS_ONLY, tuning.POPULARITY_ONLY}
    assert {tuning.DEFAULT_WEIGHTS, *alone} <= set(tuning.WEIGHT_GRID)


def test_weights_are_selected_from_the_grids(catalog, monkeypatch):
    monkeypatch.setattr(tuning, "CONFIG_GRID", tuning.CONFIG_GRID[-3:])
    groups = catalog.clusters.tolist()
    plays = simulator.simulate_plays(
        catalog.ids.tolist(), groups, [30.0] * len(groups), users=10, events=600, seed=1, begin=NOW
    )
    selected = tuning.select_weights(catalog, list(plays))
    without_recency = replace(selected.weights, recency=0.0)
    assert selected.config in tuning.CONFIG_GRID and without_recency in tuning.WEIGHT_GRID
    assert without_recency != tuning.POPULARITY_ONLY


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
