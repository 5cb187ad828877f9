"""Metrics with known answers, by hand."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jobs.model import metrics
from jobs.model.metrics import Labels


def make_labels(genres, artists=None):
    genres = np.array(genres)
    artists = np.full(len(genres), -1) if artists is None else np.array(artists)
    return Labels(genres, artists, np.ones(len(genres), dtype=bool))


def test_genre_scores_by_hand():
    """Query 0 of genre 0: tracks 2 and 4 are relevant, at ranks 1 and 3."""
    labels = make_labels([0, 1, 0, 1, 0])
    scores = metrics.genre_scores(np.array([[2, 1, 4, 3]]), np.array([0]), labels)
    assert scores["genre_map"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert scores["genre_r_precision"] == 0.5  # one of the first two
    assert scores["genre_precision_at_1"] == 1
    assert scores["genre_precision_at_5"] == 0.5  # the list has four tracks


def test_average_precision_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    genres = rng.integers(0, 3, 60)
    ranked = np.array([rng.permutation(np.delete(np.arange(60), query)) for query in range(60)])
    scores = metrics.genre_scores(ranked, np.arange(60), make_labels(genres))
    for query in range(60):
        is_relevant = genres[ranked[query]] == genres[query]
        expected = average_precision_score(is_relevant, -np.arange(59))
        assert scores["genre_map"][query] == pytest.approx(expected)
        assert scores["genre_r_precision"][query] == is_relevant[: is_relevant.sum()].mean()


def test_cut_lists_count_as_many_relevant_tracks_as_ranks():
    """AP at 2 of a genre with three other tracks: both ranks relevant is 1."""
    labels = make_labels([0, 0, 0, 0, 1])
    scores = metrics.genre_scores(np.array([[1, 2], [4, 2]]), np.array([0, 1]), labels)
    np.testing.assert_allclose(scores["genre_map"], [1, (1 / 2) / 2])
    np.testing.assert_allclose(scores["genre_r_precision"], [1, 0.5])


def test_ceilings_by_hand():
    """Genres of three and of two tracks: two and one other tracks fill lists of four."""
    labels = make_labels([0, 0, 0, 1, 1])
    ranked = np.array([[t for t in (4, 3, 2, 1, 0) if t != query] for query in range(5)])
    ceilings = metrics.genre_ceilings(ranked, np.arange(5), labels)
    assert ceilings["genre_precision_at_1"] == ceilings["genre_map"] == ceilings["genre_r_precision"] == 1
    assert ceilings["genre_precision_at_10"] == pytest.approx((3 * 2 / 4 + 2 * 1 / 4) / 5)


def test_no_ordering_is_above_the_ceiling():
    labels = make_labels([0, 0, 0, 0, 1, 1, 1])
    positions = np.array([0])
    orders = np.array(list(itertools.permutations(range(1, 7))))
    for name, ceiling in metrics.genre_ceilings(orders[:1], positions, labels).items():
        best = max(metrics.genre_scores(order[None], positions, labels)[name][0] for order in orders)
        assert best == pytest.approx(ceiling)


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
    values = metrics.hubness_metrics(np.array([[1], [1], [1], [-1]]), 4)
    assert values["coverage"] == 0.25 and values["anti_hub_fraction"] == 0.75
    assert values["k_occurrence_max"] == 3


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


def test_ranking_scores_without_a_user():
    scores = metrics.ranking_scores(np.full((0, 10), -1), [])
    assert [values.shape for values in scores.values()] == [(0,), (0,)]
