"""Nearest-neighbour search: exact, and by K-Means clusters as an inverted-file (IVF) index. Pure numpy.

An IVF index compares a query with the tracks of the `nprobe` clusters nearest to it. Within a cluster the
cosine is exact; neighbours are lost only in clusters that are not searched, and `calibrate_nprobe` measures
how many.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from jobs.model.embedding import nearest_cluster

# The recall@10 that an index must reach; the smallest nprobe that reaches it is used.
TARGET_RECALL = 0.98

# `clusters_to_search` adds clusters until they hold this many candidates for each neighbour.
CANDIDATES_PER_NEIGHBOUR = 20

# Queries compared at once: 256 × 100,000 candidates are 100 MB of cosines.
_BLOCK_QUERIES = 256


@dataclass(frozen=True)
class Clusters:
    """K-Means clusters as a search index: unit centroids (k, d), and how many clusters a search compares."""

    centroids: np.ndarray
    nprobe: int


class IVFIndex:
    """Vectors in the order of their clusters, so that the tracks of a cluster are one slice of memory."""

    def __init__(self, ids: np.ndarray, vectors: np.ndarray, centroids: np.ndarray, *, nprobe: int) -> None:
        """Build the index.

        Parameters
        ----------
        ids : (n,)
        vectors : (n, d) float32
            Unit vectors.
        centroids : (k, d)
            Unit vectors.
        nprobe : int
            Clusters searched per query, at least.
        """
        clusters = nearest_cluster(vectors, centroids)
        order = np.argsort(clusters, kind="stable")
        self.ids = ids[order]
        self.vectors = vectors[order]
        self.centroids = centroids
        self.nprobe = nprobe
        # Cluster c is rows _starts[c] to _starts[c + 1].
        self._starts = np.searchsorted(clusters[order], np.arange(len(centroids) + 1))

    def search(
        self, vector: np.ndarray, *, count: int = 50, exclude: Collection[str] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and cosines of the `count` nearest tracks to a unit vector (d,), nearest first.

        Ids in `exclude` are left out. More than nprobe clusters are searched where those hold fewer tracks
        than `count` and `exclude` have together.
        """
        n_candidates = count + len(exclude)
        nearest_first = np.argsort(-(self.centroids @ vector), kind="stable")
        sizes = np.diff(self._starts)[nearest_first]
        n_sufficient = int(np.searchsorted(np.cumsum(sizes), n_candidates)) + 1
        probed = nearest_first[: max(self.nprobe, n_sufficient)]
        rows = np.concatenate([np.arange(self._starts[c], self._starts[c + 1]) for c in probed])
        # One product per slice: gathering the rows first would copy them.
        cosines = np.concatenate(
            [self.vectors[self._starts[c] : self._starts[c + 1]] @ vector for c in probed]
        )
        n_candidates = min(n_candidates, len(rows))
        if n_candidates:
            best = np.argpartition(-cosines, n_candidates - 1)[:n_candidates]
        else:
            best = np.zeros(0, dtype=int)
        best = best[np.lexsort((self.ids[rows[best]], -cosines[best]))]
        if exclude:
            best = best[~np.isin(self.ids[rows[best]], list(exclude))]
        best = best[:count]
        return self.ids[rows[best]], np.clip(cosines[best], -1, 1)


@dataclass(frozen=True)
class Calibration:
    """A calibrated nprobe, its recall@10, and the fraction of all tracks that a search compares (0 to 1)."""

    nprobe: int
    recall: float
    scanned_fraction: float


def calibrate_nprobe(
    centroids: np.ndarray,
    sizes: np.ndarray,
    queries: np.ndarray,
    neighbours: np.ndarray,
    *,
    recall: float = TARGET_RECALL,
) -> Calibration:
    """Return the smallest nprobe that finds the exact neighbours of sampled tracks with the given recall.

    Clusters are searched in the order of their centroid's cosine to the centroid of the query's own cluster,
    as the batch does, which searches for a whole cluster at a time. `IVFIndex` orders them by the query
    itself, and needs no more.

    Parameters
    ----------
    centroids : (k, d)
    sizes : (k,)
        Tracks per cluster.
    queries : (q, d)
    neighbours : (q, m, d)
        Vectors of each query's exact nearest neighbours.
    recall : float
        Fraction of the neighbours to find, 0 to 1.
    """
    order = _cluster_order(centroids)
    rank = np.argsort(order, axis=1)
    query_clusters = nearest_cluster(queries, centroids)
    neighbour_clusters = nearest_cluster(neighbours.reshape(-1, centroids.shape[1]), centroids)
    neighbour_clusters = neighbour_clusters.reshape(neighbours.shape[:2])
    # A neighbour is found once as many clusters are searched as its cluster's rank among those of the query.
    neighbour_rank = rank[query_clusters[:, None], neighbour_clusters]
    recalls = np.ones(len(centroids))
    if neighbour_rank.size:
        recalls = np.array([np.mean(neighbour_rank < nprobe) for nprobe in range(1, len(centroids) + 1)])
    nprobe = int(np.argmax(recalls >= recall)) + 1
    compared = sizes.sum()
    if len(query_clusters):
        compared = sizes[order[query_clusters][:, :nprobe]].sum(axis=1).mean()
    return Calibration(
        nprobe=nprobe,
        recall=float(recalls[nprobe - 1]),
        scanned_fraction=float(compared / max(sizes.sum(), 1)),
    )


def clusters_to_search(
    centroids: np.ndarray, sizes: np.ndarray, *, n_neighbours: int, min_nprobe: int = 1
) -> list[np.ndarray]:
    """Return for each cluster the clusters to search from it, nearest first, itself included.

    Clusters are added in the order of the centroids' cosine until they hold `n_neighbours` times
    CANDIDATES_PER_NEIGHBOUR tracks and there are at least `min_nprobe` of them.

    Parameters
    ----------
    centroids : (k, d)
    sizes : (k,)
        Tracks per cluster.
    """
    order = _cluster_order(centroids)
    is_sufficient = np.cumsum(sizes[order], axis=1) >= n_neighbours * CANDIDATES_PER_NEIGHBOUR
    counts = np.minimum((~is_sufficient).sum(axis=1) + 1, len(centroids))
    counts = np.maximum(counts, min(min_nprobe, len(centroids)))
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def probe_matrix(centroids: np.ndarray, nprobe: int) -> np.ndarray:
    """Return which clusters a search from each cluster compares, bool (k, k).

    The `nprobe` nearest by cosine.
    """
    order = _cluster_order(centroids)[:, :nprobe]
    is_probed = np.zeros((len(centroids), len(centroids)), dtype=bool)
    np.put_along_axis(is_probed, order, True, axis=1)
    return is_probed


def _cluster_order(centroids: np.ndarray) -> np.ndarray:
    """Return for each cluster all clusters (k, k), nearest first by the centroids' cosine.

    Itself is first.
    """
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)  # first also where two centroids are equal
    return np.argsort(-cosines, axis=1, kind="stable")


def exact_nearest(
    queries: np.ndarray,
    query_ids: np.ndarray,
    candidates: np.ndarray,
    candidate_ids: np.ndarray,
    *,
    count: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return ids and cosines of each query's `count` nearest candidates, nearest first, by exact search.

    A query does not find its own id. Equal cosines are ordered by id, so that two runs agree. The lists are
    shorter where there are fewer candidates.

    Parameters
    ----------
    queries : (q, d)
    query_ids : (q,)
    candidates : (c, d)
    candidate_ids : (c,)
    """
    order = np.argsort(candidate_ids, kind="stable")
    candidates = candidates[order]
    candidate_ids = candidate_ids[order]
    ids, scores = [], []
    for start in range(0, len(queries), _BLOCK_QUERIES):
        cosines = queries[start : start + _BLOCK_QUERIES] @ candidates.T
        is_itself = query_ids[start : start + _BLOCK_QUERIES, None] == candidate_ids[None, :]
        cosines[is_itself] = -np.inf
        for row in cosines:
            best = _largest(row, count)
            ids.append(candidate_ids[best])
            scores.append(np.clip(row[best], -1, 1))
    return ids, scores


def _largest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the `count` largest values, largest first, ties by position; never of -inf."""
    if count < len(row):
        # Everything as large as the count-th largest value: ties at the edge are then cut by position, not by
        # chance.
        threshold = np.partition(row, len(row) - count)[len(row) - count]
        positions = np.flatnonzero(row >= threshold)
    else:
        positions = np.arange(len(row))
    positions = positions[np.isfinite(row[positions])]
    return positions[np.argsort(-row[positions], kind="stable")][:count]
