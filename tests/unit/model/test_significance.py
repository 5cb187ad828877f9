"""Intervals and the sign-flip test beside scipy, and the level of the test for equally good models."""

import numpy as np
import pytest
from scipy import stats

from jobs.model.embedding import l2_normalize
from jobs.model.metrics import Labels
from jobs.model.retrieval_evaluator import RetrievalEvaluator
from jobs.model.significance import bootstrap_interval, lower_bound, sign_flip_p


def test_interval_agrees_with_scipy():
    scores = np.random.default_rng(1).beta(2, 5, 80)
    expected = stats.bootstrap((scores,), np.mean, n_resamples=20_000, method="percentile", rng=0)
    low, high = bootstrap_interval(scores)
    assert low == pytest.approx(expected.confidence_interval.low, abs=0.004)
    assert high == pytest.approx(expected.confidence_interval.high, abs=0.004)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(80), rel=0.1)


def test_interval_depends_only_on_the_seed():
    scores = np.random.default_rng(1).random(50)
    assert bootstrap_interval(scores) == bootstrap_interval(scores.copy())
    assert bootstrap_interval(scores, seed=1) != bootstrap_interval(scores)


def test_interval_of_equal_scores_is_a_point():
    assert bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25)


def test_lower_bound_of_single_queries_is_that_of_the_t_test():
    differences = np.random.default_rng(2).normal(0.1, 0.2, 9)
    test = stats.ttest_1samp(differences, 0, alternative="greater").confidence_interval(0.95)
    assert lower_bound(differences, np.arange(9), level=0.05) == pytest.approx(test.low)


def test_lower_bound_counts_units_not_queries():
    """Every query ten times is no evidence more."""
    differences = np.random.default_rng(2).normal(0.1, 0.2, 9)
    bound = lower_bound(np.repeat(differences, 10), np.repeat(np.arange(9), 10), level=0.05)
    assert bound == pytest.approx(lower_bound(differences, np.arange(9), level=0.05))
    assert lower_bound(np.full(10, 0.3), np.arange(10) % 5, level=0.05) == pytest.approx(0.3)


def test_lower_bound_has_its_confidence():
    """Eight units whose means differ, 400 times: the bound is above the true mean in one of twenty."""
    units = np.arange(240) % 8
    n_above = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        differences = 0.02 * rng.standard_normal(8)[units] + 0.1 * rng.standard_normal(240)
        n_above += lower_bound(differences, units, level=0.05) >= 0
    assert n_above == pytest.approx(400 * 0.05, abs=3 * np.sqrt(400 * 0.05 * 0.95))


@pytest.mark.parametrize("n_units", [5, 9])
def test_exact_p_agrees_with_scipy(n_units):
    differences = np.random.default_rng(n_units).normal(0.2, 0.3, n_units)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert sign_flip_p(differences, np.arange(n_units)) == pytest.approx(expected.pvalue)


def test_random_p_agrees_with_the_normal_distribution():
    differences = np.random.default_rng(3).normal(0.03, 0.3, 500)
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert sign_flip_p(differences, np.arange(500)) == pytest.approx(stats.norm.sf(z), abs=0.01)


def test_p_of_known_differences():
    """All of five units better: 1 of 32 signs. None different, or all worse: every sign reaches the mean."""
    units = np.arange(5)
    assert sign_flip_p(np.ones(5), units) == 1 / 32
    assert sign_flip_p(np.zeros(5), units) == 1
    assert sign_flip_p(-np.ones(5), units) == 1
    assert sign_flip_p(np.repeat(np.ones(5), 4), np.repeat(units, 4)) == 1 / 32


def noisy_scores(rng, genres, noise):
    """Return each track's average precision for planted genres that a model sees through noise."""
    vectors = np.eye(8, 24)[genres] + noise * rng.standard_normal((len(genres), 24))
    vectors = l2_normalize(vectors - vectors.mean(axis=0))
    tracks = np.arange(len(genres))
    evaluator = RetrievalEvaluator(vectors, tracks, Labels(genres, tracks, np.ones(len(genres), dtype=bool)))
    evaluator.add(vectors, tracks)
    return evaluator.scores()["genre_map"]


@pytest.mark.slow
def test_equally_good_models_differ_as_seldom_as_the_level_says():
    """Sixty tracks, eight genres, two models of the same noise, 200 times.

    With every query as its own unit the test is no test: one in five is "better".
    """
    genres = np.arange(60) % 8
    n_better = n_better_by_query = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        differences = noisy_scores(rng, genres, 0.35) - noisy_scores(rng, genres, 0.35)
        n_better += sign_flip_p(differences, genres) <= 0.05
        n_better_by_query += sign_flip_p(differences, np.arange(60)) <= 0.05
    assert n_better <= 200 * 0.05 + 1.645 * np.sqrt(200 * 0.05 * 0.95)
    assert n_better_by_query > 200 * 0.1


def test_better_model_is_found():
    genres = np.arange(60) % 8
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        differences = noisy_scores(rng, genres, 0.25) - noisy_scores(rng, genres, 0.4)
        found += sign_flip_p(differences, genres) <= 0.05
    assert found >= 19
