"""The evaluator on planted genres, by chance, and beside scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.ivf_index import Clusters
from jobs.model.metrics import Labels
from jobs.model.retrieval_evaluator import RetrievalEvaluator


def make_labels(genres, artists=None, evaluated=None):
    genres = np.asarray(genres)
    artists = np.full(len(genres), -1) if artists is None else np.asarray(artists)
    evaluated = np.ones(len(genres), dtype=bool) if evaluated is None else np.asarray(evaluated)
    return Labels(genres, artists, evaluated)


def evaluate(vectors, labels, clusters=None, batch_size=7):
    evaluator = RetrievalEvaluator(vectors, np.arange(len(vectors)), labels, clusters)
    for start in range(0, len(vectors), batch_size):
        stop = min(start + batch_size, len(vectors))
        evaluator.add(vectors[start:stop], np.arange(start, stop))
    return evaluator.metrics()


def planted(groups=5, tracks_per_group=8, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((groups * tracks_per_group, 16))
    vectors = l2_normalize(np.repeat(np.eye(groups, 16), tracks_per_group, axis=0) + 0.05 * noise)
    return vectors, np.repeat(np.arange(groups), tracks_per_group)


def test_planted_genres_are_found():
    vectors, genres = planted()
    metrics = evaluate(vectors, make_labels(genres))
    assert metrics["genre_precision_at_5"] == metrics["genre_map"] == 1
    assert metrics["genre_precision_at_10"] == pytest.approx(0.7)  # seven other tracks have the genre
    assert metrics["coverage"] == 1 and metrics["evaluated_queries"] == 40


def test_artist_filter_excludes_the_same_artist():
    """Two artists per genre, far apart: only the query artist's tracks are near, and they do not count."""
    vectors, artists = planted(groups=6)
    genres = np.array([0, 1, 2, 0, 1, 2])[artists]
    assert evaluate(vectors, make_labels(genres))["genre_precision_at_5"] == 1
    assert evaluate(vectors, make_labels(genres, artists))["genre_precision_at_5"] < 0.5


def test_lists_with_the_same_artist_are_evaluated_too():
    """Two artists per genre, near one another, with four tracks each."""
    vectors, genres = planted()
    artists = np.where(np.arange(40) % 2 == 0, genres, 5 + genres)
    metrics = evaluate(vectors, make_labels(genres, artists))
    # Four tracks of the other artist; seven of both.
    assert metrics["genre_precision_at_10"] == pytest.approx(0.4)
    assert metrics["genre_precision_at_10_any_artist"] == pytest.approx(0.7)
    assert metrics["genre_r_precision"] == metrics["genre_r_precision_any_artist"] == 1
    assert "genre_map_any_artist" not in evaluate(vectors, make_labels(genres))


def test_ceilings_are_reached_by_planted_genres():
    vectors, genres = planted()
    evaluator = RetrievalEvaluator(vectors, np.arange(40), make_labels(genres))
    evaluator.add(vectors, np.arange(40))
    assert evaluator.ceilings()["genre_precision_at_10"] == pytest.approx(0.7)
    metrics = evaluator.metrics()
    for name, ceiling in evaluator.ceilings().items():
        assert metrics[name] == pytest.approx(ceiling)


def test_hubness_of_a_sample_is_that_of_its_own_collection():
    """The queries are every third track: the others are candidates, but no list of hubness has them."""
    vectors, genres = planted()
    sample = np.arange(0, 40, 3)
    evaluator = RetrievalEvaluator(vectors[sample], sample, make_labels(genres))
    for start in range(0, 40, 7):
        evaluator.add(vectors[start : start + 7], np.arange(start, min(start + 7, 40)))
    alone = evaluate(vectors[sample], make_labels(genres[sample]))
    for name in ("k_occurrence_skew", "k_occurrence_max", "coverage", "anti_hub_fraction"):
        assert evaluator.metrics()[name] == alone[name]


def test_only_evaluated_tracks_are_queries_and_candidates():
    vectors, genres = planted()
    metrics = evaluate(vectors, make_labels(genres, evaluated=np.arange(40) % 2 == 0))
    assert metrics["evaluated_queries"] == 20
    assert metrics["genre_precision_at_10"] == pytest.approx(0.3)


def test_genre_of_one_track_is_no_query():
    vectors, _ = planted(groups=2, tracks_per_group=2)
    assert evaluate(vectors, make_labels([0, 1, 2, 3]))["evaluated_queries"] == 0


def test_random_vectors_have_chance_precision():
    genres = np.repeat(np.arange(10), 10)
    vectors = l2_normalize(np.random.default_rng(0).standard_normal((100, 40)))
    precision = evaluate(vectors, make_labels(genres))["genre_precision_at_10"]
    assert precision == pytest.approx(9 / 99, abs=0.03)


def test_silhouette_agrees_with_scikit_learn():
    vectors, groups = planted(tracks_per_group=6)
    vectors = l2_normalize(vectors + 0.5 * np.random.default_rng(1).standard_normal(vectors.shape))
    centroids = l2_normalize(np.array([vectors[groups == g].mean(axis=0) for g in range(5)]))
    clusters = nearest_cluster(vectors, centroids)
    metrics = evaluate(vectors, make_labels(groups), Clusters(centroids, 2))
    expected = silhouette_score(vectors, clusters, metric="cosine")
    assert metrics["silhouette"] == pytest.approx(expected, abs=1e-5)


def test_index_that_probes_all_clusters_finds_everything():
    vectors, groups = planted()
    centroids = l2_normalize(np.random.default_rng(0).standard_normal((6, 16)))
    probing_all = evaluate(vectors, make_labels(groups), Clusters(centroids, 6))
    assert probing_all["index_recall_at_10"] == probing_all["scanned_fraction"] == 1
    probing_one = evaluate(vectors, make_labels(groups), Clusters(centroids, 1))
    assert probing_one["index_recall_at_10"] < 1 and probing_one["scanned_fraction"] < 0.6


def test_batch_size_does_not_change_metrics():
    vectors, genres = planted()
    labels = make_labels(genres)
    assert evaluate(vectors, labels, batch_size=3) == evaluate(vectors, labels, batch_size=40)


@pytest.mark.parametrize("tracks", [1, 2, 3])
def test_tiny_collections_have_finite_metrics(tracks):
    vectors, genres = planted(groups=3, tracks_per_group=1)
    metrics = evaluate(vectors[:tracks], make_labels(genres[:tracks]), Clusters(vectors[:1], 1))
    assert np.isfinite(list(metrics.values())).all()
