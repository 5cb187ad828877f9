"""Evaluate one system's neighbour lists: exact, artist-filtered, and found through the clusters.

A system is evaluated by vectors: the score of a candidate for a query is their dot product. Cosine, Euclidean
distance (see `metrics.euclidean_as_dot`), chance and popularity all fit that form. Candidates come in batches
and only the best of each query stay in memory, so memory does not grow with the collection.
"""

import numpy as np

from jobs.model.embedding import nearest_cluster
from jobs.model.ivf_index import Clusters, probe_matrix
from jobs.model.metrics import (
    MAP_DEPTH,
    K,
    Labels,
    genre_metrics,
    hubness_metrics,
    recall_at_k,
    silhouette,
)
from jobs.model.top_k import TopK


class RetrievalEvaluator:
    """One system's neighbour lists for the queries, over batches of candidates, and their metrics."""

    def __init__(
        self, queries: np.ndarray, positions: np.ndarray, labels: Labels, clusters: Clusters | None = None
    ) -> None:
        """Evaluate `queries` (q, d), the vectors of the tracks `positions` (q,).

        With `clusters` also the index.
        """
        self._positions = positions
        self._labels = labels
        self._n_tracks = len(labels.genres)
        is_labelled = labels.evaluated[positions] & (labels.genres[positions] >= 0)
        labelled = np.flatnonzero(is_labelled)
        # Rows of the queries that genre metrics are computed for: those with at least one relevant track.
        self._genre_rows = labelled[labels.n_relevant(positions[labelled]) > 0]
        self._nearest = TopK(queries, K)
        self._artist_filtered = TopK(queries[self._genre_rows], min(MAP_DEPTH, self._n_tracks))
        self._index = _IndexEvaluator(queries, clusters) if clusters else None

    def add(self, vectors: np.ndarray, positions: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,)."""
        is_itself = self._positions[:, None] == positions
        self._nearest.add(vectors, positions, is_itself)
        artists = self._labels.artists
        query_artists = artists[self._positions[self._genre_rows], None]
        is_same_artist = (query_artists == artists[positions]) & (query_artists >= 0)
        excluded = is_itself[self._genre_rows] | is_same_artist | ~self._labels.evaluated[positions]
        self._artist_filtered.add(vectors, positions, excluded)
        if self._index:
            self._index.add(vectors, positions, is_itself)

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the labels, the clusters and the number of tracks allow."""
        metrics: dict[str, float] = {"evaluated_queries": len(self._genre_rows)}
        if len(self._genre_rows):
            positions = self._positions[self._genre_rows]
            metrics |= genre_metrics(self._artist_filtered.positions, positions, self._labels)
        if self._n_tracks > 1:
            metrics |= hubness_metrics(self._nearest.positions, self._n_tracks)
            if self._index:
                metrics |= self._index.metrics(self._nearest.positions)
        return metrics


class _IndexEvaluator:
    """Neighbours found through the clusters, and the clusters' sums, over batches of candidates."""

    def __init__(self, queries: np.ndarray, clusters: Clusters) -> None:
        self._queries = queries
        self._centroids = clusters.centroids
        self._query_clusters = nearest_cluster(queries, clusters.centroids)
        # (q, k): whether a query is compared with a cluster's tracks.
        self._is_probed = probe_matrix(clusters.centroids, clusters.nprobe)[self._query_clusters]
        self._found = TopK(queries, K)
        self._sums = np.zeros(clusters.centroids.shape)
        self._sizes = np.zeros(len(clusters.centroids), dtype=int)

    def add(self, vectors: np.ndarray, positions: np.ndarray, is_itself: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,); `is_itself` (q, c) are left out."""
        clusters = nearest_cluster(vectors, self._centroids)
        self._found.add(vectors, positions, is_itself | ~self._is_probed[:, clusters])
        np.add.at(self._sums, clusters, vectors)
        self._sizes += np.bincount(clusters, minlength=len(self._sizes))

    def metrics(self, exact: np.ndarray) -> dict[str, float]:
        """Return the metrics of the clusters, given the exact lists (q, k)."""
        compared = (self._is_probed @ self._sizes).mean()
        return {
            "index_recall_at_10": recall_at_k(exact, self._found.positions),
            "scanned_fraction": float(compared / self._sizes.sum()),
            "silhouette": silhouette(self._queries, self._query_clusters, self._sums, self._sizes),
        }
