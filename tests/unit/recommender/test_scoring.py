"""Seeds of a profile and scores of candidates, on arrays small enough to check by hand."""

import numpy as np
import pytest

from jobs.recommender import scoring
from jobs.recommender.item_catalog import RankingWeights
from tests.unit.recommender.conftest import to_matrix


def score(catalog, query):
    return scoring.score(catalog, query, next(scoring.signals(catalog, [query])))


def test_top_seeds_are_shares_of_the_largest_weights(monkeypatch):
    monkeypatch.setattr(scoring, "_N_SEEDS", 2)
    weights = np.array([0.3, -0.2, 0.6, 0.1, 0.01])
    shares = scoring._top_seeds(weights, np.arange(5))
    np.testing.assert_allclose(shares, [1 / 3, 0, 2 / 3, 0, 0])


def test_query_has_liked_as_seed_and_skipped_apart(catalog, make_profile):
    query = scoring.query_profile(catalog, make_profile(("003", "liked"), ("008", "skipped")))
    assert query.seeds.tolist() == [3] and query.weights.tolist() == [1.0]
    assert query.skipped.tolist() == [8] and query.excluded == {8}  # 008 was played last


def test_candidates_are_sorted_with_a_content_score_per_seed(catalog, make_profile):
    query = scoring.query_profile(catalog, make_profile(("003", "liked"), ("001", "liked")))
    candidates = score(catalog, query).candidates
    assert (np.diff(candidates.indices) > 0).all()
    assert candidates.content.shape == (2, len(candidates.indices))
    assert candidates.parts.shape == (4, len(candidates.indices))


def test_whole_profile_counts_by_log_plays_and_recency(catalog, make_profile):
    profile = make_profile(
        *[("003", "finished")] * 3, ("008", "liked"), ("004", "started"), ("005", "disliked")
    )
    query = scoring.query_profile(catalog, profile)
    assert query.liked.tolist() == [3, 8]  # neither the started nor the disliked one
    np.testing.assert_allclose(query.confidences, np.log1p([3, 3]))
    recent = catalog.with_weights(RankingWeights(recency=4.0))
    doubled = scoring.query_profile(recent, profile).confidences
    np.testing.assert_allclose(doubled, 5 * np.log1p([3, 3]), rtol=0.01)


def test_similar_items_of_the_profile_are_added_up(catalog, make_profile):
    similar_items = to_matrix({3: ([50, 60], [0.5, 0.25]), 8: ([60], [1.0])}, 100)
    weights = RankingWeights(content=0.0, collaborative=1.0, popularity=0.0)
    with_items = catalog.with_weights(weights, similar_items)
    query = scoring.query_profile(with_items, make_profile(("003", "finished"), ("008", "finished")))
    candidates, scores, _, signals = score(with_items, query)
    by_index = dict(zip(candidates.indices.tolist(), scores.tolist(), strict=True))
    assert by_index[60] == 1.0 and by_index[50] == pytest.approx(0.5 / 1.25)
    shares = scoring.shares_of_tracks(with_items, query, signals.entries, np.array([60]))
    assert shares.argmax(axis=0).tolist() == [1]  # 008 adds more than 003


def test_factors_find_tracks_that_neither_sound_nor_neighbours_do(catalog, make_profile):
    factors = np.zeros((100, 2), dtype=np.float32)
    factors[[3, 50, 61]] = [[1, 0], [0.9, 0], [0, 1]]
    weights = RankingWeights(content=0.0, factors=1.0, popularity=0.0, regularization=0.1)
    with_factors = catalog.with_weights(weights, factors=factors)
    query = scoring.query_profile(with_factors, make_profile(("003", "finished"), ("001", "started")))
    candidates, scores, *_ = score(with_factors, query)
    best = candidates.indices[np.argmax(np.where(candidates.indices == 3, 0, scores))]
    assert best == 50 and scores[candidates.indices == 61].max(initial=0) == 0


def test_profile_of_tracks_nobody_else_played_is_scored_by_sound(catalog, make_profile):
    factors = np.zeros((100, 2), dtype=np.float32)
    factors[50:] = 1
    weights = RankingWeights(content=0.0, collaborative=1.0, factors=1.0, popularity=0.0)
    with_factors = catalog.with_weights(weights, to_matrix({}, 100), factors)
    query = scoring.query_profile(with_factors, make_profile(("003", "finished")))
    candidates, scores, used, _ = score(with_factors, query)
    assert used.content == 1.0
    best = candidates.indices[np.argsort(-scores)[:5]]
    assert set(best % 5) == {3}


def test_best_of_many_scores_are_exact():
    scores = np.random.default_rng(0).standard_normal(9_001)
    expected = np.argsort(-scores)[: scoring._N_COLLABORATIVE]
    assert set(scoring._best(scores)) == set(expected)
    assert scoring._best(-np.ones(9_001)).size == 0
