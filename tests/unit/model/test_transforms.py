import numpy as np
import scipy.linalg

from jobs.model import transforms


def triangle(matrix):
    return matrix[np.triu_indices(len(matrix))][None, :]


def test_the_logarithm_of_a_diagonal_is_that_of_its_entries():
    found = transforms.log_covariance(triangle(np.diag([np.e - 1, 0.0, np.e**2 - 1])))
    np.testing.assert_allclose(found, triangle(np.diag([1.0, 0.0, 2.0])), atol=1e-12)


def test_distances_are_log_euclidean():
    rng = np.random.default_rng(0)
    a, b = (half @ half.T for half in rng.standard_normal((2, 5, 5)) * 4)
    found = transforms.log_covariance(np.vstack([triangle(a), triangle(b)]))
    expected = np.linalg.norm(scipy.linalg.logm(a + np.eye(5)) - scipy.linalg.logm(b + np.eye(5)))
    np.testing.assert_allclose(np.linalg.norm(found[0] - found[1]), expected, rtol=1e-9)


def test_a_transposed_chroma_is_the_same():
    chroma = np.random.default_rng(1).random((1, 24))
    moved = np.roll(chroma.reshape(2, 12), 5, axis=1).reshape(1, 24)
    found = transforms.transposed(chroma)
    assert found.shape == (1, 14)
    np.testing.assert_allclose(found, transforms.transposed(moved))
    other = np.random.default_rng(2).permutation(chroma[0])[None, :]
    assert np.abs(found - transforms.transposed(other)).max() > 0.1


def test_twice_as_much_is_one_step():
    steps = np.diff(transforms.logarithm(np.array([[1.0, 2.0, 4.0]])))
    np.testing.assert_allclose(steps, np.log(2), rtol=1e-3)
