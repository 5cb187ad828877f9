"""Transforms with known answers."""

import numpy as np
import scipy.linalg

from jobs.model import transforms


def triangle(matrix):
    return matrix[np.triu_indices(len(matrix))][None, :]


def test_log_covariance_of_diagonal_is_log_of_entries():
    logs = transforms.log_covariance(triangle(np.diag([np.e - 1, 0.0, np.e**2 - 1])))
    np.testing.assert_allclose(logs, triangle(np.diag([1.0, 0.0, 2.0])), atol=1e-12)


def test_log_covariance_distance_is_log_euclidean():
    rng = np.random.default_rng(0)
    a, b = (half @ half.T for half in rng.standard_normal((2, 5, 5)) * 4)
    logs = transforms.log_covariance(np.vstack([triangle(a), triangle(b)]))
    expected = np.linalg.norm(scipy.linalg.logm(a + np.eye(5)) - scipy.linalg.logm(b + np.eye(5)))
    np.testing.assert_allclose(np.linalg.norm(logs[0] - logs[1]), expected, rtol=1e-9)


def test_key_invariant_is_same_after_transposition():
    chroma = np.random.default_rng(1).random((1, 24))
    transposed = np.roll(chroma.reshape(2, 12), 5, axis=1).reshape(1, 24)
    magnitudes = transforms.key_invariant(chroma)
    assert magnitudes.shape == (1, 14)
    np.testing.assert_allclose(magnitudes, transforms.key_invariant(transposed))
    shuffled = np.random.default_rng(2).permutation(chroma[0])[None, :]
    assert np.abs(magnitudes - transforms.key_invariant(shuffled)).max() > 0.1


def test_logarithm_of_doubled_values_has_equal_steps():
    steps = np.diff(transforms.logarithm(np.array([[1.0, 2.0, 4.0]])))
    np.testing.assert_allclose(steps, np.log(2), rtol=1e-3)


def gaussian(mean, covariance):
    return np.concatenate([mean, covariance[np.triu_indices(20)]])[None, :]


def test_typical_gaussian_is_the_origin():
    # Mean 0 and covariance 1 - floor in the units of each coefficient: the logarithm of the unit matrix.
    units = np.array(transforms._MFCC_DEVIATION)
    typical = gaussian(np.array(transforms._MFCC_MEAN), 0.9 * np.diag(units**2))
    np.testing.assert_allclose(transforms.log_gaussian(typical), 0, atol=1e-9)
    units = np.array(transforms._MFCC_CHANGE)
    typical = (0.9 * np.diag(units**2))[np.triu_indices(20)][None, :]
    np.testing.assert_allclose(transforms.log_change_covariance(typical), 0, atol=1e-9)


def test_log_gaussian_is_scipys_logarithm_of_the_joined_matrix():
    rng = np.random.default_rng(4)
    units = np.array(transforms._MFCC_DEVIATION)
    mean = rng.standard_normal(20)
    half = rng.standard_normal((20, 20))
    covariance = half @ half.T
    values = gaussian(transforms._MFCC_MEAN + mean * units, covariance * np.outer(units, units))
    joined = np.block([[covariance + 0.1 * np.eye(20) + np.outer(mean, mean), mean[:, None]], [mean, 1.0]])
    expected = np.linalg.norm(scipy.linalg.logm(joined))
    np.testing.assert_allclose(np.linalg.norm(transforms.log_gaussian(values)), expected, rtol=1e-8)
