"""Figures with known answers: by hand, by chance, and beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from jobs.model import metrics
from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.metrics import Clusters, Labels, RetrievalEvaluator


def labels(genres, artists=None, judged=None):
    genres = np.asarray(genres)
    artists = np.full(len(genres), -1) if artists is None else np.asarray(artists)
    return Labels(genres, artists, np.ones(len(genres), dtype=bool) if judged is None else np.asarray(judged))


def trial(vectors, told, clusters=None, batch=7):
    made = RetrievalEvaluator(vectors, np.arange(len(vectors)), told, clusters)
    for start in range(0, len(vectors), batch):
        made.add(vectors[start : start + batch], np.arange(start, min(start + batch, len(vectors))))
    return made.metrics()


def planted(groups=5, each=8, seed=0):
    rng = np.random.default_rng(seed)
    vectors = l2_normalize(
        np.repeat(np.eye(groups, 16), each, axis=0) + 0.05 * rng.standard_normal((groups * each, 16))
    )
    return vectors, np.repeat(np.arange(groups), each)


def test_planted_genres_are_found():
    vectors, genres = planted()
    found = trial(vectors, labels(genres))
    assert found["genre_precision_at_5"] == found["genre_map"] == 1
    assert found["genre_precision_at_10"] == pytest.approx(0.7)  # seven others are all there is
    assert found["coverage"] == 1 and found["judged_queries"] == 40


def test_without_the_artist_filter_it_would_be_the_artist_that_is_found():
    """Two artists a genre, far apart: only the artist's own tracks are near, and they do not count."""
    vectors, artists = planted(groups=6)
    genres = np.array([0, 1, 2, 0, 1, 2])[artists]
    assert trial(vectors, labels(genres))["genre_precision_at_5"] == 1
    assert trial(vectors, labels(genres, artists))["genre_precision_at_5"] < 0.5


def test_average_precision_by_hand():
    told = labels([0, 1, 0, 1, 0])
    found = metrics.genre_metrics(np.array([[2, 1, 4, 3]]), np.array([0]), told)
    assert found["genre_map"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert (found["genre_precision_at_1"], found["genre_precision_at_5"]) == (
        1,
        0.5,
    )  # four are all there are


def test_only_what_is_judged_asks_and_answers():
    vectors, genres = planted()
    judged = np.arange(40) % 2 == 0
    found = trial(vectors, labels(genres, judged=judged))
    assert found["judged_queries"] == 20
    assert found["genre_precision_at_10"] == pytest.approx(0.3)


def test_the_relevant_are_counted_without_the_artists_own():
    told = labels([0, 0, 0, 0, 1, -1], [1, 1, 2, -1, 1, 1], [True, True, True, True, True, False])
    np.testing.assert_array_equal(told.relevant(np.array([0, 2, 3, 4])), [2, 3, 3, 0])


def test_a_genre_of_its_own_asks_nothing():
    vectors, _ = planted(groups=2, each=2)
    assert trial(vectors, labels([0, 1, 2, 3]))["judged_queries"] == 0


def test_chance_finds_what_chance_finds():
    genres = np.repeat(np.arange(10), 10)
    vectors = l2_normalize(np.random.default_rng(0).standard_normal((100, 40)))
    assert trial(vectors, labels(genres))["genre_precision_at_10"] == pytest.approx(9 / 99, abs=0.03)


def test_a_hub_is_seen():
    counts = np.ones(100)
    assert metrics.skewness(counts) == 0
    counts[0] = 90
    assert metrics.skewness(counts) > 9
    assert metrics.hubness_metrics(np.array([[1], [1], [1], [-1]]), 4)["coverage"] == 0.25


def test_the_silhouette_is_scikit_learns():
    vectors, groups = planted(each=6)
    vectors = l2_normalize(vectors + 0.5 * np.random.default_rng(1).standard_normal(vectors.shape))
    centroids = l2_normalize(np.array([vectors[groups == g].mean(axis=0) for g in range(5)]))
    clusters = nearest_cluster(vectors, centroids)
    found = trial(vectors, labels(groups), Clusters(centroids, 2))
    assert found["silhouette"] == pytest.approx(
        silhouette_score(vectors, clusters, metric="cosine"), abs=1e-5
    )


def test_an_index_that_looks_everywhere_finds_everything():
    vectors, groups = planted()
    centroids = l2_normalize(np.random.default_rng(0).standard_normal((6, 16)))
    everything = trial(vectors, labels(groups), Clusters(centroids, 6))
    assert everything["recall_at_10"] == everything["share_scanned"] == 1
    one = trial(vectors, labels(groups), Clusters(centroids, 1))
    assert one["recall_at_10"] < 1 and one["share_scanned"] < 0.6


def test_euclidean_distance_as_a_dot_product():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 3)) * 5
    queries, candidates = metrics.euclidean_as_dot(points, points)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.testing.assert_array_equal(
        np.argsort(-(queries @ candidates.T), axis=1), np.argsort(distances, axis=1)
    )


def test_plays_by_hand():
    found = metrics.ranking_metrics(np.array([[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]), [{6, 99}])
    assert found["plays_recall_at_10"] == 0.5
    assert found["plays_ndcg_at_10"] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))


def test_batches_change_nothing():
    vectors, genres = planted()
    assert trial(vectors, labels(genres), batch=3) == trial(vectors, labels(genres), batch=40)


@pytest.mark.parametrize("tracks", [1, 2, 3])
def test_tiny_collections_have_figures(tracks):
    vectors, genres = planted(groups=3, each=1)
    found = trial(vectors[:tracks], labels(genres[:tracks]), Clusters(vectors[:1], 1))
    assert np.isfinite(list(found.values())).all()
