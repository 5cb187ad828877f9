"""Ranking weights follow what users play next; the default stays unless another option leads."""

import numpy as np

from jobs.plays import simulator
from jobs.recommender import tuning
from jobs.recommender.collaborative import CollaborativeConfig
from tests.unit.recommender.conftest import NOW


def test_option_within_one_standard_error_is_not_chosen():
    default = np.array([0.5, 0.5, 0.5, 0.5])
    lucky = default + [1.0, -0.4, -0.4, 0.0]
    better = default + [0.2, 0.1, 0.2, 0.1]
    assert tuning._best_by_one_standard_error({"default": default, "lucky": lucky}, "default") == "default"
    scores = {"default": default, "lucky": lucky, "better": better}
    assert tuning._best_by_one_standard_error(scores, "default") == "better"


def test_grids_have_the_defaults_and_each_part_alone():
    assert CollaborativeConfig() in tuning.CONFIG_GRID
    alone = {tuning.CONTENT_ONLY, tuning.COLLABORATIVE_ONLY, tuning.POPULARITY_ONLY}
    assert {tuning.DEFAULT_WEIGHTS, *alone} <= set(tuning.WEIGHT_GRID)


def test_weights_are_selected_from_the_grids(catalog, monkeypatch):
    monkeypatch.setattr(tuning, "CONFIG_GRID", tuning.CONFIG_GRID[-3:])
    groups = catalog.clusters.tolist()
    plays = simulator.simulate_plays(
        catalog.ids.tolist(), groups, [30.0] * len(groups), users=10, events=600, seed=1, begin=NOW
    )
    selected = tuning.select_weights(catalog, list(plays))
    assert selected.config in tuning.CONFIG_GRID and selected.weights in tuning.WEIGHT_GRID
    assert selected.weights != tuning.POPULARITY_ONLY


def test_without_a_user_to_evaluate_nothing_is_selected(catalog):
    assert tuning.select_weights(catalog, []) is None
