"""Spherical K-Means: in one process over a sample, or on Spark over all vectors.

Every vector belongs to the centroid with the largest cosine; a centroid is the sum of its vectors at length 1
(Dhillon and Modha, 2001). An assignment is one matrix product per block, by numpy's BLAS. Spark ML's K-Means
computes cosines one by one in Java and cannot begin from given centroids (docs/decisions/0011-own-kmeans.md).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import threadpoolctl
from scipy.sparse import csr_array

from jobs.model import metrics
from jobs.model.embedding import l2_normalize

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Stop when an iteration raises the mean cosine of a vector and its centroid by less than this.
_TOLERANCE = 1e-4

# The first centroids are chosen among this many vectors per cluster: more cost time and gain nothing.
_INITIAL_PER_CLUSTER = 8

# Vectors compared with all centroids at once: with 1,000 clusters the cosines are 8 MB.
_BLOCK_ROWS = 2_048

# A task of an iteration: few enough vectors to be in memory, many enough to pay for the task.
_ROWS_PER_TASK = 20_000

# With more cores than such tasks there are smaller ones, but no more than this.
_MAX_SMALL_TASKS = 64


@dataclass(frozen=True)
class ClusterSums:
    """What an iteration needs to know of the vectors, given centroids.

    Attributes
    ----------
    sums : (k, d)
        Sum of the vectors of each cluster, float64.
    sizes : (k,)
        Vectors of each cluster.
    cosine
        Sum of all vectors' cosines to their centroids.
    """

    sums: np.ndarray
    sizes: np.ndarray
    cosine: float


@dataclass(frozen=True)
class FittedClusters:
    """Centroids (k, d) of unit length, their sums and sizes, the iterations it took, and the seconds."""

    centroids: np.ndarray
    totals: ClusterSums
    iterations: int
    seconds: float


def blas_name() -> str:
    """Return the library that computes numpy's matrix products, as in "openblas 0.3.30, SkylakeX"."""
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
            return f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'unknown')}"
    return "unknown"


def fit(vectors: np.ndarray, *, k: int, seed: int, iterations: int) -> FittedClusters:
    """Fit in this process, from centroids chosen by k-means++ (Arthur and Vassilvitskii, 2007).

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    k
        Clusters; fewer are returned where there are fewer different vectors.
    seed
        Of the first centroids.
    iterations
        Maximum number of iterations.
    """
    started = time.monotonic()
    centroids = _initial_centroids(vectors, k, seed)
    return _iterate(partial(cluster_sums, vectors), centroids, iterations, started)


def fit_from(vectors: np.ndarray, centroids: np.ndarray, *, iterations: int) -> FittedClusters:
    """Fit in this process, beginning from the given centroids (k, d)."""
    return _iterate(partial(cluster_sums, vectors), centroids, iterations, time.monotonic())


def _initial_centroids(vectors: np.ndarray, k: int, seed: int) -> np.ndarray:
    # A second to import, which `segue cluster` with nothing new does not need.
    from sklearn.cluster import kmeans_plusplus

    k = min(k, len(vectors))
    rows = np.random.default_rng(seed).permutation(len(vectors))[: _INITIAL_PER_CLUSTER * k]
    return l2_normalize(kmeans_plusplus(vectors[np.sort(rows)], k, random_state=seed)[0])


def _iterate(
    compute_sums: Callable[[np.ndarray], ClusterSums], centroids: np.ndarray, iterations: int, started: float
) -> FittedClusters:
    """Move the centroids until they rest; return them without empty clusters, and the sums that they have."""
    totals = compute_sums(centroids)
    n_done = 0
    while n_done < iterations:
        n_done += 1
        before = totals.cosine
        # An empty cluster stays where it is, and is dropped at the end if it stays empty.
        centroids = np.where(totals.sizes[:, None] > 0, l2_normalize(totals.sums), centroids)
        totals = compute_sums(centroids)
        if totals.cosine - before < _TOLERANCE * totals.sizes.sum():
            break
    used = totals.sizes > 0
    totals = ClusterSums(totals.sums[used], totals.sizes[used], totals.cosine)
    return FittedClusters(centroids[used], totals, n_done, time.monotonic() - started)


def cluster_sums(vectors: np.ndarray, centroids: np.ndarray) -> ClusterSums:
    """Assign vectors (n, d) to centroids (k, d) and add them up."""
    sums = np.zeros(centroids.shape)
    sizes = np.zeros(len(centroids), dtype=np.int64)
    cosine = 0.0
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        cosines = block @ centroids.T
        nearest = cosines.argmax(axis=1)
        cosine += float(np.take_along_axis(cosines, nearest[:, None], axis=1).sum(dtype=np.float64))
        sizes += np.bincount(nearest, minlength=len(centroids))
        membership = (np.ones(len(block)), nearest, np.arange(len(block) + 1))
        sums += csr_array(membership, shape=(len(block), len(centroids))).T @ block.astype(np.float64)
    return ClusterSums(sums, sizes, cosine)


class DistributedVectors:
    """Vectors on Spark's workers, in memory: one block of bytes per task, in a fixed order."""

    def __init__(self, vectors: "DataFrame", n_vectors: int) -> None:
        """Distribute `vectors`, a frame of track_id and embedding."""
        parallelism = vectors.sparkSession.sparkContext.defaultParallelism
        n_tasks = max(n_vectors // _ROWS_PER_TASK + 1, min(parallelism, n_vectors, _MAX_SMALL_TASKS))
        ordered = vectors.repartitionByRange(n_tasks, "track_id").sortWithinPartitions("track_id")
        blocks = ordered.select("track_id", "embedding").mapInArrow(
            _to_blocks, "first string, block binary, n int"
        )
        self._blocks = blocks.persist()

    def close(self) -> None:
        """Free the workers' memory."""
        self._blocks.unpersist()

    def fit(self, centroids: np.ndarray, *, iterations: int) -> FittedClusters:
        """Fit over all vectors, beginning from the given centroids (k, d)."""
        return _iterate(self.cluster_sums, centroids, iterations, time.monotonic())

    def cluster_sums(self, centroids: np.ndarray) -> ClusterSums:
        """Assign every vector to one of the centroids (k, d) and add them up."""

        def reduce(vectors: np.ndarray) -> dict[str, object]:
            part = cluster_sums(vectors, centroids)
            # float32: the driver collects these of all tasks.
            sums, sizes = part.sums.astype(np.float32).tobytes(), part.sizes.tobytes()
            return {"sums": sums, "sizes": sizes, "cosine": part.cosine}

        rows = self._map(reduce, "sums binary, sizes binary, cosine double")
        sums = np.zeros((len(centroids), centroids.shape[1]))
        sizes = np.zeros(len(centroids), dtype=np.int64)
        for row in rows:
            sums += np.frombuffer(row.sums, dtype=np.float32).reshape(sums.shape)
            sizes += np.frombuffer(row.sizes, dtype=np.int64)
        return ClusterSums(sums, sizes, float(sum(row.cosine for row in rows)))

    def silhouette(self, fitted: FittedClusters) -> float:
        """Return the mean silhouette of all vectors by cosine distance (see `metrics.silhouette`)."""
        centroids, totals = fitted.centroids, fitted.totals
        if len(centroids) < 2:
            return 0.0

        def reduce(vectors: np.ndarray) -> dict[str, object]:
            total = 0.0
            for start in range(0, len(vectors), _BLOCK_ROWS):
                block = vectors[start : start + _BLOCK_ROWS]
                clusters = (block @ centroids.T).argmax(axis=1)
                total += metrics.silhouette(block, clusters, totals.sums, totals.sizes) * len(block)
            return {"total": total}

        rows = self._map(reduce, "total double")
        return sum(row.total for row in rows) / int(totals.sizes.sum())

    def _map(self, reduce: Callable[[np.ndarray], dict[str, object]], schema: str) -> list:
        """Return what `reduce` makes of each task's vectors (n, d), in the order of the tracks."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for row in batch.to_pylist():
                    vectors = np.frombuffer(row["block"], dtype=np.float32).reshape(row["n"], -1)
                    yield pa.RecordBatch.from_pylist([{"first": row["first"], **reduce(vectors)}])

        rows = self._blocks.mapInArrow(run, f"first string, {schema}").collect()
        return sorted(rows, key=lambda row: row.first)


def _to_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Make one row of a partition: its first track_id, and its vectors as the bytes of a float32 matrix."""
    first = None
    parts = []
    n_vectors = 0
    for batch in batches:
        if len(batch):
            first = batch.column("track_id")[0].as_py() if first is None else first
            parts.append(batch.column("embedding").flatten().to_numpy().astype(np.float32))
            n_vectors += len(batch)
    if parts:
        row = {"first": first, "block": np.concatenate(parts).tobytes(), "n": n_vectors}
        schema = pa.schema([("first", pa.string()), ("block", pa.binary()), ("n", pa.int32())])
        yield pa.RecordBatch.from_pylist([row], schema=schema)
