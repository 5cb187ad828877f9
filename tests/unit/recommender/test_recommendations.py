"""A list has the same content as a document of the online store and as a row of RECOMMENDATIONS."""

from datetime import UTC, datetime

import pyarrow as pa

from jobs.lake.schemas import RECOMMENDATIONS
from jobs.recommender.recommendations import RecommendationList, RecommendedItem

LIST = RecommendationList(
    user_id="ann",
    model_version="3",
    as_of=datetime(2026, 11, 21, 20, tzinfo=UTC),
    offsets={"plays-1@x": 4, "plays-0@x": 2},
    items=[RecommendedItem(1, "a", 0.5, "sounds like b"), RecommendedItem(2, "c", 0.0, "something else")],
)


def test_row_of_table_gives_the_list_back():
    table = pa.Table.from_pylist([LIST.to_row()], RECOMMENDATIONS.arrow_schema())
    (row,) = table.to_pylist()
    assert RecommendationList.from_row(row) == LIST


def test_document_has_user_as_id_and_items_as_documents():
    document = LIST.to_document()
    assert (document["_id"], document["as_of"], document["offsets"]) == ("ann", LIST.as_of, LIST.offsets)
    assert document["items"][0] == {"rank": 1, "track_id": "a", "score": 0.5, "reason": "sounds like b"}
