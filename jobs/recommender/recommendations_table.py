"""RECOMMENDATIONS of all users: ranked on Spark's workers, a few thousand users per task."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.schemas import RECOMMENDATIONS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.recommender import item_catalog, profiles, ranking
from jobs.recommender.item_catalog import ItemCatalog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Users per task: half a minute of ranking, beside which reading the catalog hardly counts.
_USERS_PER_TASK = 10_000


def ranked_lists(spark: "SparkSession", lake: Lake, mongo_uri: str, catalog: ItemCatalog) -> "DataFrame":
    """Return RECOMMENDATIONS: a list for every profile, and the current one of each user without a profile.

    Every task reads the catalog from the lake and its users' profiles from the store, so the driver holds
    neither profiles nor lists.
    """
    root, store = lake.root, lake.store
    model_version, weights = catalog.model_version, catalog.weights
    schema = RECOMMENDATIONS.arrow_schema()

    def rank(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        in_worker = Lake(root, store)
        loaded = item_catalog.load(in_worker, model_version, weights=weights)
        without_profile = {user for batch in batches for user in batch["user_id"].to_pylist()}
        with mongo.database(mongo_uri) as database:
            for documents in mongo.batched(mongo.find(database["profiles"], sorted(without_profile))):
                without_profile.difference_update(document["_id"] for document in documents)
                batch = [profiles.from_document(document) for document in documents]
                lists = ranking.recommendation_lists(loaded, batch)
                yield pa.RecordBatch.from_pylist([ranked.to_row() for ranked in lists], schema)
        # The store lost them. They are from the same model, or they would not fit it.
        is_asked = pc.field("user_id").isin(pa.array(without_profile, pa.string()))
        is_same_model = pc.field("model_version") == model_version
        yield from in_worker.read_arrow(RECOMMENDATIONS, where=is_asked & is_same_model).to_batches()

    users = play_log.users(lake)
    n_tasks = max(1, -(-len(users) // _USERS_PER_TASK))
    frame = spark.createDataFrame(pa.table({"user_id": users}))
    return frame.repartition(n_tasks, "user_id").mapInArrow(rank, RECOMMENDATIONS.spark_schema())
