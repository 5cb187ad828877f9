"""Seven statistics of a feature over the frames of a recording, and the covariance of several.

Conventions: a row is one coefficient over the frames, rows are the first axis; statistics come in the order
of `STATISTICS` (alphabetical, as in FMA's features.csv). Moments are biased, kurtosis is Fisher's (a normal
distribution has 0). Sums are in float64, whatever the type of the rows.
"""

from collections.abc import Iterable

import numpy as np

from jobs.dsp import kernels
from jobs.lake.feature_columns import STATISTICS

# A standard deviation below this fraction of the mean is float32 rounding (the limit of scipy.stats, too).
CONSTANT_TOLERANCE = 1e-6


def summarize(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return the statistics of every row over its frames.

    Parameters
    ----------
    rows
        n arrays of shape (frames,), finite, at least one frame.

    Returns
    -------
    (7, n) float64 in the order of `STATISTICS`, in the unit of the rows. Skew and kurtosis have no unit:
    they are m3 / m2**1.5 and m4 / m2**2 - 3 with m_k = mean((x - mean)**k), as in scipy.stats.skew and
    kurtosis; 0 for a (numerically) constant row, for which scipy returns NaN.
    """
    # Row by row, so that hours of float32 frames are copied one row at a time.
    return np.stack([_summarize_row(np.ascontiguousarray(row)) for row in rows], axis=1)


def _summarize_row(row: np.ndarray) -> np.ndarray:
    low, high, mean, variance, third, fourth = kernels.moments(row)
    skew = 0.0
    kurtosis = 0.0
    if variance > (CONSTANT_TOLERANCE * mean) ** 2:
        skew = third / variance**1.5
        kurtosis = fourth / variance**2 - 3
    values = {
        "kurtosis": kurtosis,
        "max": high,
        "mean": mean,
        "median": _median(row),
        "min": low,
        "skew": skew,
        "std": np.sqrt(variance),
    }
    return np.array([values[name] for name in STATISTICS])


def _median(row: np.ndarray) -> float:
    low = (row.size - 1) // 2
    high = row.size // 2
    ordered = np.partition(row, (low, high))
    return (float(ordered[low]) + float(ordered[high])) / 2


class Covariance:
    """The covariance of n features over frames that arrive in pieces."""

    def __init__(self, features: int) -> None:
        self._frames = 0
        self._sum = np.zeros(features)
        self._products = np.zeros((features, features))

    def add(self, rows: np.ndarray) -> None:
        """Add the next frames, (frames, n)."""
        values = rows.astype(np.float64)
        self._frames += len(values)
        self._sum += values.sum(axis=0)
        self._products += values.T @ values

    def mean(self) -> np.ndarray:
        """Return the mean of each feature, (n,)."""
        return self._sum / self._frames

    def upper_triangle(self) -> np.ndarray:
        """Return mean((x - mean x)(y - mean y)) for x <= y, (n (n + 1) / 2,), row by row."""
        mean = self.mean()
        covariance = self._products / self._frames - np.outer(mean, mean)
        return covariance[np.triu_indices(len(mean))]
