"""Neighbours through the clusters, compared with exact search on planted groups."""

import numpy as np

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model import neighbours
from jobs.model.clustered_vectors import ClusteredVectors, clustered_vectors
from jobs.model.embedding import l2_normalize
from tests.synthetic_lake import write_rows


def planted(groups=6, tracks_per_group=60, dimensions=16):
    rng = np.random.default_rng(3)
    centers = 4 * rng.standard_normal((groups, dimensions))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + noise)
    clusters = np.repeat(np.arange(groups), tracks_per_group)
    ids = [f"t{i:03d}" for i in range(len(vectors))]
    return list(zip(ids, vectors.tolist(), clusters.tolist(), strict=True)), vectors


def search(folder, rows, recordings=None, *, count=5):
    """Write rows (track_id, embedding, cluster), search every cluster; return {track_id: (ids, cosines)}."""
    recordings = recordings or {track_id: None for track_id, *_ in rows}
    lake = Lake(folder)
    write_rows(
        lake,
        EMBEDDINGS,
        [
            {"model_version": version, "track_id": track_id, "embedding": vector, "cluster": 10 * cluster}
            for version in ("1", "2")
            for track_id, vector, cluster in (rows if version == "1" else rows[:1])
        ],
    )
    write_rows(lake, TRACKS, [{"track_id": i, "recording_id": r} for i, r in recordings.items()])
    found = {}
    with clustered_vectors(lake, "1") as path:
        vectors = ClusteredVectors.open(path)
        searched = neighbours.searched_clusters(vectors, count=count)
        for task in neighbours.balanced_tasks(vectors, searched, 4):
            for cluster in task:
                near = neighbours.search_cluster(vectors, cluster, searched[cluster], count=count)
                found |= {track_id: (ids, cosines) for track_id, ids, cosines in near}
        assert vectors.numbers.tolist() == sorted({10 * cluster for *_, cluster in rows})
    assert not path.exists()
    return found


def test_neighbours_agree_with_exact_search(tmp_path):
    rows, vectors = planted()
    found = search(tmp_path, rows)
    assert len(found) == len(vectors)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    exact = np.argsort(-cosines, axis=1)[:, :5]
    n_found = sum(
        len({f"t{j:03d}" for j in near} & set(found[f"t{i:03d}"][0])) for i, near in enumerate(exact)
    )
    assert n_found / exact.size > 0.97  # 100 candidates of 360 are searched
    np.testing.assert_allclose(found["t000"][1], np.sort(cosines[0])[::-1][:5], atol=1e-5)


def test_single_track_has_no_neighbours(tmp_path):
    assert search(tmp_path, [("a", [1.0, 0.0], 0)]) == {"a": ([], [])}


def test_one_track_per_recording_is_a_neighbour(tmp_path):
    directions = {
        "1": [1.0, 0.0],
        "2": [1.0, 0.01],
        "3": [0.9, 0.3],
        "9": [0.5, 0.5],
        "also": [0.0, 1.0],
        "gone": [0.1, 1.0],
    }
    rows = [
        (track_id, l2_normalize(np.array([vector]))[0].tolist(), 0) for track_id, vector in directions.items()
    ]
    # Track 0 is the first of its recording, but has no embedding; the track `gone` is no longer in TRACKS.
    recordings = {"1": "1", "2": "1", "3": "3", "9": "0", "also": "0", "0": "0"}
    found = search(tmp_path, rows, recordings)
    assert {track_id: ids for track_id, (ids, _) in found.items()} == {
        "1": ["3", "9"],
        "2": ["3", "9"],
        "3": ["1", "9"],
        "9": ["3", "1"],
        "also": ["3", "1"],
    }


def test_version_without_tracks_has_no_neighbours(tmp_path):
    assert search(tmp_path, [], {"a": None}) == {}


def test_tasks_have_every_cluster_once(tmp_path):
    vectors = ClusteredVectors(*[np.zeros(0)] * 3, np.array([0, 5, 6, 26, 30]), np.arange(4))
    searched = [np.array([0]), np.array([1]), np.array([2, 3]), np.array([3])]
    assert neighbours.balanced_tasks(vectors, searched, 2) == [[2, 3], [0, 1]]
    assert neighbours.balanced_tasks(vectors, searched, 9) == [[2], [0], [3], [1]]
