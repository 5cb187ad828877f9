"""How far metrics over queries can be trusted: bootstrap intervals, and tests of paired differences.

Conventions: a metric is the mean of one score per query. `units` (q,) numbers the unit of each query: the
tests take the queries of one unit as one observation. Queries of one genre are one unit where two models
are compared: they rank the same relevant tracks, so that a model's luck with these moves all of them. With
each query as its own unit, two equally good models in simulation differed "significantly" at the level of 5 %
in 18 to 25 % of the cases; with genres in 4 to 7 %. Everything is seeded: the same scores give the same
result.

References: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval);
Smucker, Allan and Carterette (2007), A comparison of statistical significance tests for information
retrieval evaluation, CIKM (randomization test of paired scores); Cameron and Miller (2015), A practitioner's
guide to cluster-robust inference, Journal of Human Resources 50 (bound).
"""

import itertools

import numpy as np
from scipy import special

# Confidence of the intervals.
CONFIDENCE = 0.95

_RESAMPLES = 2_000
# Random signs where there are too many units to try all signs; the smallest p is then 1 / (_SIGN_FLIPS + 1).
_SIGN_FLIPS = 10_000
# With at most this many units all 2^units signs are tried.
_MAX_EXACT_UNITS = 13
# Resamples at a time: with 2,000 units 16 MB.
_BATCH = 1_000


def bootstrap_interval(scores: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `scores` (q,), over resampled queries."""
    n_queries = len(scores)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES // _BATCH):
        counts = rng.multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=_BATCH)
        means.append(counts @ scores / n_queries)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def lower_bound(differences: np.ndarray, units: np.ndarray, *, level: float) -> float:
    """Return the one-sided bound that the mean of `differences` (q,) exceeds with confidence 1 - `level`.

    It is mean - t s, with the cluster-robust standard error s = √(u / (u - 1) Σ r²) / q over u units, where r
    is a unit's sum of deviations from the mean, and Student's t of u - 1 degrees of freedom. A bootstrap of
    eight units would be too narrow: its bound of 95 % had a confidence of 89 % in simulation.

    Parameters
    ----------
    differences : (q,)
        Score of the one system minus score of the other, per query.
    units : (q,)
        At least two different units.
    level
        Probability that the mean is below the bound.
    """
    mean = float(np.mean(differences))
    residuals = _unit_sums(differences - mean, units)
    n_units = len(residuals)
    error = np.sqrt(n_units / (n_units - 1) * np.sum(residuals**2)) / len(differences)
    return mean - float(special.stdtrit(n_units - 1, 1 - level) * error)


def sign_flip_p(differences: np.ndarray, units: np.ndarray, *, seed: int = 0) -> float:
    """Return the one-sided p of a sign-flip test of a mean above 0.

    If two systems are equally good, a unit's differences could as well have the other sign. The p is the
    fraction of signs whose mean reaches the observed one: of all signs for up to 13 units, else of 10,000
    random ones.

    Parameters
    ----------
    differences : (q,)
        Score of the one system minus score of the other, per query.
    units : (q,)
        Queries of one unit change their sign together.
    seed
        Seed of the random signs.
    """
    sums = _unit_sums(differences, units)
    # Sums that differ by rounding are equal.
    observed = sums.sum() - 1e-9 * np.abs(sums).sum()
    if len(sums) <= _MAX_EXACT_UNITS:
        signs = np.array(list(itertools.product((1, -1), repeat=len(sums))))
        return float(np.mean(signs @ sums >= observed))
    rng = np.random.default_rng(seed)
    n_reached = 1  # the observed signs
    for _ in range(_SIGN_FLIPS // _BATCH):
        signs = rng.integers(0, 2, size=(_BATCH, len(sums))) * 2 - 1
        n_reached += int(np.count_nonzero(signs @ sums >= observed))
    return n_reached / (_SIGN_FLIPS + 1)


def _unit_sums(scores: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the sum of the scores of each unit."""
    _, rows = np.unique(units, return_inverse=True)
    return np.bincount(rows, weights=scores)
