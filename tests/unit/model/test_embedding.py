"""The recipes on planted sounds: groups count by their share, and any number of tracks has an embedding."""

import numpy as np
import pytest

from jobs.lake.feature_columns import FEATURE_COLUMNS, MODEL_INPUT_COLUMNS
from jobs.model import recipes
from jobs.model.embedding import Embedder, fix_signs, l2_normalize, nearest_cluster, pca
from jobs.model.metrics import k_occurrence_skew
from jobs.steps import embed

COLUMNS = MODEL_INPUT_COLUMNS["fma518+1"]


def planted(groups=4, each=10, seed=0):
    """Feature rows of tracks that sound like their group, and the groups; covariances are positive definite."""
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.standard_normal((groups, len(COLUMNS))), each, axis=0)
    values += 0.4 * rng.standard_normal(values.shape)
    position = [COLUMNS.index(f"mfcc_covariance_{n:03d}") for n in range(1, 211)]
    halves = np.repeat(rng.standard_normal((groups, 20, 20)), each, axis=0)
    halves = halves + 0.1 * rng.standard_normal(halves.shape)
    values[:, position] = (halves @ halves.transpose(0, 2, 1))[:, *np.triu_indices(20)]
    return values.astype(np.float32), np.repeat(np.arange(groups), each)


def fitted(values, recipe="timbre", dimensions=96, genres=None):
    return embed.fit(values, COLUMNS, recipe=recipe, dimensions=dimensions, genres=genres)[0]


@pytest.mark.parametrize("recipe", ["timbre", "fma518"])
def test_what_sounds_alike_is_near(recipe):
    values, groups = planted()
    vectors = fitted(values, recipe).apply(values)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cosines = vectors @ vectors.T - 3 * np.eye(len(vectors))
    nearest = np.argsort(-cosines, axis=1)[:, :9]
    assert (groups[nearest] == groups[:, None]).all()


def test_a_group_counts_by_its_share():
    values, _ = planted()
    for group in fitted(values).groups:
        np.testing.assert_allclose(
            np.linalg.norm(group.apply(values), axis=1), np.sqrt(group.share), rtol=1e-9
        )
    assert sum(group.share for group in fitted(values).groups) == pytest.approx(1)


def test_a_track_heard_alone_is_embedded_as_in_the_collection():
    values, _ = planted()
    embedder = fitted(values)
    np.testing.assert_allclose(embedder.apply(values[7:8]), embedder.apply(values)[7:8], atol=1e-6)


def test_stored_and_read_again_it_gives_the_same_bits():
    values, groups = planted()
    embedder = fitted(values, "timbre+genre", genres=[[f"g{group}"] for group in groups])
    again = Embedder.from_arrays(embedder.arrays())
    genres = [[f"g{group}"] for group in groups]
    np.testing.assert_array_equal(again.apply(values, genres), embedder.apply(values, genres))
    np.testing.assert_array_equal(fitted(values).apply(values), fitted(values).apply(values))


def test_genres_draw_together_and_are_not_needed():
    values, _ = planted(groups=1, each=40)
    genres = [["a"], ["b"]] * 20
    embedder = fitted(values, "timbre+genre", genres=genres)
    assert embedder.genres == ("a", "b")
    told, untold = embedder.apply(values, genres), embedder.apply(values)
    same, other = (told @ told.T)[0, 2::2].mean(), (told @ told.T)[0, 1::2].mean()
    assert same > other + 0.2
    assert abs((untold @ untold.T)[0, 2::2].mean() - (untold @ untold.T)[0, 1::2].mean()) < 0.1
    np.testing.assert_array_equal(embedder.apply(values, [None] * 40), untold)


@pytest.mark.parametrize("tracks", [1, 2, 3, 10])
@pytest.mark.parametrize("recipe", ["timbre", "fma518"])
def test_small_libraries_have_embeddings(tracks, recipe):
    values = planted(groups=10, each=1)[0][:tracks]
    vectors = fitted(values, recipe).apply(values)
    assert np.isfinite(vectors).all() and 1 <= vectors.shape[1] <= max(tracks - 1, 1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_copies_constants_and_what_is_not_finite():
    values, _ = planted()
    vectors = fitted(np.repeat(values[:1], 5, axis=0)).apply(values[:2])
    assert np.isfinite(vectors).all()
    holed = values.copy()
    holed[3, :40] = np.nan
    holed[4, 50] = np.inf
    assert np.isfinite(fitted(values).apply(holed)).all() and np.isfinite(fitted(holed).apply(values)).all()


def test_an_older_feature_version_leaves_groups_out():
    names = [group.name for group in recipes.recipe_groups("timbre", MODEL_INPUT_COLUMNS["basic-1"])]
    assert names == ["timbre", "chroma"]
    assert [group.name for group in recipes.recipe_groups("timbre", FEATURE_COLUMNS)] == [
        "timbre", "covariance", "delta", "rhythm", "chroma",
    ]  # fmt: skip


def test_centring_takes_hubs_away():
    """A common offset makes the tracks near it everybody's neighbours; measured, and less after centring."""
    values, _ = planted(groups=60, each=3)
    embedder, measured = embed.fit(values, COLUMNS, recipe="timbre", dimensions=96)
    vectors = embedder.apply(values)
    assert measured["skew_after_centring"] == pytest.approx(k_occurrence_skew(vectors), abs=1e-3)
    # Tracks spread by different amounts around one direction: those near it are everybody's neighbours.
    rng = np.random.default_rng(3)
    offset = rng.standard_normal((300, 30)) * rng.uniform(0.2, 2, (300, 1)) + 1.0
    assert k_occurrence_skew(l2_normalize(offset - offset.mean(axis=0))) < 0.7 * k_occurrence_skew(
        l2_normalize(offset)
    )


def test_components_are_those_of_the_singular_values():
    rows = np.random.default_rng(0).standard_normal((30, 6)) * [5, 4, 3, 2, 1, 0]
    components, deviations = pca(rows, 4)
    _, singular, expected = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(components), np.abs(expected[:4].T), atol=1e-8)
    np.testing.assert_allclose(deviations, singular[:4] / np.sqrt(30))
    assert pca(rows, 6)[0].shape == (6, 5)  # nothing varies along the sixth


def test_unit_length_and_a_direction_for_nothing():
    rows = l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [1, 0], [-1, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


def test_signs_do_not_depend_on_the_solver():
    components = np.array([[0.1, -0.9], [-0.8, 0.2]])
    np.testing.assert_array_equal(fix_signs(components), fix_signs(-components))
    assert fix_signs(components)[1, 0] > 0


def test_the_nearest_cluster_is_by_cosine():
    centroids = l2_normalize(np.array([[1.0, 0], [0, 1.0]]))
    assert list(nearest_cluster(l2_normalize(np.array([[5, 1.0], [0.1, 0.2]])), centroids)) == [0, 1]
