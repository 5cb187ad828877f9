"""How good lists of neighbours are: metrics on arrays, no tables, no MLflow.

A system under trial is vectors: the score of a candidate for a query is their dot product, so cosine, Euclidean distance
(see `euclidean`), chance and popularity all pass through the same code. Candidates come in batches and only the best of
each query are held, so memory does not grow with the collection. Tracks are numbered; -1 stands for "no label" and for
"no track". Conventions: precision and recall are 0..1, 1 is best; an empty set of queries gives no figure at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.model.embedding import nearest_cluster
from jobs.model.nearest import probe_matrix

# Length of the lists that hubs, coverage and recall are measured on.
K = 10
# Ranks that average precision looks at: all of them in a small collection.
MAP_DEPTH = 1_000


@dataclass(frozen=True)
class Labels:
    """Per track, (n,): a number for its genre and for its artist, -1 where unknown; and whether it is judged at all."""

    genres: np.ndarray
    artists: np.ndarray
    evaluated: np.ndarray

    def relevant(self, positions: np.ndarray) -> np.ndarray:
        """Return how many judged tracks have the genre of each and another artist; positions (q,)."""
        genres, artists = self.genres[self.evaluated], self.artists[self.evaluated]
        same = np.bincount(genres, minlength=self.genres.max(initial=-1) + 1)[self.genres[positions]]
        pairs, counts = np.unique(np.stack([genres, artists]), axis=1, return_counts=True)
        own = {(int(g), int(a)): int(count) for (g, a), count in zip(pairs.T, counts, strict=True)}
        # Without a known artist only the track itself is left out.
        mine = [
            own[int(self.genres[p]), int(self.artists[p])] if self.artists[p] >= 0 else int(self.evaluated[p])
            for p in positions
        ]
        return np.asarray(same - np.array(mine, dtype=int))


class TopK:
    """The best `depth` candidates of each query, over batches."""

    def __init__(self, queries: np.ndarray, depth: int) -> None:
        self.queries, self.depth = queries, depth
        self.positions = np.full((len(queries), 0), -1)
        self._scores = np.zeros((len(queries), 0), dtype=np.float32)

    def add(self, vectors: np.ndarray, positions: np.ndarray, forbidden: np.ndarray) -> None:
        """Take candidates (c, d) with their numbers (c,), but for those forbidden to a query (q, c)."""
        scores = np.where(forbidden, -np.inf, self.queries @ vectors.T)
        scores = np.hstack([self._scores, scores])
        numbers = np.hstack([self.positions, np.broadcast_to(positions, forbidden.shape)])
        # Equal scores in the order of the numbers: batches come in it, and the sort is stable.
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.depth]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self.positions = np.where(np.isfinite(self._scores), np.take_along_axis(numbers, best, axis=1), -1)


@dataclass(frozen=True)
class Clusters:
    """K-Means as the index: unit centroids (k, d), and how many clusters each search looks at."""

    centroids: np.ndarray
    nprobe: int


class RetrievalEvaluator:
    """One system's lists for the queries, and what they are worth."""

    def __init__(
        self, queries: np.ndarray, positions: np.ndarray, labels: Labels, clusters: Clusters | None = None
    ) -> None:
        """Judge `queries` (q, d), which are the tracks `positions` (q,)."""
        self._queries, self._positions, self._labels, self._clusters = queries, positions, labels, clusters
        self._asked = np.flatnonzero(labels.evaluated[positions] & (labels.genres[positions] >= 0))
        self._asked = self._asked[labels.relevant(positions[self._asked]) > 0]
        self._near = TopK(queries, K)
        self._filtered = TopK(queries[self._asked], min(MAP_DEPTH, len(labels.genres)))
        self._found = TopK(queries, K)
        if clusters:
            self._homes = nearest_cluster(queries, clusters.centroids)
            self._searched = probe_matrix(clusters.centroids, clusters.nprobe)[self._homes]
            self._sums = np.zeros(clusters.centroids.shape)
            self._sizes = np.zeros(len(clusters.centroids), dtype=int)

    def add(self, vectors: np.ndarray, positions: np.ndarray) -> None:
        """Take candidates (c, d) with their numbers (c,)."""
        itself = self._positions[:, None] == positions
        self._near.add(vectors, positions, itself)
        artists, asked = self._labels.artists, self._asked
        by = artists[self._positions[asked], None]
        same_artist = (by == artists[positions]) & (by >= 0)
        self._filtered.add(
            vectors, positions, itself[asked] | same_artist | ~self._labels.evaluated[positions]
        )
        if self._clusters:
            clusters = nearest_cluster(vectors, self._clusters.centroids)
            self._found.add(vectors, positions, itself | ~self._searched[:, clusters])
            np.add.at(self._sums, clusters, vectors)
            self._sizes += np.bincount(clusters, minlength=len(self._sizes))

    def metrics(self) -> dict[str, float]:
        """Return every figure that the labels allow."""
        found: dict[str, float] = {"judged_queries": len(self._asked)}
        if len(self._asked):
            found |= genre_metrics(self._filtered.positions, self._positions[self._asked], self._labels)
        if len(self._labels.genres) > 1:
            found |= hubness_metrics(self._near.positions, len(self._labels.genres))
        if self._clusters and len(self._labels.genres) > 1:
            found["recall_at_10"] = recall_at_k(self._near.positions, self._found.positions)
            found["share_scanned"] = float((self._searched @ self._sizes).mean() / self._sizes.sum())
            found["silhouette"] = silhouette(self._queries, self._homes, self._sums, self._sizes)
        return found


def genre_metrics(ranked: np.ndarray, positions: np.ndarray, labels: Labels) -> dict[str, float]:
    """Return precision at 1, 5 and 10 and the mean average precision of artist-filtered lists.

    ranked (q, depth) tracks, best first, -1 where the list has ended; the queries are the tracks `positions` (q,), each
    with at least one relevant track. Precision at k divides by k, or by the length of the list where it is shorter.
    """
    listed = ranked >= 0
    hits = (labels.genres[ranked] == labels.genres[positions][:, None]) & listed
    found = {}
    for k in (1, 5, 10):
        found[f"genre_precision_at_{k}"] = float(
            np.mean(hits[:, :k].sum(1) / np.maximum(listed[:, :k].sum(1), 1))
        )
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    possible = np.minimum(labels.relevant(positions), ranked.shape[1])
    found["genre_map"] = float(np.mean((precision * hits).sum(1) / possible))
    return found


def hubness_metrics(lists: np.ndarray, tracks: int) -> dict[str, float]:
    """Return hubness and reach of lists (q, k): skew and maximum of how often a track is in one, share in any at all."""
    counts = np.bincount(lists[lists >= 0], minlength=tracks)
    return {
        "k_occurrence_skew": skewness(counts),
        "k_occurrence_max": int(counts.max()),
        "coverage": float(np.mean(counts > 0)),
    }


def k_occurrence_skew(vectors: np.ndarray) -> float:
    """Return the skew of how often each of unit vectors (n, d) is among another's LIST nearest; 0 for less than three."""
    if len(vectors) < 3:
        return 0.0
    near = TopK(vectors, min(K, len(vectors) - 1))
    near.add(vectors, np.arange(len(vectors)), np.eye(len(vectors), dtype=bool))
    return hubness_metrics(near.positions, len(vectors))["k_occurrence_skew"]


def skewness(counts: np.ndarray) -> float:
    """Return the third standardised moment; 0 where all are equal."""
    deviations = counts - counts.mean()
    spread = float(np.sqrt(np.mean(deviations**2)))
    return float(np.mean(deviations**3) / spread**3) if spread > 1e-12 else 0.0


def recall_at_k(exact: np.ndarray, found: np.ndarray) -> float:
    """Return the share of the exact lists (q, k) that the lists found hold: recall@k of an index."""
    sets = [(set(a[a >= 0].tolist()), set(b.tolist())) for a, b in zip(exact, found, strict=True)]
    return sum(len(a & b) for a, b in sets) / max(sum(len(a) for a, _ in sets), 1)


def silhouette(vectors: np.ndarray, homes: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> float:
    """Return the mean silhouette of unit vectors (q, d) by cosine distance, as Spark's ClusteringEvaluator defines it.

    homes (q,) their clusters; sums (k, d) and sizes (k,) of all tracks of each cluster, the vectors' own among them. The
    mean distance to a cluster is 1 - x . sum / size; a track alone in its cluster counts 0.
    """
    distances = 1 - vectors @ sums.T / np.maximum(sizes, 1)
    rows, own = np.arange(len(vectors)), sizes[homes]
    inside = distances[rows, homes] * own / np.maximum(own - 1, 1)
    distances[:, sizes == 0] = np.inf
    distances[rows, homes] = np.inf
    outside = distances.min(axis=1)
    larger = np.maximum(inside, outside)
    counted = (own > 1) & np.isfinite(outside) & (larger > 0)
    return float(np.divide(outside - inside, larger, out=np.zeros(len(own)), where=counted).mean())


def euclidean_as_dot(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both so that a larger dot product is a smaller Euclidean distance: q . c - |c|^2 / 2."""
    return (
        np.hstack([queries, np.ones((len(queries), 1))]),
        np.hstack([candidates, -0.5 * np.sum(candidates**2, axis=1, keepdims=True)]),
    )


def ranking_metrics(ranked: np.ndarray, heard: Sequence[set[int]]) -> dict[str, float]:
    """Return recall and NDCG at 10 of recommendations (users, 10) against the tracks that each user heard afterwards."""
    hits = np.array([[int(p in own) for p in row] for row, own in zip(ranked[:, :K], heard, strict=True)])
    discounts = 1 / np.log2(np.arange(2, K + 2))
    ideal = np.array([discounts[: min(len(own), K)].sum() for own in heard])
    return {
        "plays_recall_at_10": float(np.mean(hits.sum(1) / [min(len(own), K) for own in heard])),
        "plays_ndcg_at_10": float(np.mean(hits @ discounts[: hits.shape[1]] / ideal)),
    }
