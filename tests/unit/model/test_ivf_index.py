"""The IVF index and its calibration on planted groups; `test_search_index.py` asks every index the same."""

import numpy as np

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import IVFIndex, calibrate_nprobe


def planted(groups=8, tracks_per_group=50, dimensions=16, spread=0.15):
    rng = np.random.default_rng(0)
    centers = l2_normalize(rng.standard_normal((groups, dimensions)))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + spread * noise)
    return vectors, centers, np.array([f"t{i:04d}" for i in range(len(vectors))])


def make_index(vectors, centers, nprobe):
    return IVFIndex(
        vectors, np.arange(len(centers) + 1) * (len(vectors) // len(centers)), centers, nprobe=nprobe
    )


def test_one_probe_searches_one_group_only():
    vectors, centers, _ = planted(groups=4, tracks_per_group=300, spread=1.0)
    index = make_index(vectors, centers, nprobe=1)
    for queries in (vectors[60:61], vectors[60:100]):
        found = index.query(queries, 10)
        for query, rows in zip(queries, found.rows, strict=True):
            group = np.argmax(centers @ query) if len(queries) == 1 else None
            groups = set(rows // 300)
            assert len(groups) == 1 and (group is None or groups == {group})
            own = np.flatnonzero(np.arange(1_200) // 300 == groups.pop())
            expected = own[np.argsort(-(vectors[own] @ query), kind="stable")[:10]]
            np.testing.assert_array_equal(rows, expected)


def test_search_opens_more_clusters_when_tracks_are_few():
    vectors, centers, _ = planted(groups=4, tracks_per_group=3)
    index = make_index(vectors, centers, nprobe=1)
    assert (index.query(vectors[:1], 10).rows >= 0).all()
    assert sorted(index.query(vectors[:1], 50).rows[0]) == list(range(12))


def test_group_of_queries_searches_enough_clusters():
    vectors, centers, _ = planted(groups=8, tracks_per_group=15)
    # 2 × 20 candidates: three clusters.
    found = make_index(vectors, centers, nprobe=1).query(vectors[:15], 2)
    assert (found.rows >= 0).all()
    assert make_index(vectors, centers, nprobe=1)._searched(centers[0], 2, 0).shape == (3,)


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
