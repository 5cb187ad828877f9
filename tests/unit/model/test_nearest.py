import numpy as np

from jobs.model import nearest
from jobs.model.embedding import l2_normalize


def planted(rng, groups=5, each=40, dimensions=8):
    """Unit vectors in tight groups around far-apart directions: whoever is near is known."""
    centres = np.eye(groups, dimensions)
    points = np.repeat(centres, each, axis=0) + 0.05 * rng.standard_normal((groups * each, dimensions))
    return l2_normalize(points), np.repeat(np.arange(groups), each)


def test_neighbours_are_of_the_planted_group():
    vectors, groups = planted(np.random.default_rng(0))
    ids = np.array([f"t{i:03d}" for i in range(len(vectors))])
    found, _ = nearest.exact_nearest(vectors, ids, vectors, ids, count=10)
    for own, near in zip(groups, found, strict=True):
        assert {groups[int(i[1:])] for i in near} == {own}


def test_the_same_as_sorting_every_cosine():
    rng = np.random.default_rng(1)
    vectors = l2_normalize(rng.standard_normal((300, 16)))
    ids = np.array([str(i) for i in range(300)])
    found, scores = nearest.exact_nearest(vectors, ids, vectors, ids, count=7)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    for row, near, score in zip(cosines, found, scores, strict=True):
        np.testing.assert_array_equal(near, ids[np.argsort(-row)[:7]])
        np.testing.assert_allclose(score, np.sort(row)[::-1][:7], rtol=1e-6)


def test_never_itself_and_equal_cosines_by_id():
    vectors = l2_normalize(np.ones((4, 3)))
    ids = np.array(["d", "b", "a", "c"])
    found, scores = nearest.exact_nearest(vectors, ids, vectors, ids, count=2)
    assert [list(row) for row in found] == [["a", "b"], ["a", "c"], ["b", "c"], ["a", "b"]]
    assert all(abs(s - 1) < 1e-6 for row in scores for s in row)


def test_a_library_of_one_track_has_no_neighbours():
    one = l2_normalize(np.ones((1, 3)))
    found, scores = nearest.exact_nearest(one, np.array(["a"]), one, np.array(["a"]), count=5)
    assert len(found[0]) == len(scores[0]) == 0


def test_probes_start_at_home_and_stop_when_there_is_enough():
    centroids = l2_normalize(np.array([[1, 0], [0.9, 0.4], [-1, 0.1]]))
    order = nearest.nearest_clusters(centroids, np.array([15, 30, 500]), wanted=2)  # 40 candidates are enough
    assert [list(row) for row in order] == [[0, 1], [1, 0], [2]]


def test_probes_take_everything_of_a_small_library():
    order = nearest.nearest_clusters(l2_normalize(np.eye(3)), np.array([1, 1, 1]), wanted=50)
    assert [sorted(row) for row in order] == [[0, 1, 2]] * 3
