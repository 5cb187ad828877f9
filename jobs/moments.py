"""Statistics of per-frame rows: seven numbers say how a feature behaves over a recording.

Conventions: a row is one feature number over the frames, rows are the first axis; statistics come in the order of
`STATISTICS` (alphabetical, as in FMA's features.csv). Moments are the biased ones, kurtosis is Fisher's (a normal
distribution has 0). Sums are in float64, whatever the rows are.
"""

import numpy as np

STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")

# A standard deviation below this part of the mean is rounding of float32 values (scipy.stats draws the line there too).
CONSTANT = 1e-6


def describe(rows: np.ndarray) -> np.ndarray:
    """Return the statistics of every row over its frames.

    rows: (n, frames), finite, frames >= 1. Returns (7, n) float64 in the order of `STATISTICS`, in the unit of the rows
    but for skew and kurtosis, which have none: m3 / m2**1.5 and m4 / m2**2 - 3 with m_k = mean((x - mean)**k), as
    scipy.stats.skew and kurtosis give them; 0 for a (numerically) constant row, where scipy says NaN.
    """
    # Row by row: the float64 copy of one row stays in the cache, and small beside hours of float32 frames.
    return np.stack([_describe_row(row) for row in rows], axis=1)


def _describe_row(row: np.ndarray) -> np.ndarray:
    ordered = np.sort(row)
    median = (float(ordered[(row.size - 1) // 2]) + float(ordered[row.size // 2])) / 2
    values = row.astype(np.float64)
    mean = values.mean()
    values -= mean
    squares = values * values
    variance = squares.mean()
    skew = kurtosis = 0.0
    if variance > (CONSTANT * mean) ** 2:
        skew = squares @ values / row.size / variance**1.5
        kurtosis = squares @ squares / row.size / variance**2 - 3
    return np.array([kurtosis, ordered[-1], mean, median, ordered[0], skew, np.sqrt(variance)])
