"""Exact search over batches of candidates: memory does not grow with the collection."""

import numpy as np


class TopK:
    """The `depth` best candidates of each query, collected over batches.

    Attributes
    ----------
    positions : (q, depth)
        Their track numbers, best first, -1 after the end of a list.
    """

    def __init__(self, queries: np.ndarray, depth: int) -> None:
        self.queries = queries
        self.depth = depth
        self.positions = np.full((len(queries), depth), -1)
        self._scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)

    def add(self, vectors: np.ndarray, positions: np.ndarray, excluded: np.ndarray) -> None:
        """Add candidates (c, d) with their track numbers (c,).

        `excluded` (q, c) is True where one does not count. Of equal scores the first candidate is the better
        one.
        """
        scores = np.where(excluded, -np.inf, self.queries @ vectors.T).astype(np.float32, copy=False)
        rows, columns = np.nonzero(self._can_enter(scores))
        counts = np.bincount(rows, minlength=len(scores))
        width = int(counts.max(initial=0))
        if not width:
            return
        # The candidates that can enter, to the left of a matrix with as many columns as any query has.
        slots = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        new_scores = np.full((len(scores), width), -np.inf, dtype=np.float32)
        new_scores[rows, slots] = scores[rows, columns]
        new_positions = np.full((len(scores), width), -1)
        new_positions[rows, slots] = positions[columns]
        self._merge(new_scores, new_positions)

    def _can_enter(self, scores: np.ndarray) -> np.ndarray:
        """Return which candidates (q, c) are among this batch's best, and better than the last so far."""
        can_enter = scores > self._scores[:, -1:]
        if np.count_nonzero(can_enter, axis=1).max(initial=0) > self.depth:
            # The depth-th largest score; of those equal to it the first ones, as many as there is room for.
            edge = np.partition(scores, -self.depth, axis=1)[:, -self.depth :][:, :1]
            is_larger = scores > edge
            is_edge = scores == edge
            room = self.depth - is_larger.sum(axis=1, keepdims=True)
            can_enter &= is_larger | (is_edge & (np.cumsum(is_edge, axis=1) <= room))
        return can_enter

    def _merge(self, new_scores: np.ndarray, new_positions: np.ndarray) -> None:
        scores = np.hstack([self._scores, new_scores])
        candidates = np.hstack([self.positions, new_positions])
        # Equal scores are in the order of track numbers: batches come in that order, and the sort is stable.
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.depth]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self.positions = np.take_along_axis(candidates, best, axis=1)
