"""K-Means and silhouette over Spark's blocks, compared with one process and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from jobs.model import grid_search, kmeans
from jobs.model.grid_search import GridSettings, fit_on_sample
from jobs.model.kmeans import DistributedVectors
from tests.unit.model.test_kmeans import planted


@pytest.fixture
def vectors():
    return planted(noise=0.5)[0]


@pytest.fixture
def distributed(spark, vectors, monkeypatch):
    """The vectors in five blocks, given to Spark in another order."""
    monkeypatch.setattr(kmeans, "_ROWS_PER_TASK", len(vectors) // 4)
    rows = [(f"{number:04d}", vector.tolist()) for number, vector in enumerate(vectors)]
    distributed = DistributedVectors(
        spark.createDataFrame(rows[::-1], "track_id string, embedding array<float>"), len(rows)
    )
    yield distributed
    distributed.close()


def test_blocks_give_what_one_process_gives(distributed, vectors):
    start = vectors[:12]
    expected = kmeans.fit_from(vectors, start, iterations=50)
    fitted = distributed.fit(start, iterations=50)
    assert fitted.iterations == expected.iterations > 1
    np.testing.assert_allclose(fitted.centroids, expected.centroids, atol=1e-6)
    assert fitted.totals.sizes.tolist() == expected.totals.sizes.tolist()
    again = distributed.fit(start, iterations=50)
    assert np.array_equal(again.centroids, fitted.centroids)


def test_silhouette_agrees_with_scikit_learn(distributed, vectors):
    fitted = distributed.fit(vectors[:12], iterations=50)
    clusters = (vectors @ fitted.centroids.T).argmax(axis=1)
    # The mean distance to a cluster includes the track itself in scikit-learn's sum, too: it is 0.
    expected = silhouette_score(vectors, clusters, metric="cosine")
    assert distributed.silhouette(fitted) == pytest.approx(expected, abs=1e-5)
    one = distributed.fit(vectors[:1], iterations=3)
    assert distributed.silhouette(one) == 0


def test_trials_are_fitted_on_workers_in_order(spark, vectors):
    settings = GridSettings(k=[3, 12], seed=5, seeds=2, iterations=50)
    trials = list(fit_on_sample(spark, vectors, settings))
    assert [trial[:2] for trial in trials] == [(3, 5), (3, 6), (12, 5), (12, 6)]
    expected = kmeans.fit(vectors, k=12, seed=6, iterations=50)
    assert np.array_equal(trials[3][2].centroids, expected.centroids)


def test_trial_of_a_sample_is_measured_over_all(distributed, vectors):
    fitted = kmeans.fit(vectors[::4], k=12, seed=0, iterations=50)
    queries, neighbours = vectors[:20], vectors[None, :10].repeat(20, axis=0)
    evaluator = grid_search.TrialEvaluator(distributed, queries, neighbours)
    trial = evaluator.evaluate(12, 0, fitted)
    assert np.array_equal(trial.fitted.centroids, fitted.centroids)
    assert trial.fitted.totals.sizes.sum() == len(vectors) and trial.fitted.iterations == fitted.iterations
    trained = evaluator.train(trial, 50)
    assert trained.fitted.totals.cosine >= trial.fitted.totals.cosine
    assert trained.training_metrics()["training_cost"] <= trial.training_metrics()["training_cost"]
