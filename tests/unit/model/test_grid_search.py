"""The grid of k, and the choice of k: silhouette minus search cost."""

import numpy as np
import pytest

from jobs.errors import InputError
from jobs.model.grid_search import KMeansTrial, best_trial, parse_grid
from jobs.model.ivf_index import Calibration
from jobs.model.kmeans import ClusterSums, FittedClusters


def make_trial(k, silhouette, scanned_fraction, seed=0):
    totals = ClusterSums(np.zeros((k, 2)), np.full(k, 1000 // k), 0.0)
    return KMeansTrial(
        k=k,
        seed=seed,
        fitted=FittedClusters(np.zeros((k, 2)), totals, iterations=1, seconds=0.0),
        silhouette=silhouette,
        index=Calibration(1, 0.99, scanned_fraction),
    )


def test_default_grid_is_around_the_root_of_the_tracks():
    assert parse_grid(None, 400) == [10, 20, 30, 40, 80]


@pytest.mark.parametrize("n_tracks", [1, 2, 3, 4, 7])
def test_small_libraries_have_a_grid(n_tracks):
    grid = parse_grid(None, n_tracks)
    assert grid and min(grid) == 2 and max(grid) <= max(n_tracks - 1, 2)


def test_given_grid_is_sorted_and_checked():
    assert parse_grid("16, 8,8", 5) == [8, 16]
    with pytest.raises(InputError, match="--k: expected numbers from 2.*found '1,8'"):
        parse_grid("1,8", 5)
    with pytest.raises(InputError, match="--k"):
        parse_grid("many", 5)


def test_silhouette_alone_does_not_choose():
    trials = [make_trial(2, 0.5, 1.0), make_trial(20, 0.3, 0.2), make_trial(250, 0.1, 0.1)]
    assert best_trial(trials).k == 20


def test_search_cost_alone_does_not_choose():
    assert best_trial([make_trial(20, 0.6, 0.2), make_trial(40, 0.2, 0.1)]).k == 20


def test_search_cost_includes_centroids():
    assert make_trial(100, 0.1, 0.25).search_cost == pytest.approx(0.35)


def test_smaller_k_and_first_seed_win_ties():
    assert best_trial([make_trial(8, 0.5, 0.3), make_trial(4, 0.496, 0.3)]).k == 4
    assert best_trial([make_trial(8, 0.5, 0.3, seed=1), make_trial(8, 0.5, 0.3, seed=0)]).seed == 0
