"""K-Means as the index: "the 50 nearest of this vector, these ids excluded", from the nearest clusters only.

Inside a cluster the cosine is exact; what is lost lies in clusters that were not probed, and `calibrate` says how much.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from jobs.model.embedding import nearest_cluster

# What the index must find of the ten nearest; the number of clusters probed is the least that does.
TARGET_RECALL = 0.98


class IVFIndex:
    """Vectors in the order of their clusters, so that a probed cluster is one slice of memory."""

    def __init__(self, ids: np.ndarray, vectors: np.ndarray, centroids: np.ndarray, *, probes: int) -> None:
        """Index unit vectors (n, d) float32 named by ids (n,); unit centroids (k, d)."""
        clusters = nearest_cluster(vectors, centroids)
        order = np.argsort(clusters, kind="stable")
        self.ids, self.vectors, self.centroids, self.probes = ids[order], vectors[order], centroids, probes
        self._starts = np.searchsorted(clusters[order], np.arange(len(centroids) + 1))

    def search(
        self, vector: np.ndarray, *, count: int = 50, exclude: Collection[str] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and cosines of the `count` nearest to a unit vector (d,), nearest first, none of `exclude`.

        More clusters are opened where the probed ones hold less than count and the excluded together.
        """
        order = np.argsort(-(self.centroids @ vector), kind="stable")
        sizes = np.diff(self._starts)[order]
        enough = int(np.searchsorted(np.cumsum(sizes), count + len(exclude))) + 1
        opened = order[: max(self.probes, enough)]
        rows = np.concatenate([np.arange(self._starts[c], self._starts[c + 1]) for c in opened])
        # One product per slice: gathering the rows first would copy them.
        cosines = np.concatenate(
            [self.vectors[self._starts[c] : self._starts[c + 1]] @ vector for c in opened]
        )
        wanted = min(count + len(exclude), len(rows))
        best = np.argpartition(-cosines, wanted - 1)[:wanted] if wanted else np.zeros(0, dtype=int)
        best = best[np.lexsort((self.ids[rows[best]], -cosines[best]))]
        if exclude:
            best = best[~np.isin(self.ids[rows[best]], list(exclude))]
        best = best[:count]
        return self.ids[rows[best]], np.clip(cosines[best], -1, 1)


@dataclass(frozen=True)
class Calibration:
    """How many clusters to probe, the recall@10 that this gave, and the share of all tracks that a search compared."""

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
    """Return the least number of probes with which the exact neighbours of sampled tracks are found.

    centroids (k, d), sizes (k,) tracks per cluster, queries (q, d), neighbours (q, m, d): the vectors of their exact
    nearest. A search opens clusters in the order of their centroids' cosine to the query's own centroid, as the batch
    does, which takes whole clusters at a time; by the query itself, as `Index` does, no more clusters are needed.
    """
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)
    order = np.argsort(-cosines, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    homes = nearest_cluster(queries, centroids)
    flat = nearest_cluster(neighbours.reshape(-1, centroids.shape[1]), centroids).reshape(
        neighbours.shape[:2]
    )
    opened_at = rank[homes[:, None], flat]
    found = np.array(
        [np.mean(opened_at < n) if opened_at.size else 1.0 for n in range(1, len(centroids) + 1)]
    )
    probes = int(np.argmax(found >= recall)) + 1
    compared = sizes[order[homes][:, :probes]].sum(axis=1).mean() if len(homes) else sizes.sum()
    return Calibration(probes, float(found[probes - 1]), float(compared / max(sizes.sum(), 1)))
