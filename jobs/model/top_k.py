"""Exact search over batches of candidates: memory does not grow with the collection."""

import numpy as np


class TopK:
    """The `depth` best candidates of each query, collected over batches.

    `positions` (q, depth) are their track numbers, best first, -1 after the end of a list.
    """

    def __init__(self, queries: np.ndarray, depth: int) -> None:
        self.queries = queries
        self.depth = depth
        self.positions = np.full((len(queries), 0), -1)
        self._scores = np.zeros((len(queries), 0), dtype=np.float32)

    def add(self, vectors: np.ndarray, positions: np.ndarray, excluded: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,).

        `excluded` (q, c) is True where one does not count.
        """
        scores = np.where(excluded, -np.inf, self.queries @ vectors.T)
        scores = np.hstack([self._scores, scores])
        candidates = np.hstack([self.positions, np.broadcast_to(positions, excluded.shape)])
        # Equal scores are in the order of track numbers: batches come in that order, and the sort is stable.
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.depth]
        self._scores = np.take_along_axis(scores, best, axis=1)
        best_candidates = np.take_along_axis(candidates, best, axis=1)
        self.positions = np.where(np.isfinite(self._scores), best_candidates, -1)
