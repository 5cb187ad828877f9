"""The nearest of many vectors, exactly, and which clusters to look at for them. Pure functions on numpy arrays."""

import numpy as np

# Clusters are probed until they hold this many candidates for each neighbour wanted.
CANDIDATES_PER_NEIGHBOUR = 20

# Queries compared at once: 256 × 100,000 candidates are 100 MB of cosines.
_BLOCK = 256


def nearest_clusters(
    centroids: np.ndarray, sizes: np.ndarray, *, wanted: int, least: int = 1
) -> list[np.ndarray]:
    """Return for each cluster the clusters to search, nearest first, itself included.

    `centroids` (k, d), `sizes` (k,) tracks per cluster. Clusters are added by cosine of the centroids until they hold
    `wanted` times CANDIDATES_PER_NEIGHBOUR tracks, and there are `least` of them.
    """
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)  # itself first, also beside an equal centroid
    order = np.argsort(-cosines, axis=1, kind="stable")
    enough = np.cumsum(sizes[order], axis=1) >= wanted * CANDIDATES_PER_NEIGHBOUR
    counts = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, len(centroids))
    counts = np.maximum(counts, min(least, len(centroids)))
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def probe_matrix(centroids: np.ndarray, count: int) -> np.ndarray:
    """Return for each cluster which clusters a search from it looks at, bool (k, k): the `count` nearest by cosine."""
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)  # itself first, also beside an equal centroid
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(cosines.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def exact_nearest(
    queries: np.ndarray,
    query_ids: np.ndarray,
    candidates: np.ndarray,
    candidate_ids: np.ndarray,
    *,
    count: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return per query the ids and the cosines of its `count` nearest candidates, nearest first, exactly.

    `queries` (q, d), `candidates` (c, d). A query never finds its own id; equal cosines are ordered by id, so that two
    runs agree. Fewer are returned where there are fewer candidates.
    """
    order = np.argsort(candidate_ids, kind="stable")
    candidates, candidate_ids = candidates[order], candidate_ids[order]
    ids, scores = [], []
    for start in range(0, len(queries), _BLOCK):
        cosines = queries[start : start + _BLOCK] @ candidates.T
        cosines[query_ids[start : start + _BLOCK, None] == candidate_ids[None, :]] = -np.inf
        for row in cosines:
            best = _largest(row, count)
            ids.append(candidate_ids[best])
            scores.append(np.clip(row[best], -1, 1))
    return ids, scores


def _largest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the largest values, largest first, ties by position; -inf is never among them."""
    if count < len(row):
        # Everything at least as large as the count-th largest: ties at the edge are cut by position, not by chance.
        row_edge = np.partition(row, len(row) - count)[len(row) - count]
        positions = np.flatnonzero(row >= row_edge)
    else:
        positions = np.arange(len(row))
    positions = positions[np.isfinite(row[positions])]
    return positions[np.argsort(-row[positions], kind="stable")][:count]
