"""The best candidates over batches, compared with sorting all candidates at once."""

import numpy as np
import pytest

from jobs.model.top_k import TopK


@pytest.mark.parametrize(("depth", "batch", "levels"), [(5, 4, None), (5, 40, None), (30, 25, 3), (3, 60, 1)])
def test_lists_are_those_of_one_sort(depth, batch, levels):
    """With few score levels most candidates are equal: the first ones are kept."""
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((7, 3)).astype(np.float32) if levels is None else np.ones((7, 1))
    vectors = rng.standard_normal((120, 3)) if levels is None else rng.integers(0, levels, (120, 1))
    excluded = rng.random((7, 120)) < 0.2
    best = TopK(queries, depth)
    for start in range(0, 120, batch):
        part = slice(start, start + batch)
        best.add(vectors[part].astype(np.float32), np.arange(120)[part], excluded[:, part])
    scores = np.where(excluded, -np.inf, (queries @ vectors.T.astype(np.float32)).astype(np.float32))
    assert np.array_equal(best.positions, np.argsort(-scores, axis=1, kind="stable")[:, :depth])


def test_short_list_ends_with_minus_one():
    best = TopK(np.ones((2, 1)), 4)
    best.add(np.array([[1.0], [2.0]]), np.array([7, 9]), np.array([[False, False], [True, True]]))
    assert best.positions.tolist() == [[9, 7, -1, -1], [-1, -1, -1, -1]]
