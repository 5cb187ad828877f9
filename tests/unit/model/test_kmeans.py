"""The choice of k: silhouette minus search cost."""

import numpy as np
import pytest

from jobs.model.ivf_index import Calibration
from jobs.model.kmeans import KMeansTrial, best_trial


def make_trial(k, silhouette, scanned_fraction, seed=0):
    return KMeansTrial(
        k=k,
        seed=seed,
        centroids=np.zeros((k, 2)),
        sizes=np.full(k, 1000 // k),
        silhouette=silhouette,
        index=Calibration(1, 0.99, scanned_fraction),
    )


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
