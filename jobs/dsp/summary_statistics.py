"""Statistics of per-frame rows: seven numbers say how a feature behaves over a recording.

Conventions: a row is one feature number over the frames, rows are the first axis; statistics come in the order of
`STATISTICS` (alphabetical, as in FMA's features.csv). Moments are the biased ones, kurtosis is Fisher's (a normal
distribution has 0). Sums are in float64, whatever the rows are.
"""

from collections.abc import Iterable

import numpy as np

from jobs.dsp import kernels
from jobs.lake.feature_columns import STATISTICS

# A standard deviation below this part of the mean is rounding of float32 values (scipy.stats draws the line there too).
CONSTANT_TOLERANCE = 1e-6


def summarize(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return the statistics of every row over its frames.

    rows: n of shape (frames,), finite, frames >= 1. Returns (7, n) float64 in the order of `STATISTICS`, in the unit of
    the rows but for skew and kurtosis, which have none: m3 / m2**1.5 and m4 / m2**2 - 3 with m_k = mean((x - mean)**k),
    as scipy.stats.skew and kurtosis give them; 0 for a (numerically) constant row, where scipy says NaN.
    """
    # Row by row: hours of float32 frames are copied one row at a time.
    return np.stack([_describe_row(np.ascontiguousarray(row)) for row in rows], axis=1)


def _describe_row(row: np.ndarray) -> np.ndarray:
    low, high, mean, variance, third, fourth = kernels.moments(row)
    skew = kurtosis = 0.0
    if variance > (CONSTANT_TOLERANCE * mean) ** 2:
        skew, kurtosis = third / variance**1.5, fourth / variance**2 - 3
    found = {
        "kurtosis": kurtosis,
        "max": high,
        "mean": mean,
        "median": _median(row),
        "min": low,
        "skew": skew,
        "std": np.sqrt(variance),
    }
    return np.array([found[name] for name in STATISTICS])


def _median(row: np.ndarray) -> float:
    middle = (row.size - 1) // 2, row.size // 2
    ordered = np.partition(row, middle)
    return (float(ordered[middle[0]]) + float(ordered[middle[1]])) / 2


class Covariance:
    """The covariance of n features over frames that come in pieces."""

    def __init__(self, features: int) -> None:
        self._frames = 0
        self._sum = np.zeros(features)
        self._products = np.zeros((features, features))

    def add(self, rows: np.ndarray) -> None:
        """Take the next frames, (frames, n)."""
        values = rows.astype(np.float64)
        self._frames += len(values)
        self._sum += values.sum(axis=0)
        self._products += values.T @ values

    def upper_triangle(self) -> np.ndarray:
        """Return mean((x - mean x)(y - mean y)) for x <= y, (n (n + 1) / 2,), row by row of the upper triangle."""
        mean = self._sum / self._frames
        covariance = self._products / self._frames - np.outer(mean, mean)
        return covariance[np.triu_indices(len(mean))]
