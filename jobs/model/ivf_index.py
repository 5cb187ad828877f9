"""Nearest-neighbour search by K-Means clusters as an inverted-file (IVF) index. Pure numpy.

An IVF index compares a query with the tracks of the `nprobe` clusters nearest to it. Within a cluster the
cosine is exact; neighbours are lost only in clusters that are not searched, and `calibrate_nprobe` measures
how many.
"""

from dataclasses import dataclass

import numpy as np

from jobs.model.embedding import nearest_cluster
from jobs.model.search_index import Neighbours, fill_nearest, no_neighbours

# The recall@10 that an index must reach; the smallest nprobe that reaches it is used.
TARGET_RECALL = 0.98

# Clusters are added until they hold this many candidates for each neighbour.
CANDIDATES_PER_NEIGHBOUR = 20

# Fewer queries of one cluster are searched one by one: the candidates need not be copied.
_MIN_GROUP = 8


@dataclass(frozen=True)
class Clusters:
    """K-Means clusters as a search index: unit centroids (k, d), and how many clusters a search compares."""

    centroids: np.ndarray
    nprobe: int


class IVFIndex:
    """Vectors in the order of their clusters, so that the tracks of a cluster are one slice of memory."""

    def __init__(
        self, vectors: np.ndarray, starts: np.ndarray, centroids: np.ndarray, *, nprobe: int
    ) -> None:
        """Search the vectors of the clusters nearest to a query.

        Parameters
        ----------
        vectors : (n, d) float32
            Unit vectors.
        starts : (k + 1,)
            Cluster c is the rows `starts[c]` to `starts[c + 1]`.
        centroids : (k, d)
            Unit vectors.
        nprobe : int
            Clusters searched per query, at least.
        """
        self._vectors = vectors
        self._starts = np.asarray(starts)
        self._sizes = np.diff(self._starts)
        self._centroids = centroids
        self._nprobe = nprobe
        self.size = len(vectors)

    @property
    def private_bytes(self) -> int:
        """The centroids and the clusters' starts."""
        return int(self._centroids.nbytes + self._starts.nbytes + self._sizes.nbytes)

    def query(self, vectors: np.ndarray, count: int) -> Neighbours:
        """Return the nearest rows (`SearchIndex.query`), those of clusters that are not searched missed.

        A single query searches the clusters nearest to it. Queries of one cluster search those nearest to
        that cluster: one matrix product for all of them.
        """
        found = no_neighbours(len(vectors), min(count, self.size))
        if not found.rows.size:
            return found
        if len(vectors) < _MIN_GROUP:
            for number, vector in enumerate(vectors):
                self._query_one(found, number, vector)
            return found
        clusters = nearest_cluster(vectors, self._centroids)
        for cluster in np.unique(clusters):
            queries = np.flatnonzero(clusters == cluster)
            if len(queries) < _MIN_GROUP:
                for query in queries.tolist():
                    self._query_one(found, query, vectors[query])
            else:
                searched = np.sort(self._searched(self._centroids[cluster], found.rows.shape[1], cluster))
                rows = self._rows(searched)
                fill_nearest(found, queries, vectors, self._vectors[rows], rows)
        return found

    def _query_one(self, found: Neighbours, query: int, vector: np.ndarray) -> None:
        searched = self._searched(vector, found.rows.shape[1])
        # One product per slice: gathering the rows first would copy them.
        slices = [slice(self._starts[c], self._starts[c + 1]) for c in searched]
        cosines = np.concatenate([self._vectors[each] @ vector for each in slices])
        rows = self._rows(searched)
        count = min(found.rows.shape[1], len(rows))
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.lexsort((rows[best], -cosines[best]))]
        found.rows[query, :count] = rows[best]
        found.cosines[query, :count] = np.clip(cosines[best], -1, 1)

    def _searched(self, vector: np.ndarray, count: int, own: int | None = None) -> np.ndarray:
        """Return the clusters to search for `count` neighbours of a vector (d,), nearest first.

        At least nprobe, and as many as hold `count` times CANDIDATES_PER_NEIGHBOUR tracks. The cluster `own`
        is first, also where another has the same centroid.
        """
        cosines = self._centroids @ vector
        if own is not None:
            cosines[own] = 2.0
        nearest_first = np.argsort(-cosines, kind="stable")
        n_candidates = np.cumsum(self._sizes[nearest_first])
        n_sufficient = int(np.searchsorted(n_candidates, count * CANDIDATES_PER_NEIGHBOUR)) + 1
        return nearest_first[: max(self._nprobe, n_sufficient)]

    def _rows(self, clusters: np.ndarray) -> np.ndarray:
        """Return the rows of the clusters, in the order of these."""
        ends = np.cumsum(self._sizes[clusters])
        offsets = np.repeat(self._starts[clusters] - (ends - self._sizes[clusters]), self._sizes[clusters])
        return np.arange(ends[-1]) + offsets


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
