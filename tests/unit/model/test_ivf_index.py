"""Exact search and the IVF index on planted groups."""

import numpy as np

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import IVFIndex, calibrate_nprobe, clusters_to_search, exact_nearest


def planted(groups=8, tracks_per_group=50, dimensions=16, spread=0.15):
    rng = np.random.default_rng(0)
    centers = l2_normalize(rng.standard_normal((groups, dimensions)))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + spread * noise)
    return vectors, centers, np.array([f"t{i:04d}" for i in range(len(vectors))])


def test_one_probe_finds_the_planted_group():
    vectors, centers, ids = planted()
    found, cosines = IVFIndex(ids, vectors, centers, nprobe=1).search(vectors[60], count=10)
    exact = np.argsort(-(vectors @ vectors[60]), kind="stable")[:10]
    assert list(found) == list(ids[exact]) and found[0] == "t0060"
    np.testing.assert_allclose(cosines, (vectors @ vectors[60])[exact], atol=1e-6)


def test_excluded_ids_are_replaced_by_the_next():
    vectors, centers, ids = planted()
    index = IVFIndex(ids, vectors, centers, nprobe=8)
    first_15, _ = index.search(vectors[0], count=15)
    remaining, _ = index.search(vectors[0], count=10, exclude=set(first_15[:5]))
    assert list(remaining) == list(first_15[5:])


def test_search_opens_more_clusters_when_tracks_are_few():
    vectors, centers, ids = planted(groups=4, tracks_per_group=3)
    found, _ = IVFIndex(ids, vectors, centers, nprobe=1).search(vectors[0], count=10)
    assert len(found) == 10
    assert len(IVFIndex(ids, vectors, centers, nprobe=1).search(vectors[0], count=50)[0]) == 12


def test_nprobe_is_one_for_separate_groups_only():
    for spread, is_mixed in ((0.05, False), (1.0, True)):
        vectors, centers, _ = planted(spread=spread)
        cosines = vectors @ vectors.T - 3 * np.eye(len(vectors))
        nearest = vectors[np.argsort(-cosines, axis=1)[:, :10]]
        sizes = np.bincount(np.argmax(vectors @ centers.T, axis=1), minlength=8)
        calibration = calibrate_nprobe(centers, sizes, vectors, nearest)
        assert calibration.recall >= 0.98
        assert (calibration.nprobe > 1) == is_mixed
        assert np.isclose(calibration.scanned_fraction, 1 / 8, atol=0.01) != is_mixed


def test_calibration_of_one_track_scans_everything():
    vector = l2_normalize(np.ones((1, 3)))
    calibration = calibrate_nprobe(vector, np.array([1]), vector, np.zeros((1, 0, 3), np.float32))
    assert (calibration.nprobe, calibration.recall, calibration.scanned_fraction) == (1, 1, 1)


def separate_groups(rng, groups=5, tracks_per_group=40, dimensions=8):
    """Unit vectors in tight groups around orthogonal directions, and the groups."""
    centers = np.eye(groups, dimensions)
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    points = np.repeat(centers, tracks_per_group, axis=0) + 0.05 * noise
    return l2_normalize(points), np.repeat(np.arange(groups), tracks_per_group)


def test_exact_neighbours_are_of_the_planted_group():
    vectors, groups = separate_groups(np.random.default_rng(0))
    ids = np.array([f"t{i:03d}" for i in range(len(vectors))])
    neighbours, _ = exact_nearest(vectors, ids, vectors, ids, count=10)
    for group, near in zip(groups, neighbours, strict=True):
        assert {groups[int(track_id[1:])] for track_id in near} == {group}


def test_exact_search_agrees_with_sorted_cosines():
    rng = np.random.default_rng(1)
    vectors = l2_normalize(rng.standard_normal((300, 16)))
    ids = np.array([str(i) for i in range(300)])
    neighbours, scores = exact_nearest(vectors, ids, vectors, ids, count=7)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    for row, near, score in zip(cosines, neighbours, scores, strict=True):
        np.testing.assert_array_equal(near, ids[np.argsort(-row)[:7]])
        np.testing.assert_allclose(score, np.sort(row)[::-1][:7], rtol=1e-6)


def test_exact_search_excludes_itself_and_orders_ties_by_id():
    vectors = l2_normalize(np.ones((4, 3)))
    ids = np.array(["d", "b", "a", "c"])
    neighbours, scores = exact_nearest(vectors, ids, vectors, ids, count=2)
    assert [list(row) for row in neighbours] == [["a", "b"], ["a", "c"], ["b", "c"], ["a", "b"]]
    assert all(abs(score - 1) < 1e-6 for row in scores for score in row)


def test_exact_search_of_one_track_finds_nothing():
    vector = l2_normalize(np.ones((1, 3)))
    neighbours, scores = exact_nearest(vector, np.array(["a"]), vector, np.array(["a"]), count=5)
    assert len(neighbours[0]) == len(scores[0]) == 0


def test_clusters_to_search_begin_with_itself_until_sufficient():
    centroids = l2_normalize(np.array([[1, 0], [0.9, 0.4], [-1, 0.1]]))
    # 40 candidates are sufficient for two neighbours.
    order = clusters_to_search(centroids, np.array([15, 30, 500]), n_neighbours=2)
    assert [list(row) for row in order] == [[0, 1], [1, 0], [2]]


def test_clusters_to_search_are_all_of_a_small_library():
    order = clusters_to_search(l2_normalize(np.eye(3)), np.array([1, 1, 1]), n_neighbours=50)
    assert [sorted(row) for row in order] == [[0, 1, 2]] * 3
