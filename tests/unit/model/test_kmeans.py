"""Spherical K-Means in one process: planted groups, scikit-learn's cost, degenerate input."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from jobs.model import kmeans
from jobs.model.embedding import l2_normalize


def planted(n_groups=12, size=50, dimensions=16, noise=0.1, seed=0):
    """Return unit vectors in groups around random directions, and their groups."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_groups, dimensions))
    groups = rng.permutation(np.repeat(np.arange(n_groups), size))
    return l2_normalize(centers[groups] + noise * rng.standard_normal((len(groups), dimensions))), groups


def test_planted_groups_are_found():
    vectors, groups = planted()
    fitted = kmeans.fit(vectors, k=12, seed=0, iterations=50)
    clusters = (vectors @ fitted.centroids.T).argmax(axis=1)
    assert adjusted_rand_score(groups, clusters) == 1
    assert sorted(fitted.totals.sizes) == [50] * 12 and fitted.iterations < 10
    means = l2_normalize(np.stack([vectors[clusters == c].sum(axis=0) for c in range(12)]))
    np.testing.assert_allclose(fitted.centroids, means, atol=1e-6)


def test_cost_is_near_scikit_learns():
    vectors, _ = planted(n_groups=60, size=40, noise=0.8)
    fitted = kmeans.fit(vectors, k=100, seed=0, iterations=50)
    model = KMeans(100, n_init=1, max_iter=50, random_state=0).fit(vectors)
    expected = len(vectors) - (vectors @ l2_normalize(model.cluster_centers_).T).max(axis=1).sum()
    assert len(vectors) - fitted.totals.cosine == pytest.approx(expected, rel=0.02)


def test_sums_of_blocks_are_those_of_all(monkeypatch):
    vectors, _ = planted()
    whole = kmeans.cluster_sums(vectors, vectors[:7])
    monkeypatch.setattr(kmeans, "_BLOCK_ROWS", 13)
    blocks = kmeans.cluster_sums(vectors, vectors[:7])
    np.testing.assert_allclose(blocks.sums, whole.sums, atol=1e-6)
    assert blocks.sizes.tolist() == whole.sizes.tolist() and whole.sizes.sum() == len(vectors)
    assert blocks.cosine == pytest.approx(whole.cosine)
    assert whole.cosine == pytest.approx((vectors @ vectors[:7].T).max(axis=1).sum(), rel=1e-6)


@pytest.mark.parametrize("n_different", [1, 3])
def test_clusters_are_no_more_than_different_vectors(n_different):
    vectors = np.eye(n_different, 4, dtype=np.float32)[np.arange(20) % n_different]
    fitted = kmeans.fit(vectors, k=8, seed=0, iterations=50)
    assert len(fitted.centroids) == n_different and fitted.totals.sizes.sum() == 20
    assert fitted.totals.cosine == pytest.approx(20)


def test_same_seed_gives_same_centroids():
    vectors, _ = planted(noise=1.0)
    runs = [kmeans.fit(vectors, k=9, seed=seed, iterations=50).centroids for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])
