"""Neighbours through a version's index, compared with exact search on planted groups."""

import numpy as np

from jobs.model import neighbours
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.embedding import l2_normalize
from jobs.model.search_index import IndexSettings


def planted(groups=6, tracks_per_group=60, dimensions=16):
    rng = np.random.default_rng(3)
    centers = 4 * rng.standard_normal((groups, dimensions))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + noise)
    ids = np.array([f"t{i:03d}".encode() for i in range(len(vectors))])
    return ClusteredVectors(ids, vectors, np.arange(groups + 1) * tracks_per_group, np.arange(groups))


def search(vectors, recordings, *, count=5):
    """Return {track_id: (ids, cosines)} of all tracks, searched a cluster at a time."""
    rows = neighbours.recording_rows(vectors.ids, recordings)
    found = {}
    for task in neighbours.balanced_tasks(vectors.sizes, 4):
        for cluster in task:
            own = np.arange(vectors.starts[cluster], vectors.starts[cluster + 1])
            near = neighbours.search_rows(vectors, rows, own, count=count)
            found |= {track_id: (ids, cosines) for track_id, ids, cosines in near}
    return found


def own_recordings(vectors):
    return {track_id.decode(): track_id.decode() for track_id in vectors.ids}


def test_neighbours_agree_with_exact_search():
    vectors = planted()
    cosines = vectors.vectors @ vectors.vectors.T
    np.fill_diagonal(cosines, -2)
    exact = np.argsort(-cosines, axis=1)[:, :5]
    for settings in (IndexSettings("exact"), IndexSettings("ivf", 6), IndexSettings("hnsw", 100)):
        vars(vectors)["index"] = vectors.make_index(settings)
        found = search(vectors, own_recordings(vectors))
        assert len(found) == len(vectors.ids)
        n_found = sum(
            len({f"t{j:03d}" for j in near} & set(found[f"t{i:03d}"][0])) for i, near in enumerate(exact)
        )
        assert n_found / exact.size > 0.99
        np.testing.assert_allclose(found["t000"][1], np.sort(cosines[0])[::-1][:5], atol=1e-5)


def test_single_track_has_no_neighbours():
    vectors = ClusteredVectors(
        np.array([b"a"]), np.array([[1.0, 0.0]], np.float32), np.arange(2), np.arange(1)
    )
    assert search(vectors, {"a": "a"}) == {"a": ([], [])}


def test_one_track_per_recording_is_a_neighbour():
    directions = {
        "1": [1.0, 0.0],
        "2": [1.0, 0.01],
        "3": [0.9, 0.3],
        "9": [0.5, 0.5],
        "also": [0.0, 1.0],
        "gone": [0.1, 1.0],
    }
    ids = np.array([track_id.encode() for track_id in directions])
    points = l2_normalize(np.array(list(directions.values())))
    vectors = ClusteredVectors(ids, points, np.array([0, len(ids)]), np.arange(1))
    # Track 0 is the first of its recording, but has no embedding; the track `gone` is no longer in TRACKS.
    recordings = {"1": "1", "2": "1", "3": "3", "9": "0", "also": "0", "0": "0"}
    found = search(vectors, recordings)
    assert {track_id: ids for track_id, (ids, _) in found.items()} == {
        "1": ["3", "9"],
        "2": ["3", "9"],
        "3": ["1", "9"],
        "9": ["3", "1"],
        "also": ["3", "1"],
    }


def test_tasks_have_every_cluster_once():
    sizes = np.array([5, 1, 20, 4])
    assert neighbours.balanced_tasks(sizes, 2) == [[2, 3], [0, 1]]
    assert neighbours.balanced_tasks(sizes, 9) == [[2], [0], [3], [1]]
