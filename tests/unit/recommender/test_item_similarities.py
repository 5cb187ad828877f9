"""ITEM_SIMILARITIES written and read again; tracks that a catalog lacks."""

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import ITEM_SIMILARITIES
from jobs.recommender import item_similarities
from jobs.recommender.item_similarities import ItemSimilarities
from tests.unit.recommender.conftest import to_matrix

IDS = np.array(["a", "b", "c", "d"])
# The most similar first: not in the order of the tracks.
SIMILAR = to_matrix({0: ([2, 1], [1.0, 0.5]), 2: ([3], [0.25])}, 4)
FACTORS = np.array([[1, 2], [0, 0], [3, 4], [0, 0]], dtype=np.float32)


def test_table_is_read_as_it_was_written():
    listeners = np.array([3, 0, 1, 0])
    table = item_similarities.to_table(IDS, ItemSimilarities(listeners, SIMILAR, FACTORS))
    assert table.schema == ITEM_SIMILARITIES.arrow_schema()
    rows = table.to_pylist()
    assert [row["track_id"] for row in rows] == ["a", "c"]
    assert rows[0]["neighbours"] == ["c", "b"] and rows[0]["scores"] == [1.0, 0.5]
    found = item_similarities.from_batches(table.to_batches(max_chunksize=1), IDS)
    assert found.listeners.tolist() == [3, 0, 1, 0]
    assert found.similar_items.indices.tolist() == [2, 1, 3]
    np.testing.assert_array_equal(found.similar_items.toarray(), SIMILAR.toarray())
    np.testing.assert_array_equal(found.factors, FACTORS)


def test_unknown_tracks_and_missing_factors_are_left_out():
    table = item_similarities.to_table(IDS, ItemSimilarities(np.ones(4, dtype=int), SIMILAR, None))
    found = item_similarities.from_batches(table.to_batches(), np.array(["c", "b", "a"]))
    assert found.factors is None and found.listeners.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(found.similar_items.toarray(), [[0, 0, 0], [0, 0, 0], [1, 0.5, 0]])
    old = table.set_column(4, "factors", pa.nulls(4, table.schema.field("factors").type))
    assert item_similarities.from_batches(old.to_batches(), IDS).factors is None
    assert item_similarities.from_batches([], IDS).similar_items.shape == (4, 4)
