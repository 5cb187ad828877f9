"""Metrics with known answers, by hand."""

import numpy as np
import pytest

from jobs.model import metrics
from jobs.model.metrics import Labels


def test_average_precision_by_hand():
    genres = np.array([0, 1, 0, 1, 0])
    labels = Labels(genres, np.full(5, -1), np.ones(5, dtype=bool))
    values = metrics.genre_metrics(np.array([[2, 1, 4, 3]]), np.array([0]), labels)
    assert values["genre_map"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert values["genre_precision_at_1"] == 1
    assert values["genre_precision_at_5"] == 0.5  # the list has four tracks


def test_relevant_tracks_exclude_those_of_the_same_artist():
    genres = np.array([0, 0, 0, 0, 1, -1])
    artists = np.array([1, 1, 2, -1, 1, 1])
    evaluated = np.array([True, True, True, True, True, False])
    n_relevant = Labels(genres, artists, evaluated).n_relevant(np.array([0, 2, 3, 4]))
    np.testing.assert_array_equal(n_relevant, [2, 3, 3, 0])


def test_skewness_shows_a_hub():
    counts = np.ones(100)
    assert metrics.skewness(counts) == 0
    counts[0] = 90
    assert metrics.skewness(counts) > 9


def test_coverage_counts_tracks_in_any_list():
    assert metrics.hubness_metrics(np.array([[1], [1], [1], [-1]]), 4)["coverage"] == 0.25


def test_dot_product_orders_as_euclidean_distance():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 3)) * 5
    queries, candidates = metrics.euclidean_as_dot(points, points)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    by_dot = np.argsort(-(queries @ candidates.T), axis=1)
    np.testing.assert_array_equal(by_dot, np.argsort(distances, axis=1))


def test_next_play_metrics_by_hand():
    values = metrics.ranking_metrics(np.array([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]), [{6, 99}])
    assert values["next_play_recall_at_10"] == 0.5
    assert values["next_play_ndcg_at_10"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
