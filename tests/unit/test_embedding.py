import numpy as np

from jobs.embedding import Projection, fixed_signs, nearest_cluster, unit


def test_standardised_and_projected_by_hand():
    projection = Projection(("a", "b"), np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([[1.0, 0], [0, 1.0]]))
    np.testing.assert_allclose(projection.apply(np.array([[7.0, 18.0]])), [[0.6, 0.8]], rtol=1e-6)  # (3, 4) / 5


def test_unit_length_and_a_direction_for_nothing():
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [1, 0], [-1, 0]], rtol=1e-6)
    assert rows.dtype == np.float32


def test_signs_do_not_depend_on_the_solver():
    components = np.array([[0.1, -0.9], [-0.8, 0.2]])
    np.testing.assert_array_equal(fixed_signs(components), fixed_signs(-components))
    assert fixed_signs(components)[1, 0] > 0


def test_the_nearest_cluster_is_by_cosine():
    centroids = unit(np.array([[1.0, 0], [0, 1.0]]))
    assert list(nearest_cluster(unit(np.array([[5, 1.0], [0.1, 0.2]])), centroids)) == [0, 1]
