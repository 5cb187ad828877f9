"""Loading the item catalog of a model version from a lake, and copies that share what is cached."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, ITEM_SIMILARITIES, TRACKS
from jobs.lake.storage import Lake
from jobs.recommender import item_catalog
from jobs.recommender.item_catalog import ItemInfo, RankingWeights
from tests.unit.recommender.conftest import to_matrix


def write(lake, table, rows):
    lake.commit_arrow(table, [pa.RecordBatch.from_pylist(rows, table.arrow_schema())])


@pytest.fixture
def lake(tmp_path):
    """Tracks a, b, c; d is deleted but still in EMBEDDINGS."""
    lake = Lake(tmp_path / "lake")
    tracks = [
        {"track_id": "b", "title": "B", "artist": "x", "recording_id": "r", "listens": 5},
        {"track_id": "a"},
        {"track_id": "c", "title": "C", "artist": "y", "recording_id": "r", "listens": 1},
    ]
    write(lake, TRACKS, tracks)
    embeddings = []
    for number, track_id in enumerate("dcba"):
        vector = np.eye(4, dtype=np.float32)[number]
        row = {"model_version": "1", "track_id": track_id, "embedding": vector, "cluster": number % 2}
        embeddings += [row, {**row, "model_version": "2", "cluster": 0}]
    write(lake, EMBEDDINGS, embeddings)
    return lake


def test_load_aligns_tracks_with_their_embeddings(lake):
    catalog = item_catalog.load(lake, "1")
    # By cluster.
    assert catalog.ids.tolist() == ["b", "c", "a"] and catalog.model_version == "1"
    assert catalog.titles.tolist() == ["B", "C", "a"] and catalog.artists.tolist() == ["x", "y", ""]
    assert catalog.recording_codes == [0, 0, 1] and catalog.plays.tolist() == [5, 1, 0]
    np.testing.assert_array_equal(catalog.vectors, np.eye(4)[[2, 1, 3]])
    assert catalog.clusters.tolist() == [0, 1, 1] and catalog.vectors.dtype == np.float32
    assert [catalog.nearest(track)[0] for track in range(3)] == [0, 1, 2]


def test_vectors_are_mapped_where_no_track_is_missing(lake):
    assert not isinstance(item_catalog.load(lake, "1").vectors.base, np.memmap)
    write(lake, TRACKS, [{"track_id": track_id} for track_id in "abcd"])
    catalog = item_catalog.load(lake, "1")
    assert len(catalog.ids) == 4 and isinstance(catalog.vectors.base, np.memmap)


def test_load_without_embedding_raises_step_error(lake):
    with pytest.raises(StepError, match="model version 7"):
        item_catalog.load(lake, "7")
    assert item_catalog.empty("7").ids.size == 0


def test_load_takes_tracks_in_memory(lake):
    catalog = item_catalog.load(lake, "1", tracks={"d": ItemInfo("D", "z", "d")})
    assert catalog.ids.tolist() == ["d"] and catalog.titles.tolist() == ["D"]
    np.testing.assert_array_equal(catalog.vectors, np.eye(4)[[0]])


def test_load_reads_similar_items_of_known_tracks(lake):
    similarities = [
        {"track_id": "a", "listeners": 3, "neighbours": ["d", "c"], "scores": [1.0, 0.5]},
        {"track_id": "b", "listeners": 2, "neighbours": [], "scores": []},
        {"track_id": "d", "listeners": 9, "neighbours": ["a"], "scores": [0.5]},
    ]
    write(lake, ITEM_SIMILARITIES, similarities)
    catalog = item_catalog.load(lake, "1", weights=RankingWeights(content=2.0))
    assert catalog.plays.tolist() == [2, 0, 3] and catalog.weights.content == 2.0
    assert catalog.similar_items.nnz == 1 and catalog.similar_items[2, 1] == 0.5


def test_load_reads_item_factors_and_a_table_without_them(lake):
    row = {"listeners": 3, "neighbours": [], "scores": []}
    write(lake, ITEM_SIMILARITIES, [{**row, "track_id": "b", "factors": [1.0, 2.0]}])
    np.testing.assert_array_equal(item_catalog.load(lake, "1").factors, [[1, 2], [0, 0], [0, 0]])
    old = replace(ITEM_SIMILARITIES, columns=ITEM_SIMILARITIES.columns[:-1])
    write(lake, old, [{**row, "track_id": "b"}])
    catalog = item_catalog.load(lake, "1")
    assert catalog.factors is None and catalog.plays.tolist() == [3, 0, 0]


def test_weights_of_another_version_are_read():
    old = {"content": 4.0, "collaborative": 64.0, "popularity": 1.0, "gone": 3.0}
    assert RankingWeights.from_state(old) == RankingWeights(content=4.0, collaborative=64.0, popularity=1.0)


def test_copy_with_weights_shares_the_cache(catalog):
    similar_items = to_matrix({0: ([1], [1.0])}, 3)
    copied = catalog.with_weights(RankingWeights(content=3.0), similar_items)
    assert copied.weights.content == 3.0 and copied.similar_items is similar_items
    assert catalog.weights == RankingWeights() and catalog.similar_items.nnz == 0
    assert copied.nearest is catalog.nearest and copied.centroids is catalog.centroids
    again = copied.with_weights(RankingWeights())
    assert again.similar_items is similar_items and again.nearest is catalog.nearest


def test_cold_start_order_alternates_clusters():
    example = item_catalog.ItemCatalog(
        model_version="1",
        ids=np.array(list("abcde")),
        titles=np.array(list("abcde")),
        artists=np.array([""] * 5),
        recordings=np.array(list("abcde")),
        vectors=np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1]],
        clusters=np.array([0, 0, 0, 1, 1]),
        plays=np.array([5, 9, 7, 1, 2]),
    )
    assert example.cold_start_order.tolist() == [1, 4, 2, 3, 0]
