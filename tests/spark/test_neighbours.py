"""Neighbours through the clusters, compared with exact search on planted groups."""

import numpy as np

from jobs.model.embedding import l2_normalize
from jobs.model.neighbours import add_recording_column, neighbours

SCHEMA = "track_id string, embedding array<float>, cluster int"


def planted(spark, groups=6, tracks_per_group=60, dimensions=16):
    rng = np.random.default_rng(3)
    centers = 4 * rng.standard_normal((groups, dimensions))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + noise)
    clusters = np.repeat(np.arange(groups), tracks_per_group)
    rows = [
        (f"t{i:03d}", vector.tolist(), int(cluster))
        for i, (vector, cluster) in enumerate(zip(vectors, clusters, strict=True))
    ]
    return spark.createDataFrame(rows, SCHEMA), vectors


def test_neighbours_agree_with_exact_search(spark):
    frame, vectors = planted(spark)
    found = {row.track_id: row for row in neighbours(frame, count=5).collect()}
    assert len(found) == len(vectors)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    exact = np.argsort(-cosines, axis=1)[:, :5]
    n_found = 0
    for i, near in enumerate(exact):
        n_found += len({f"t{j:03d}" for j in near} & set(found[f"t{i:03d}"].ids))
    assert n_found / exact.size > 0.97  # 100 candidates of 360 are searched
    np.testing.assert_allclose(found["t000"].scores, np.sort(cosines[0])[::-1][:5], atol=1e-5)


def test_single_track_has_no_neighbours(spark):
    frame = spark.createDataFrame([("a", [1.0, 0.0], 0)], SCHEMA)
    (row,) = neighbours(frame).collect()
    assert (row.ids, row.scores, row.cluster) == ([], [], 0)


def test_one_track_per_recording_is_a_neighbour(spark):
    vectors = [
        ("1", [1.0, 0.0]),
        ("2", [1.0, 0.01]),
        ("3", [0.9, 0.3]),
        ("9", [0.5, 0.5]),
        ("gone", [0.0, 1.0]),
    ]
    rows = [(track_id, l2_normalize(np.array([vector]))[0].tolist(), 0) for track_id, vector in vectors]
    frame = spark.createDataFrame(rows, SCHEMA)
    # Track 0 is the first of its recording, but has no embedding.
    recording_ids = [("1", "1"), ("2", "1"), ("3", "3"), ("9", "0"), ("gone", "0"), ("0", "0")]
    tracks = spark.createDataFrame(recording_ids, "track_id string, recording_id string")
    result = neighbours(add_recording_column(frame, tracks), count=5).collect()
    assert {row.track_id: row.ids for row in result} == {
        "1": ["3", "9"],
        "2": ["3", "9"],
        "3": ["1", "9"],
        "9": ["3", "1"],
        "gone": ["3", "1"],
    }
