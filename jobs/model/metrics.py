"""Metrics on arrays: genre retrieval, hubness, index recall, silhouette, next-play ranking.

Conventions: tracks are numbered; -1 stands for "no label" and for "no track". Precision and recall are 0 to
1, 1 is best. Metrics that need evaluated queries are missing where there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.model.top_k import TopK

# Metrics of each system, by name.
SystemMetrics = dict[str, dict[str, float]]

# Length of the lists for hubness, coverage and recall.
K = 10
# Ranks that mean average precision and R-precision read: all of them in a small collection.
MAP_DEPTH = 1_000


@dataclass(frozen=True)
class Labels:
    """Labels of n tracks, each array (n,).

    Attributes
    ----------
    genres, artists
        Numbers, -1 where unknown.
    evaluated
        Whether the track is a query and a candidate of genre metrics.
    """

    genres: np.ndarray
    artists: np.ndarray
    evaluated: np.ndarray

    def without_artists(self) -> "Labels":
        """Return the labels with every artist unknown, so that tracks of the same artist count."""
        return Labels(self.genres, np.full(len(self.artists), -1), self.evaluated)

    def n_relevant(self, positions: np.ndarray) -> np.ndarray:
        """Return how many evaluated tracks have the genre of `positions` (q,) and another artist, (q,)."""
        genres = self.genres[self.evaluated]
        artists = self.artists[self.evaluated]
        genre_counts = np.bincount(genres, minlength=self.genres.max(initial=-1) + 1)
        pairs, counts = np.unique(np.stack([genres, artists]), axis=1, return_counts=True)
        pair_counts = {(int(g), int(a)): int(count) for (g, a), count in zip(pairs.T, counts, strict=True)}
        excluded = np.zeros(len(positions), dtype=int)
        for row, position in enumerate(positions):
            if self.artists[position] >= 0:
                excluded[row] = pair_counts[int(self.genres[position]), int(self.artists[position])]
            else:  # without a known artist only the track itself is left out
                excluded[row] = int(self.evaluated[position])
        return np.asarray(genre_counts[self.genres[positions]] - excluded)


def genre_scores(ranked: np.ndarray, positions: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Return the scores of each query, (q,) per metric: precision at 1, 5 and 10, AP and R-precision.

    Precision at k divides by k, or by the length of the list where it is shorter. Average precision (its mean
    is `genre_map`) and R-precision are exact where depth is the number of tracks. In a larger collection both
    read the first `depth` ranks, and count at most `depth` tracks as relevant: AP at 1,000.

    Parameters
    ----------
    ranked : (q, depth)
        Track numbers, best first, -1 after the end of a list.
    positions : (q,)
        Track numbers of the queries, each with at least one relevant track.
    """
    is_track = ranked >= 0
    is_relevant = (labels.genres[ranked] == labels.genres[positions][:, None]) & is_track
    return _list_scores(is_relevant, is_track, labels.n_relevant(positions))


def genre_ceilings(ranked: np.ndarray, positions: np.ndarray, labels: Labels) -> dict[str, float]:
    """Return the largest values that any ordering could reach: all relevant tracks first.

    Precision at k stays below 1 where a genre has fewer than k other tracks. Parameters as in `genre_scores`.
    """
    n_relevant = labels.n_relevant(positions)
    is_relevant = np.arange(ranked.shape[1]) < n_relevant[:, None]
    return mean_scores(_list_scores(is_relevant, ranked >= 0, n_relevant))


def mean_scores(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Return each metric: the mean of its queries' scores."""
    return {name: float(np.mean(values)) for name, values in scores.items()}


def _list_scores(
    is_relevant: np.ndarray, is_track: np.ndarray, n_relevant: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the scores of lists (q, depth), given each query's number of relevant tracks (q,)."""
    n_found = np.cumsum(is_relevant, axis=1)
    scores = {}
    for k in (1, 5, 10):
        lengths = np.maximum(is_track[:, :k].sum(axis=1), 1)
        scores[f"genre_precision_at_{k}"] = is_relevant[:, :k].sum(axis=1) / lengths
    n_findable = np.minimum(n_relevant, is_relevant.shape[1])
    precision = n_found / np.arange(1, is_relevant.shape[1] + 1)
    scores["genre_map"] = (precision * is_relevant).sum(axis=1) / n_findable
    # Precision at rank R: with 3 relevant tracks the number found in the first three, column 2, over 3.
    scores["genre_r_precision"] = n_found[np.arange(len(n_found)), n_findable - 1] / n_findable
    return scores


def hubness_metrics(lists: np.ndarray, n_tracks: int) -> dict[str, float]:
    """Return skewness and maximum of the k-occurrence, and the fractions of tracks in any list and in none.

    The k-occurrence of a track is the number of lists (q, k) that it is in; -1 in a list is no track. A track
    in many lists is a hub, one in none an anti-hub (Radovanovic et al. 2010, JMLR 11).
    """
    k_occurrence = np.bincount(lists[lists >= 0], minlength=n_tracks)
    return {
        "k_occurrence_skew": skewness(k_occurrence),
        "k_occurrence_max": int(k_occurrence.max()),
        "coverage": float(np.mean(k_occurrence > 0)),
        "anti_hub_fraction": float(np.mean(k_occurrence == 0)),
    }


def k_occurrence_skew(vectors: np.ndarray) -> float:
    """Return the hubness of unit vectors (n, d): the skewness of the k-occurrence, k = 10.

    0 for fewer than three.
    """
    if len(vectors) < 3:
        return 0.0
    nearest = TopK(vectors, min(K, len(vectors) - 1))
    nearest.add(vectors, np.arange(len(vectors)), np.eye(len(vectors), dtype=bool))
    return hubness_metrics(nearest.positions, len(vectors))["k_occurrence_skew"]


def skewness(values: np.ndarray) -> float:
    """Return the third standardized moment; 0 where all values are equal."""
    deviations = values - values.mean()
    spread = float(np.sqrt(np.mean(deviations**2)))
    return float(np.mean(deviations**3) / spread**3) if spread > 1e-12 else 0.0


def recall_at_k(exact: np.ndarray, approximate: np.ndarray) -> float:
    """Return the fraction of the exact lists (q, k) that approximate lists (q, k) contain.

    Recall@k of an index.
    """
    n_found = 0
    n_exact = 0
    for exact_row, approximate_row in zip(exact, approximate, strict=True):
        exact_tracks = set(exact_row[exact_row >= 0].tolist())
        n_found += len(exact_tracks & set(approximate_row.tolist()))
        n_exact += len(exact_tracks)
    return n_found / max(n_exact, 1)


def silhouette(vectors: np.ndarray, clusters: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> float:
    """Return the mean silhouette by cosine distance, -1 to 1, as Spark's ClusteringEvaluator defines it.

    The mean distance of x to a cluster is 1 - x · sum / size. A track alone in its cluster counts 0.

    Parameters
    ----------
    vectors : (q, d)
        Unit vectors.
    clusters : (q,)
        Their clusters.
    sums : (k, d)
        Sum of the vectors of all tracks of each cluster, those of `vectors` included.
    sizes : (k,)
        Tracks of each cluster.
    """
    distances = 1 - vectors @ sums.T / np.maximum(sizes, 1)
    rows = np.arange(len(vectors))
    own_sizes = sizes[clusters]
    inside = distances[rows, clusters] * own_sizes / np.maximum(own_sizes - 1, 1)
    distances[:, sizes == 0] = np.inf
    distances[rows, clusters] = np.inf
    outside = distances.min(axis=1)
    larger = np.maximum(inside, outside)
    is_defined = (own_sizes > 1) & np.isfinite(outside) & (larger > 0)
    return float(np.divide(outside - inside, larger, out=np.zeros(len(vectors)), where=is_defined).mean())


def euclidean_as_dot(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with one more column, so that a larger dot product is a smaller Euclidean distance.

    The dot product is q · c - |c|² / 2. Shapes: (q, d) and (c, d) to (q, d + 1) and (c, d + 1).
    """
    half_norms = -0.5 * np.sum(candidates**2, axis=1, keepdims=True)
    return np.hstack([queries, np.ones((len(queries), 1))]), np.hstack([candidates, half_norms])


def ranking_metrics(ranked: np.ndarray, next_tracks: Sequence[set[int]]) -> dict[str, float]:
    """Return recall@10 and NDCG@10, the means of `ranking_scores`."""
    return mean_scores(ranking_scores(ranked, next_tracks))


def ranking_scores(ranked: np.ndarray, next_tracks: Sequence[set[int]]) -> dict[str, np.ndarray]:
    """Return each user's recall@10 and NDCG@10, (users,), against the tracks that the user played next.

    Recall is relative to the hits that ten places allow.

    Parameters
    ----------
    ranked : (users, 10)
        Track numbers, best first, -1 after the end of a list.
    next_tracks : one set of track numbers per user
        Held-out plays; no set is empty.
    """
    is_hit = [
        [int(track in user_tracks) for track in row]
        for row, user_tracks in zip(ranked[:, :K], next_tracks, strict=True)
    ]
    hits = np.array(is_hit, dtype=int).reshape(len(ranked), ranked[:, :K].shape[-1])  # also without a user
    n_findable = np.array([min(len(user_tracks), K) for user_tracks in next_tracks])
    discounts = 1 / np.log2(np.arange(2, K + 2))
    ideal = np.array([discounts[:count].sum() for count in n_findable])
    return {
        "next_play_recall_at_10": hits.sum(axis=1) / n_findable,
        "next_play_ndcg_at_10": hits @ discounts[: hits.shape[1]] / ideal,
    }
