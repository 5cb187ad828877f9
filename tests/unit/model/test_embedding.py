"""Embedders on planted features: groups count by their share, and stored arrays give the same embedder."""

import numpy as np
import pytest

from jobs.model.embedding import Embedder, l2_normalize, nearest_cluster
from jobs.model.fitting import fit_embedder
from tests.unit.model.planted_features import COLUMNS, planted_features


def fitted(values, recipe="timbre", dimensions=96, genres=None):
    return fit_embedder(values, COLUMNS, recipe=recipe, dimensions=dimensions, genres=genres)[0]


@pytest.mark.parametrize("recipe", ["timbre", "fma518"])
def test_similar_tracks_are_near(recipe):
    values, groups = planted_features()
    vectors = fitted(values, recipe).apply(values)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cosines = vectors @ vectors.T - 3 * np.eye(len(vectors))
    nearest = np.argsort(-cosines, axis=1)[:, :9]
    assert (groups[nearest] == groups[:, None]).all()


def test_group_counts_by_its_share():
    values, _ = planted_features()
    embedder = fitted(values)
    for group in embedder.groups:
        lengths = np.linalg.norm(group.apply(values), axis=1)
        np.testing.assert_allclose(lengths, np.sqrt(group.share), rtol=1e-9)
    assert sum(group.share for group in embedder.groups) == pytest.approx(1)


def test_track_alone_has_same_embedding_as_in_collection():
    values, _ = planted_features()
    embedder = fitted(values)
    np.testing.assert_allclose(embedder.apply(values[7:8]), embedder.apply(values)[7:8], atol=1e-6)


def test_embedder_from_arrays_gives_same_bits():
    values, groups = planted_features()
    genres = [[f"g{group}"] for group in groups]
    embedder = fitted(values, "timbre+genre", genres=genres)
    restored = Embedder.from_arrays(embedder.arrays())
    np.testing.assert_array_equal(restored.apply(values, genres), embedder.apply(values, genres))
    np.testing.assert_array_equal(fitted(values).apply(values), fitted(values).apply(values))


def test_genres_attract_and_are_optional():
    values, _ = planted_features(groups=1, tracks_per_group=40)
    genres = [["a"], ["b"]] * 20
    embedder = fitted(values, "timbre+genre", genres=genres)
    assert embedder.genres == ("a", "b")
    with_genres = embedder.apply(values, genres)
    by_sound = embedder.apply(values)
    cosines = (with_genres @ with_genres.T)[0]
    assert cosines[2::2].mean() > cosines[1::2].mean() + 0.2
    cosines = (by_sound @ by_sound.T)[0]
    assert abs(cosines[2::2].mean() - cosines[1::2].mean()) < 0.1
    np.testing.assert_array_equal(embedder.apply(values, [None] * 40), by_sound)


def test_l2_normalize_gives_zero_row_a_direction():
    rows = l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [1, 0], [-1, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


def test_nearest_cluster_is_by_cosine():
    centroids = l2_normalize(np.array([[1.0, 0], [0, 1.0]]))
    assert list(nearest_cluster(l2_normalize(np.array([[5, 1.0], [0.1, 0.2]])), centroids)) == [0, 1]
