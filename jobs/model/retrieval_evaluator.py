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
    genre_ceilings,
    genre_scores,
    hubness_metrics,
    mean_scores,
    recall_at_k,
    silhouette,
)
from jobs.model.top_k import TopK

# Genre metrics of lists that contain tracks of the query's artist end in this.
ANY_ARTIST = "_any_artist"


class RetrievalEvaluator:
    """One system's neighbour lists for the queries, over batches of candidates, and their metrics.

    Attributes
    ----------
    genre_positions : (g,)
        Track numbers of the queries of genre metrics: those with a relevant track of another artist.
    """

    def __init__(
        self, queries: np.ndarray, positions: np.ndarray, labels: Labels, clusters: Clusters | None = None
    ) -> None:
        """Evaluate `queries` (q, d), the vectors of the tracks `positions` (q,).

        With `clusters` also the index.
        """
        self._positions = positions
        self._n_tracks = len(labels.genres)
        # Row of a track among the queries, -1 for other tracks.
        self._query_rows = np.full(self._n_tracks, -1)
        self._query_rows[positions] = np.arange(len(positions))
        self._nearest = TopK(queries, K)
        self._nearest_queries = TopK(queries, K)
        is_labelled = labels.evaluated[positions] & (labels.genres[positions] >= 0)
        labelled = np.flatnonzero(is_labelled)
        n_relevant = labels.n_relevant(positions[labelled])
        genre_rows = labelled[n_relevant > 0]
        self.genre_positions = positions[genre_rows]
        self._genre_lists = {"": _GenreLists(queries[genre_rows], self.genre_positions, labels)}
        any_artist = labels.without_artists()
        if np.any(any_artist.n_relevant(self.genre_positions) > n_relevant[n_relevant > 0]):
            lists = _GenreLists(queries[genre_rows], self.genre_positions, any_artist)
            self._genre_lists[ANY_ARTIST] = lists
        self._index = _IndexEvaluator(queries, clusters) if clusters else None

    def add(self, vectors: np.ndarray, positions: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,)."""
        is_itself = self._positions[:, None] == positions
        self._nearest.add(vectors, positions, is_itself)
        is_query = self._query_rows[positions] >= 0
        self._nearest_queries.add(
            vectors[is_query], self._query_rows[positions[is_query]], is_itself[:, is_query]
        )
        for lists in self._genre_lists.values():
            lists.add(vectors, positions)
        if self._index:
            self._index.add(vectors, positions, is_itself)

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores of the genre queries by metric, (g,); empty without such queries."""
        scores: dict[str, np.ndarray] = {}
        if len(self.genre_positions):
            for suffix, lists in self._genre_lists.items():
                scores |= {name + suffix: values for name, values in lists.scores().items()}
        return scores

    def ceilings(self) -> dict[str, float]:
        """Return the largest value that any system could reach, by genre metric."""
        ceilings: dict[str, float] = {}
        if len(self.genre_positions):
            for suffix, lists in self._genre_lists.items():
                ceilings |= {name + suffix: value for name, value in lists.ceilings().items()}
        return ceilings

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the labels, the clusters and the number of tracks allow.

        Hubness is that of the queries as a collection of their own: with 2,000 queries of a larger collection
        nearly every track would be in no list.
        """
        metrics: dict[str, float] = {"evaluated_queries": len(self.genre_positions)}
        metrics |= mean_scores(self.scores())
        if self._n_tracks > 1:
            metrics |= hubness_metrics(self._nearest_queries.positions, len(self._positions))
            if self._index:
                metrics |= self._index.metrics(self._nearest.positions)
        return metrics


class _GenreLists:
    """The lists of the genre queries over batches of candidates, and their scores."""

    def __init__(self, queries: np.ndarray, positions: np.ndarray, labels: Labels) -> None:
        """Collect lists for `queries` (g, d), the vectors of the tracks `positions` (g,).

        Tracks of the query's artist, where `labels` have it, are left out.
        """
        self._positions = positions
        self._labels = labels
        self._ranked = TopK(queries, min(MAP_DEPTH, len(labels.genres)))

    def add(self, vectors: np.ndarray, positions: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,)."""
        artists = self._labels.artists
        query_artists = artists[self._positions, None]
        is_same_artist = (query_artists == artists[positions]) & (query_artists >= 0)
        is_itself = self._positions[:, None] == positions
        excluded = is_itself | is_same_artist | ~self._labels.evaluated[positions]
        self._ranked.add(vectors, positions, excluded)

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores by metric, (g,)."""
        return genre_scores(self._ranked.positions, self._positions, self._labels)

    def ceilings(self) -> dict[str, float]:
        """Return the largest possible metrics."""
        return genre_ceilings(self._ranked.positions, self._positions, self._labels)


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
