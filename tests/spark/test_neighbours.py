"""The neighbours that publish finds through the clusters, against exact search on planted groups."""

import numpy as np

from jobs.model.embedding import l2_normalize
from jobs.model.neighbours import add_recording_column, neighbours


def planted(spark, groups=6, each=60, dimensions=16):
    rng = np.random.default_rng(3)
    centres = 4 * rng.standard_normal((groups, dimensions))
    vectors = l2_normalize(
        np.repeat(centres, each, axis=0) + rng.standard_normal((groups * each, dimensions))
    )
    clusters = np.repeat(np.arange(groups), each)
    rows = [(f"t{i:03d}", v.tolist(), int(c)) for i, (v, c) in enumerate(zip(vectors, clusters, strict=True))]
    return spark.createDataFrame(rows, "track_id string, embedding array<float>, cluster int"), vectors


def test_neighbours_agree_with_exact_search(spark):
    frame, vectors = planted(spark)
    found = {row.track_id: row for row in neighbours(frame, count=5).collect()}
    assert len(found) == len(vectors)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    exact = np.argsort(-cosines, axis=1)[:, :5]
    hits = [len({f"t{j:03d}" for j in near} & set(found[f"t{i:03d}"].ids)) for i, near in enumerate(exact)]
    assert np.mean(hits) / 5 > 0.97  # 100 candidates of 360 are searched
    np.testing.assert_allclose(found["t000"].scores, np.sort(cosines[0])[::-1][:5], atol=1e-5)


def test_a_lone_track_has_no_neighbours(spark):
    frame = spark.createDataFrame(
        [("a", [1.0, 0.0], 0)], "track_id string, embedding array<float>, cluster int"
    )
    (row,) = neighbours(frame).collect()
    assert (row.ids, row.scores, row.cluster) == ([], [], 0)


def test_one_of_each_recording_is_found_and_not_by_itself(spark):
    vectors = [
        ("1", [1.0, 0.0]),
        ("2", [1.0, 0.01]),
        ("3", [0.9, 0.3]),
        ("9", [0.5, 0.5]),
        ("gone", [0.0, 1.0]),
    ]
    rows = [(track_id, l2_normalize(np.array([v]))[0].tolist(), 0) for track_id, v in vectors]
    frame = spark.createDataFrame(rows, "track_id string, embedding array<float>, cluster int")
    of = [("1", "1"), ("2", "1"), ("3", "3"), ("9", "0"), ("gone", "0"), ("0", "0")]  # 0 has no embedding
    tracks = spark.createDataFrame(of, "track_id string, recording_id string")
    found = {
        row.track_id: row.ids for row in neighbours(add_recording_column(frame, tracks), count=5).collect()
    }
    assert found == {"1": ["3", "9"], "2": ["3", "9"], "3": ["1", "9"], "9": ["3", "1"], "gone": ["3", "1"]}
