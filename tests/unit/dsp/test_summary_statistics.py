"""Statistics of rows against scipy.stats, and on rows with a known answer."""

import numpy as np
import pytest
import scipy.stats

from jobs.dsp.summary_statistics import STATISTICS, Covariance, summarize


def statistic(rows: np.ndarray, name: str) -> np.ndarray:
    return summarize(rows)[STATISTICS.index(name)]


@pytest.mark.parametrize("frames", [1_000, 1_001])
def test_summary_of_random_rows_is_scipys(frames: int) -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([rng.normal(3, 2, frames), rng.exponential(5, frames), -rng.gamma(0.5, 1e-3, frames)])
    rows = rows.astype(np.float32)
    exact = rows.astype(np.float64)
    expected = {
        "kurtosis": scipy.stats.kurtosis(exact, axis=1),
        "max": exact.max(axis=1),
        "mean": exact.mean(axis=1),
        "median": np.median(exact, axis=1),
        "min": exact.min(axis=1),
        "skew": scipy.stats.skew(exact, axis=1),
        "std": exact.std(axis=1),
    }
    assert list(expected) == list(STATISTICS)
    np.testing.assert_allclose(summarize(rows), np.stack(list(expected.values())), rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -573.2, 1e6])
def test_constant_row_has_no_skew_or_kurtosis(value: float) -> None:
    rows = np.full((1, 2_584), value, np.float32)
    # The last bit of some values is rounding, not a distribution.
    rows[0, ::7] = np.nextafter(np.float32(value), np.float32(np.inf)) if value else 0
    assert statistic(rows, "skew") == statistic(rows, "kurtosis") == 0
    np.testing.assert_allclose(statistic(rows, "mean"), value, rtol=1e-6)
    np.testing.assert_allclose(statistic(rows, "std"), 0, atol=1e-6 * abs(value))


def test_row_with_one_other_value_is_not_constant() -> None:
    rows = np.zeros((1, 100), np.float32)
    rows[0, 3] = 1e-20
    # A Bernoulli variable with p = 0.01: (1 - 2p) / sqrt(p q) and (1 - 6 p q) / (p q).
    np.testing.assert_allclose(statistic(rows, "skew"), 0.98 / np.sqrt(0.0099), rtol=1e-6)
    np.testing.assert_allclose(statistic(rows, "kurtosis"), (1 - 6 * 0.0099) / 0.0099, rtol=1e-6)


def test_summary_of_a_single_frame() -> None:
    assert summarize(np.array([[2.5]], np.float32))[:, 0].tolist() == [0, 2.5, 2.5, 2.5, 2.5, 0, 0]


def test_covariance_recovers_a_planted_one() -> None:
    # y = 2 x + e: var x = 9, cov = 18, var y = 36 + 1; far from zero, as the first MFCC is.
    rng = np.random.default_rng(4)
    x = 3 * rng.standard_normal(200_000)
    rows = np.column_stack([x - 500, 2 * x + rng.standard_normal(x.size)]).astype(np.float32)
    covariance = Covariance(2)
    for start in range(0, len(rows), 777):
        covariance.add(rows[start : start + 777])
    np.testing.assert_allclose(covariance.upper_triangle(), [9, 18, 37], rtol=0.02)
    exact = np.cov(rows.T.astype(np.float64), bias=True)[np.triu_indices(2)]
    np.testing.assert_allclose(covariance.upper_triangle(), exact, rtol=1e-6)
