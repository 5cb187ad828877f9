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
