"""How far metrics over queries can be trusted: bootstrap intervals, and a test of paired differences.

Conventions: a metric is the mean of one score per query. `units` (q,) numbers the unit of each query: queries
of one unit are resampled, or change their sign, together. Queries of one genre are one unit where two models
are compared: they rank the same relevant tracks, so that a model's luck with these moves all of them. With
each query as its own unit, two equally good models in simulation differed "significantly" at the level of 5 %
in 18 to 25 % of the cases; with genres in 4 to 7 %. Everything is seeded: the same scores give the same
result.

References: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval);
Smucker, Allan and Carterette (2007), A comparison of statistical significance tests for information
retrieval evaluation, CIKM (randomization test of paired scores).
"""

import itertools

import numpy as np

# Confidence of the intervals.
CONFIDENCE = 0.95

_RESAMPLES = 2_000
# Random signs where there are too many units to try all signs; the smallest p is then 1 / (_SIGN_FLIPS + 1).
_SIGN_FLIPS = 10_000
# With at most this many units all 2^units signs are tried.
_MAX_EXACT_UNITS = 13
# Resamples at a time: with 2,000 units 16 MB.
_BATCH = 1_000


def bootstrap_means(scores: np.ndarray, units: np.ndarray | None = None, *, seed: int = 0) -> np.ndarray:
    """Return the mean score of resampled queries, ascending, (2000,).

    Parameters
    ----------
    scores : (q,)
        One score per query, at least one query.
    units : (q,), optional
        Units are drawn with replacement, each with all of its queries. Default: every query is one.
    seed
        Seed of the draws.
    """
    sums, sizes = _unit_sums(scores, units)
    n_units = len(sums)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES // _BATCH):
        counts = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=_BATCH).astype(float)
        means.append(counts @ sums / (counts @ sizes))
    return np.sort(np.concatenate(means))


def bootstrap_interval(scores: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `scores` (q,), over other queries."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(bootstrap_means(scores, seed=seed), [tail, 1 - tail])
    return float(low), float(high)


def lower_bound(differences: np.ndarray, units: np.ndarray, *, level: float, seed: int = 0) -> float:
    """Return the one-sided bound that the mean of `differences` (q,) exceeds with confidence 1 - `level`."""
    return float(np.quantile(bootstrap_means(differences, units, seed=seed), level))


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
    sums, _ = _unit_sums(differences, units)
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


def _unit_sums(scores: np.ndarray, units: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of scores and the number of queries of each unit."""
    if units is None:
        return np.asarray(scores, dtype=float), np.ones(len(scores))
    _, rows = np.unique(units, return_inverse=True)
    return np.bincount(rows, weights=scores), np.bincount(rows).astype(float)
