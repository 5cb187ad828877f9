import numpy as np

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import IVFIndex, calibrate_nprobe


def planted(groups=8, each=50, dimensions=16, spread=0.15):
    rng = np.random.default_rng(0)
    centres = l2_normalize(rng.standard_normal((groups, dimensions)))
    vectors = l2_normalize(
        np.repeat(centres, each, axis=0) + spread * rng.standard_normal((groups * each, dimensions))
    )
    return vectors, centres, np.array([f"t{i:04d}" for i in range(len(vectors))])


def test_one_probe_finds_the_planted_group():
    vectors, centres, ids = planted()
    found, cosines = IVFIndex(ids, vectors, centres, probes=1).search(vectors[60], count=10)
    exact = np.argsort(-(vectors @ vectors[60]), kind="stable")[:10]
    assert list(found) == list(ids[exact]) and found[0] == "t0060"
    np.testing.assert_allclose(cosines, (vectors @ vectors[60])[exact], atol=1e-6)


def test_excluded_ids_make_room_for_the_next():
    vectors, centres, ids = planted()
    index = IVFIndex(ids, vectors, centres, probes=8)
    all_of_them, _ = index.search(vectors[0], count=15)
    rest, _ = index.search(vectors[0], count=10, exclude=set(all_of_them[:5]))
    assert list(rest) == list(all_of_them[5:])


def test_more_clusters_are_opened_where_few_tracks_are():
    vectors, centres, ids = planted(groups=4, each=3)
    found, _ = IVFIndex(ids, vectors, centres, probes=1).search(vectors[0], count=10)
    assert len(found) == 10
    assert len(IVFIndex(ids, vectors, centres, probes=1).search(vectors[0], count=50)[0]) == 12


def test_clear_groups_need_one_probe_and_mixed_ones_more():
    for spread, several in ((0.05, False), (1.0, True)):
        vectors, centres, _ = planted(spread=spread)
        cosines = vectors @ vectors.T - 3 * np.eye(len(vectors))
        nearest = vectors[np.argsort(-cosines, axis=1)[:, :10]]
        sizes = np.bincount(np.argmax(vectors @ centres.T, axis=1), minlength=8)
        found = calibrate_nprobe(centres, sizes, vectors, nearest)
        assert found.recall >= 0.98
        assert (found.nprobe > 1) == several
        assert np.isclose(found.scanned_fraction, 1 / 8, atol=0.01) != several


def test_a_lone_track_is_all_there_is():
    one = l2_normalize(np.ones((1, 3)))
    found = calibrate_nprobe(one, np.array([1]), one, np.zeros((1, 0, 3), np.float32))
    assert (found.nprobe, found.recall, found.scanned_fraction) == (1, 1, 1)
