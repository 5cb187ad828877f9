"""Batch inference on Spark.

Apply an embedder to FEATURES, and keep EMBEDDINGS of a model version up to date.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.schemas import EMBEDDINGS, FEATURES, TRACKS, VECTORS
from jobs.lake.storage import Lake
from jobs.model import training_data
from jobs.model.embedding import ROWS_PER_PARTITION, Embedder, nearest_cluster
from jobs.model.ivf_index import Clusters
from jobs.model.recipes import GENRE_RECIPES
from jobs.model.training_data import TrainingSet
from jobs.spark import session

# Model versions whose EMBEDDINGS stay, beside the champion's and the previous champion's.
MAX_VERSIONS = 3


def update_embeddings(lake: Lake, master: str, version: Any) -> int:
    """Update a model version's rows of EMBEDDINGS from FEATURES and TRACKS; return how many were computed.

    Either all of the version's rows are computed anew or none. A champion that no challenger has replaced
    gets the vectors of new tracks here.
    """
    from jobs.model import (
        registry,  # not at the top: workers import this module, and MLflow takes three seconds
    )

    number = str(version.version)
    training = training_data.training_set(lake, version.tags["feature_version"])
    rows = lake.iter_rows(EMBEDDINGS, "model_version", "track_id")
    embedded_ids = sorted(row["track_id"] for row in rows if row["model_version"] == number)
    reads_genres = version.tags.get("recipe") in GENRE_RECIPES
    genres = training_data.track_genres(lake) if reads_genres else {}
    digest = training_data.embedding_inputs_digest(training.digest, genres)
    is_complete = embedded_ids == [track_id for track_id, _ in training.keys]
    if is_complete and version.tags.get("embeddings_digest") == digest:
        return 0
    embedder, clusters = registry.load(version)
    spark = session.get_session(master)
    if not reads_genres and _are_vectors_of(lake, version, training):
        vectors = lake.read(spark, VECTORS).select("track_id", "embedding")
        embedded = _assign_clusters(_in_ranges(vectors, len(training.keys)), clusters)
    else:
        embedded = embed_frame(spark, lake, training, embedder, clusters)
    embedded = embedded.withColumn("model_version", F.lit(number)).select(EMBEDDINGS.names)
    stored = {int(row["model_version"]) for row in lake.iter_rows(EMBEDDINGS, "model_version")}
    newest = sorted(stored, reverse=True)[: MAX_VERSIONS - 1]
    retained = {*map(str, newest), *registry.aliases().values()} - {number}
    other_versions = lake.read(spark, EMBEDDINGS).where(F.col("model_version").isin(sorted(retained)))
    lake.commit(EMBEDDINGS, other_versions.unionByName(embedded))
    registry.set_tags(version, embeddings_digest=digest)
    return len(training.keys)


def _are_vectors_of(lake: Lake, version: Any, training: TrainingSet) -> bool:
    """Return whether VECTORS are what the version's embedder makes of the training set."""
    if version.tags.get("training_hash") != training.digest:
        return False
    embedded = lake.read_arrow(VECTORS, "embedder_id", "track_id")
    return embedded["embedder_id"].unique().to_pylist() == [version.tags.get("embedder_id")] and len(
        embedded
    ) == len(training.keys)


def _assign_clusters(vectors: DataFrame, clusters: Clusters) -> DataFrame:
    """Return (track_id, embedding) with the cluster of each."""
    centroids = clusters.centroids

    def assign(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("embedding").flatten().to_numpy().reshape(len(batch), -1)
            yield batch.append_column("cluster", pa.array(nearest_cluster(values, centroids)))

    return vectors.mapInArrow(assign, "track_id string, embedding array<float>, cluster int")


def embed_frame(
    spark: SparkSession,
    lake: Lake,
    training: TrainingSet,
    embedder: Embedder,
    clusters: Clusters | None = None,
) -> DataFrame:
    """Return (track_id, embedding) of the training set, with `clusters` also cluster, computed on workers.

    The rows are in ranges of track_id, so that the table that is written from them is sorted.
    """
    read_features = FEATURES.select("track_id", "content_hash", "feature_version", *embedder.columns)
    features = lake.read(spark, read_features).where(F.col("feature_version") == training.feature_version)
    # One array column: a plan with hundreds of columns costs Spark more than the work.
    features = features.select("track_id", "content_hash", F.array(*embedder.columns).alias("features"))
    tracks = lake.read(spark, TRACKS).select("track_id", "content_hash", "genres")
    rows = features.join(tracks, ["track_id", "content_hash"])
    rows = _in_ranges(rows, len(training.keys))
    schema = "track_id string, embedding array<float>"
    if clusters is None:
        return rows.mapInArrow(_batch_embedder(embedder, None), schema)
    return rows.mapInArrow(_batch_embedder(embedder, clusters), f"{schema}, cluster int")


def _in_ranges(rows: DataFrame, n_tracks: int) -> DataFrame:
    return rows.repartitionByRange(n_tracks // ROWS_PER_PARTITION + 1, "track_id")


def _batch_embedder(
    embedder: Embedder, clusters: Clusters | None
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return a function of Arrow batches (track_id, features, genres) for Spark's workers."""

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("features").flatten().to_numpy().reshape(len(batch), -1)
            genres = batch.column("genres").to_pylist() if embedder.genres else None
            vectors = embedder.apply(values, genres)
            columns = {
                "track_id": batch.column("track_id"),
                "embedding": pa.array(list(vectors), pa.list_(pa.float32())),
            }
            if clusters is not None:
                columns["cluster"] = pa.array(nearest_cluster(vectors, clusters.centroids))
            yield pa.RecordBatch.from_pydict(columns)

    return embed
