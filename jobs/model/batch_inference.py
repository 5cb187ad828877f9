"""EMBEDDINGS of one registered model: its recipe and clusters applied to the tracks that there are now."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import functions as F

from jobs.lake.schemas import EMBEDDINGS, FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import registry, training_data
from jobs.model.embedding import ROWS_PER_PARTITION, Embedder, nearest_cluster
from jobs.model.metrics import Clusters
from jobs.spark import session

# Versions of the model whose EMBEDDINGS stay, beside the champion's and the one to roll back to.
MAX_KEPT_VERSIONS = 3


def update_embeddings(lake: Lake, master: str, version: Any) -> int:
    """Bring a version's rows of EMBEDDINGS up to date with FEATURES and TRACKS; return how many were written anew.

    A champion that no challenger could replace still serves: new tracks get their vector from it here.
    """
    number = str(version.version)
    training = training_data.training_set(lake, version.tags["feature_version"])
    rows = lake.read_arrow(EMBEDDINGS, "model_version", "track_id").to_pylist()
    there = sorted(row["track_id"] for row in rows if row["model_version"] == number)
    genres = (
        training_data.track_genres(lake) if version.tags.get("recipe") in training_data.GENRE_RECIPES else {}
    )
    applied = training_data.embedding_inputs_digest(training.digest, genres)
    if version.tags.get("applied") == applied and there == [track_id for track_id, _ in training.keys]:
        return 0
    embedder, clusters = registry.load(version)
    spark = session.get_session(master)
    features = training_data.select_features(lake.read(spark, FEATURES), training.version, embedder.columns)
    present = lake.read(spark, TRACKS).select("track_id", "content_hash", "genres")
    features = features.join(present, ["track_id", "content_hash"])
    features = features.repartitionByRange(len(training.keys) // ROWS_PER_PARTITION + 1, "track_id")
    applied_rows = features.mapInArrow(
        _applier(embedder, clusters), "track_id string, embedding array<float>, cluster int"
    )
    new = applied_rows.withColumn("model_version", F.lit(number)).select(EMBEDDINGS.names)
    aliased = registry.aliases().values()
    newest = sorted({int(row["model_version"]) for row in rows}, reverse=True)[: MAX_KEPT_VERSIONS - 1]
    kept = {*map(str, newest), *aliased} - {number}
    old = lake.read(spark, EMBEDDINGS).where(F.col("model_version").isin(sorted(kept)))
    lake.commit(EMBEDDINGS, old.unionByName(new))
    registry.set_tags(version, applied=applied)
    return len(training.keys)


def _applier(embedder: Embedder, clusters: Clusters) -> Any:
    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("x").flatten().to_numpy().reshape(len(batch), -1)
            vectors = embedder.apply(values, batch.column("genres").to_pylist() if embedder.genres else None)
            columns = [
                batch.column("track_id"),
                pa.array(list(vectors), pa.list_(pa.float32())),
                pa.array(nearest_cluster(vectors, clusters.centroids)),
            ]
            yield pa.RecordBatch.from_arrays(columns, ["track_id", "embedding", "cluster"])

    return apply
