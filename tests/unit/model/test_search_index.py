"""One contract for every index: the same questions to exact search, IVF, HNSW and a filtered index."""

import numpy as np
import pytest

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import IVFIndex
from jobs.model.search_index import ExactIndex, FilteredIndex, HNSWIndex


def planted(groups=8, tracks_per_group=50, dimensions=16, spread=0.15):
    """Unit vectors in the order of their groups, their centers, and where each group starts."""
    rng = np.random.default_rng(0)
    centers = l2_normalize(rng.standard_normal((groups, dimensions)))
    noise = rng.standard_normal((groups * tracks_per_group, dimensions))
    vectors = l2_normalize(np.repeat(centers, tracks_per_group, axis=0) + spread * noise)
    return vectors, centers, np.arange(groups + 1) * tracks_per_group


def make(kind, vectors, centers, starts):
    if kind == "ivf":
        return IVFIndex(vectors, starts, centers, nprobe=8)
    return HNSWIndex.build(vectors, effort=200) if kind == "hnsw" else ExactIndex(vectors)


@pytest.fixture(params=["exact", "ivf", "hnsw"])
def index_and_vectors(request):
    vectors, centers, starts = planted()
    return make(request.param, vectors, centers, starts), vectors


def test_finds_what_sorted_cosines_say(index_and_vectors):
    index, vectors = index_and_vectors
    cosines = vectors @ vectors.T
    for queries in (vectors, vectors[:1], vectors[:0]):
        found = index.query(queries, 10)
        assert found.rows.shape == found.cosines.shape == (len(queries), 10)
        expected = np.argsort(-cosines[: len(queries)], axis=1, kind="stable")[:, :10]
        np.testing.assert_array_equal(found.rows, expected)
        np.testing.assert_allclose(
            found.cosines, np.take_along_axis(cosines[: len(queries)], expected, 1), atol=1e-5
        )


def test_more_than_there_are_gives_all(index_and_vectors):
    index, vectors = index_and_vectors
    assert index.size == 400 and index.private_bytes >= 0
    found = index.query(vectors[:1], 1_000)
    assert sorted(found.rows[0]) == list(range(400))


def test_filtered_index_numbers_its_rows_from_0(index_and_vectors):
    index, vectors = index_and_vectors
    rows = np.arange(300, 400, 2)  # none of them near the first query: the index must be asked for all
    found = FilteredIndex(index, rows).query(vectors[[0, 300]], 5)
    exact = ExactIndex(vectors[rows]).query(vectors[[0, 300]], 5)
    np.testing.assert_array_equal(found.rows, exact.rows)
    np.testing.assert_allclose(found.cosines, exact.cosines, atol=1e-5)
    assert found.rows[1, 0] == 0


def test_equal_vectors_are_in_the_order_of_their_rows():
    vectors = l2_normalize(np.ones((40, 3)))
    for index in (ExactIndex(vectors), IVFIndex(vectors, np.array([0, 40]), vectors[:1], nprobe=1)):
        for queries in (vectors[:1], vectors):
            assert index.query(queries, 3).rows.tolist() == [[0, 1, 2]] * len(queries)


def test_graph_of_equal_vectors_answers_in_full():
    vectors = l2_normalize(np.ones((2_000, 3)))
    found = HNSWIndex.build(vectors, effort=10).query(vectors[:2], 50)
    assert all(len(set(row)) == 50 and row.min() >= 0 for row in found.rows)


def test_index_without_vectors_finds_nothing():
    nothing = np.zeros((0, 4), dtype=np.float32)
    query = l2_normalize(np.ones((1, 4)))
    assert ExactIndex(nothing).query(query, 5).rows.shape == (1, 0)
    assert FilteredIndex(ExactIndex(query), np.zeros(0, int)).query(query, 5).rows.shape == (1, 0)
    assert HNSWIndex.build(nothing, effort=10).query(query, 5).rows.shape == (1, 0)


def test_saved_graph_answers_as_before(tmp_path):
    vectors, *_ = planted(spread=1.0)
    graph = HNSWIndex.build(vectors, effort=20)
    assert not HNSWIndex.is_saved(tmp_path)
    graph.save(tmp_path)
    opened = HNSWIndex.open(tmp_path, vectors, effort=20)
    np.testing.assert_array_equal(opened.query(vectors, 10).rows, graph.query(vectors, 10).rows)
    again = HNSWIndex.build(vectors, effort=20)
    np.testing.assert_array_equal(again.query(vectors, 10).rows, graph.query(vectors, 10).rows)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.hnsw"]
