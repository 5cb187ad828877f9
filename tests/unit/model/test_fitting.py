"""Fitting: any number of tracks has an embedding, centering reduces hubness, PCA is deterministic."""

import numpy as np
import pytest

from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, descriptor_columns
from jobs.model.embedding import l2_normalize
from jobs.model.fitting import fit_embedder, fix_signs, pca
from jobs.model.metrics import k_occurrence_skew
from tests.unit.model.planted_features import COLUMNS, planted_features


def fitted(values, recipe="timbre"):
    return fit_embedder(values, COLUMNS, recipe=recipe, dimensions=96)[0]


@pytest.mark.parametrize("tracks", [1, 2, 3, 10])
@pytest.mark.parametrize("recipe", ["timbre", "fma518"])
def test_small_libraries_have_embeddings(tracks, recipe):
    values = planted_features(groups=10, tracks_per_group=1)[0][:tracks]
    vectors = fitted(values, recipe).apply(values)
    assert np.isfinite(vectors).all() and 1 <= vectors.shape[1] <= max(tracks - 1, 1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_copies_of_one_track_have_finite_embeddings():
    values, _ = planted_features()
    vectors = fitted(np.repeat(values[:1], 5, axis=0)).apply(values[:2])
    assert np.isfinite(vectors).all()


def test_values_that_are_not_finite_are_embedded():
    values, _ = planted_features()
    holed = values.copy()
    holed[3, :40] = np.nan
    holed[4, 50] = np.inf
    assert np.isfinite(fitted(values).apply(holed)).all()
    assert np.isfinite(fitted(holed).apply(values)).all()


def test_centering_reduces_hubness():
    values, _ = planted_features(groups=60, tracks_per_group=3)
    embedder, report = fit_embedder(values, COLUMNS, recipe="timbre", dimensions=96)
    vectors = embedder.apply(values)
    assert report.hubness_after_centering == pytest.approx(k_occurrence_skew(vectors), abs=1e-3)
    # Tracks that spread by different amounts around one direction: those near it are neighbours of all
    # others.
    rng = np.random.default_rng(3)
    offset = rng.standard_normal((300, 30)) * rng.uniform(0.2, 2, (300, 1)) + 1.0
    hubness_before = k_occurrence_skew(l2_normalize(offset))
    assert k_occurrence_skew(l2_normalize(offset - offset.mean(axis=0))) < 0.7 * hubness_before


def test_pca_agrees_with_singular_values():
    rows = np.random.default_rng(0).standard_normal((30, 6)) * [5, 4, 3, 2, 1, 0]
    components, deviations = pca(rows, 4)
    _, singular, expected = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(components), np.abs(expected[:4].T), atol=1e-8)
    np.testing.assert_allclose(deviations, singular[:4] / np.sqrt(30))
    assert pca(rows, 6)[0].shape == (6, 5)  # nothing varies along the sixth


def test_signs_do_not_depend_on_the_solver():
    components = np.array([[0.1, -0.9], [-0.8, 0.2]])
    np.testing.assert_array_equal(fix_signs(components), fix_signs(-components))
    assert fix_signs(components)[1, 0] > 0


def test_share_is_weight_over_deviation_of_cosines():
    values, _ = planted_features(groups=20, tracks_per_group=3)
    embedder, _ = fit_embedder(values, COLUMNS, recipe="timbre", dimensions=96)
    upper = np.triu_indices(len(values), 1)
    shares = []
    for group, weight in zip(embedder.groups, (1.0, 1.0, 0.5, 0.5), strict=True):
        directions = group.directions(values)
        shares.append(weight / (directions @ directions.T)[upper].std())
    found = [group.share for group in embedder.groups]
    np.testing.assert_allclose(found, np.array(shares) / sum(shares), rtol=1e-9)


def test_tracks_without_a_group_are_embedded_by_the_others():
    columns = (*MODEL_INPUT_COLUMNS["fma518+1"], *descriptor_columns("musicnn"))
    columns = (*columns, *descriptor_columns("mel_mean"), *descriptor_columns("mel_covariance"))
    values = np.random.default_rng(5).standard_normal((30, len(columns)))
    pretrained = [columns.index(name) for name in descriptor_columns("musicnn")]
    values[20:, pretrained] = np.nan
    embedder, _ = fit_embedder(values, columns, recipe="musicnn", dimensions=20)
    musicnn = embedder.groups[0]
    assert musicnn.name == "musicnn"
    np.testing.assert_allclose(musicnn.mean, values[:20, pretrained].mean(axis=0))
    assert (musicnn.apply(values)[20:] == 0).all()
    assert (np.linalg.norm(musicnn.apply(values)[:20], axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(embedder.apply(values), axis=1), 1, atol=1e-6)
