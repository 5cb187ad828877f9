"""Seeds of a profile and scores of candidates, on arrays small enough to check by hand."""

import numpy as np

from jobs.recommender import scoring


def test_top_seeds_are_shares_of_the_largest_weights(monkeypatch):
    monkeypatch.setattr(scoring, "_N_SEEDS", 2)
    weights = np.array([0.3, -0.2, 0.6, 0.1, 0.01])
    shares = scoring._top_seeds(weights, np.arange(5))
    np.testing.assert_allclose(shares, [1 / 3, 0, 2 / 3, 0, 0])


def test_query_has_liked_as_seed_and_skipped_apart(catalog, make_profile):
    query = scoring.query_profile(catalog, make_profile(("003", "liked"), ("008", "skipped")))
    assert query.seeds.tolist() == [3] and query.weights.tolist() == [1.0]
    assert query.skipped.tolist() == [8] and query.excluded == {8}  # 008 was played last


def test_candidates_are_sorted_with_a_score_per_seed(catalog, make_profile):
    query = scoring.query_profile(catalog, make_profile(("003", "liked"), ("001", "liked")))
    candidates = scoring.score(catalog, query)
    assert (np.diff(candidates.indices) > 0).all()
    assert candidates.content.shape == candidates.collaborative.shape == (2, len(candidates.indices))
