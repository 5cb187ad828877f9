"""Each track's nearest neighbours, searched on Spark through the clusters, one cluster at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.library.duplicates import first_track_id
from jobs.model.ivf_index import clusters_to_search, exact_nearest

N_NEIGHBOURS = 50

_NEIGHBOURS_SCHEMA = "track_id string, cluster int, ids array<string>, scores array<float>"


def neighbours(embeddings: DataFrame, count: int = N_NEIGHBOURS, *, nprobe: int = 1) -> DataFrame:
    """Return each track's `count` nearest tracks: track_id, cluster, ids, scores (cosine), nearest first.

    The `nprobe` clusters nearest to the track's own are searched, or more where those hold too few tracks. A
    worker holds one cluster's tracks and their candidates at a time.

    Parameters
    ----------
    embeddings : DataFrame
        track_id, embedding, cluster; and `recording` (see `add_recording_column`) where tracks may be
        duplicates.
    """
    spark = embeddings.sparkSession
    if "recording" not in embeddings.columns:
        embeddings = embeddings.withColumn("recording", F.col("track_id"))
    pairs = spark.createDataFrame(_probe_pairs(embeddings, count, nprobe), "query_cluster int, cluster int")
    # One track of each recording is a candidate, and not for its own duplicates.
    candidates = embeddings.where(F.col("recording") == F.col("track_id"))
    candidates = candidates.join(F.broadcast(pairs), "cluster")
    candidates = candidates.select(F.col("query_cluster"), "track_id", "embedding")
    # Other names than the candidates' columns: both come from one table, and Spark could not tell them apart.
    queries = embeddings.select(
        F.col("cluster").alias("own_cluster"),
        F.col("track_id").alias("query_id"),
        F.col("recording").alias("query_recording"),
        F.col("embedding").alias("query"),
    )
    grouped = queries.groupBy("own_cluster").cogroup(candidates.groupBy("query_cluster"))
    return grouped.applyInArrow(_group_search(count), _NEIGHBOURS_SCHEMA)


def add_recording_column(embeddings: DataFrame, tracks: DataFrame) -> DataFrame:
    """Return embeddings with `recording`.

    The first track_id, of those embedded, with the same recording_id.
    """
    joined = embeddings.join(tracks.select("track_id", "recording_id"), "track_id", "left")
    return joined.withColumn("recording", first_track_id("recording_id")).drop("recording_id")


def similar_document(row: Any) -> dict[str, Any]:
    """Return a track's document of MongoDB's `similar`: its nearest tracks by cosine, nearest first."""
    # Called on workers, which import this module for it: from `steps/publish.py` they would import MLflow,
    # three seconds each.
    items = [
        {"track_id": track_id, "score": round(score, 6)}
        for track_id, score in zip(row.ids, row.scores, strict=True)
    ]
    return {
        "_id": f"{row.model_version}:{row.track_id}",
        "model_version": row.model_version,
        "track_id": row.track_id,
        "cluster": row.cluster,
        "items": items,
    }


def _probe_pairs(embeddings: DataFrame, count: int, nprobe: int) -> list[tuple[int, int]]:
    """Return (query cluster, cluster to search) for every cluster that has tracks."""
    dimensions = len(embeddings.first().embedding)
    means = [F.mean(F.col("embedding")[i]).alias(f"m{i}") for i in range(dimensions)]
    rows = embeddings.groupBy("cluster").agg(F.count("*").alias("size"), *means).orderBy("cluster").collect()
    centroids = np.array([[row[f"m{i}"] for i in range(dimensions)] for row in rows])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True) + 1e-12
    sizes = np.array([row["size"] for row in rows])
    searched = clusters_to_search(centroids, sizes, n_neighbours=count, min_nprobe=nprobe)
    pairs = []
    for row, positions in zip(rows, searched, strict=True):
        pairs += [(row.cluster, rows[position].cluster) for position in positions]
    return pairs


def _group_search(count: int) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Return a function for Spark's workers: one cluster's queries and their candidates to neighbours."""

    def search(queries: pa.Table, candidates: pa.Table) -> pa.Table:
        ids, scores = exact_nearest(
            _matrix(queries["query"]),
            _id_array(queries["query_recording"]),
            _matrix(candidates["embedding"]),
            _id_array(candidates["track_id"]),
            count=count,
        )
        return pa.table(
            {
                "track_id": queries["query_id"],
                "cluster": queries["own_cluster"],
                "ids": pa.array([list(row) for row in ids], pa.list_(pa.string())),
                "scores": pa.array([list(row) for row in scores], pa.list_(pa.float32())),
            }
        )

    return search


def _matrix(vectors: pa.ChunkedArray) -> np.ndarray:
    return vectors.combine_chunks().flatten().to_numpy().reshape(len(vectors), -1)


def _id_array(ids: pa.ChunkedArray) -> np.ndarray:
    return np.array(ids.to_pylist())
