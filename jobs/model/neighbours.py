"""Each track's nearest, through the clusters: `nearest.nearest` on Spark, one cluster's tracks at a time."""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.model import nearest

N_NEIGHBOURS = 50

_ROWS = "track_id string, cluster int, ids array<string>, scores array<float>"


def neighbours(embeddings: DataFrame, count: int = N_NEIGHBOURS, *, probes: int = 1) -> DataFrame:
    """Return each track's `count` nearest (track_id, cluster, ids, scores), searched in the clusters nearest to its own.

    Those are `probes` clusters, or more where they hold too few tracks.

    `embeddings` has track_id, embedding and cluster, and `recording` (see `with_recording`) where tracks may be duplicates.
    A worker holds one cluster's tracks and its candidates at a time.
    """
    spark = embeddings.sparkSession
    if "recording" not in embeddings.columns:
        embeddings = embeddings.withColumn("recording", F.col("track_id"))
    pairs = spark.createDataFrame(_probe_pairs(embeddings, count, probes), "probing int, cluster int")
    # One of each recording is found, and none by its own duplicates.
    found = embeddings.where(F.col("recording") == F.col("track_id"))
    candidates = found.join(F.broadcast(pairs), "cluster").select("probing", "track_id", "embedding")
    # Other names than the candidates' columns: both come from one table, and Spark could not tell them apart.
    queries = embeddings.select(
        F.col("cluster").alias("home"),
        F.col("track_id").alias("query_id"),
        F.col("recording").alias("query_recording"),
        F.col("embedding").alias("query"),
    )
    grouped = queries.groupBy("home").cogroup(candidates.groupBy("probing"))
    return grouped.applyInArrow(_searcher(count), _ROWS)


def add_recording_column(embeddings: DataFrame, tracks: DataFrame) -> DataFrame:
    """Return embeddings with `recording`: of the tracks with one recording_id the first by name that has an embedding."""
    known = embeddings.join(tracks.select("track_id", "recording_id"), "track_id", "left")
    same = Window.partitionBy(F.coalesce("recording_id", "track_id")).orderBy(
        F.length("track_id"), "track_id"
    )
    return known.withColumn("recording", F.first("track_id").over(same)).drop("recording_id")


def similar_document(row: Any) -> dict[str, Any]:
    """Return the document of `similar`: a track's nearest by cosine, nearest first."""
    # Called on the workers, which import this module for it: publish.py would bring them MLflow, three seconds each.
    return {
        "_id": f"{row.model_version}:{row.track_id}",
        "model_version": row.model_version,
        "track_id": row.track_id,
        "cluster": row.cluster,
        "items": [{"track_id": i, "score": round(s, 6)} for i, s in zip(row.ids, row.scores, strict=True)],
    }


def _probe_pairs(embeddings: DataFrame, count: int, probes: int) -> list[tuple[int, int]]:
    """Return (cluster, cluster to search) for every cluster that has tracks."""
    dimensions = len(embeddings.first().embedding)
    means = [F.mean(F.col("embedding")[i]).alias(f"m{i}") for i in range(dimensions)]
    rows = embeddings.groupBy("cluster").agg(F.count("*").alias("size"), *means).orderBy("cluster").collect()
    centroids = np.array([[row[f"m{i}"] for i in range(dimensions)] for row in rows])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True) + 1e-12
    searched = nearest.nearest_clusters(
        centroids, np.array([row["size"] for row in rows]), wanted=count, least=probes
    )
    return [
        (row.cluster, rows[other].cluster)
        for row, order in zip(rows, searched, strict=True)
        for other in order
    ]


def _searcher(count: int) -> Any:
    def search(queries: pa.Table, candidates: pa.Table) -> pa.Table:
        ids, scores = nearest.exact_nearest(
            _matrix(queries["query"]),
            _ids(queries["query_recording"]),
            _matrix(candidates["embedding"]),
            _ids(candidates["track_id"]),
            count=count,
        )
        return pa.table(
            {
                "track_id": queries["query_id"],
                "cluster": queries["home"],
                "ids": pa.array([list(row) for row in ids], pa.list_(pa.string())),
                "scores": pa.array([list(row) for row in scores], pa.list_(pa.float32())),
            }
        )

    return search


def _matrix(vectors: pa.ChunkedArray) -> np.ndarray:
    return vectors.combine_chunks().flatten().to_numpy().reshape(len(vectors), -1)


def _ids(ids: pa.ChunkedArray) -> np.ndarray:
    return np.array(ids.to_pylist())
