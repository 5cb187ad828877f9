"""Item factors of planted groups, the fold-in against the plain formula, and the prior of the sound."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from jobs.recommender import implicit_als

N_ITEMS = 20


def planted(n_users=30):
    """Users of two groups: each plays five of the ten even, or of the ten odd items, some more often."""
    rng = np.random.default_rng(0)
    played = np.zeros((n_users, N_ITEMS), dtype=np.float32)
    for user in range(n_users):
        items = rng.choice(np.arange(user % 2, N_ITEMS, 2), 5, replace=False)
        played[user, items] = np.log1p(rng.integers(1, 9, size=5))
    return csr_array(played)


def plain_fold_in(factors, chosen, confidences, regularization):
    """The formula of the paper with dense matrices: (Y'CY + rI)^-1 Y'Cp, C = 1 + c."""
    weights = np.ones(len(factors))
    weights[chosen] += confidences
    preference = np.zeros(len(factors))
    preference[chosen] = 1
    system = factors.T @ np.diag(weights) @ factors + regularization * np.eye(factors.shape[1])
    return np.linalg.solve(system, factors.T @ (weights * preference))


@pytest.mark.parametrize("n_chosen", [1, 2, 7])  # below and above half of the dimensions
def test_fold_in_is_the_formula(n_chosen):
    factors = np.random.default_rng(1).standard_normal((12, 6))
    chosen, confidences = np.arange(n_chosen), np.linspace(0.5, 3, n_chosen)
    constant = implicit_als.constant_part(factors, 2.0)
    scale = implicit_als._CONFIDENCE_SCALE
    found = implicit_als.fold_in(factors[chosen], confidences, constant)
    np.testing.assert_allclose(found, plain_fold_in(factors, chosen, scale * confidences, 2.0), rtol=1e-9)


def test_planted_group_is_recommended_from_the_first_play():
    factors = implicit_als.fit_item_factors(planted(), 5.0).astype(float)
    constant = implicit_als.constant_part(factors, 5.0)
    for item in range(N_ITEMS):
        scores = factors @ implicit_als.fold_in(factors[[item]], np.log1p([1.0]), constant)
        scores[item] = -1
        assert set(np.argsort(-scores)[:3] % 2) == {item % 2}


def test_fit_is_repeatable_and_an_item_without_plays_has_zeros():
    played = planted().toarray()
    played[:, 3] = 0
    factors = implicit_als.fit_item_factors(csr_array(played), 1.0)
    assert not factors[3].any() and factors[4].any()
    np.testing.assert_array_equal(factors, implicit_als.fit_item_factors(csr_array(played), 1.0))


def test_blocks_change_nothing(monkeypatch):
    whole = implicit_als.fit_item_factors(planted(), 1.0)
    monkeypatch.setattr(implicit_als, "_BLOCK_VALUES", 1)
    np.testing.assert_allclose(implicit_als.fit_item_factors(planted(), 1.0), whole, atol=1e-4)


def test_sound_gives_factors_to_cold_items_only():
    groups = np.arange(N_ITEMS) % 2
    vectors = np.eye(2, dtype=np.float32)[groups]
    factors = np.eye(2, dtype=np.float32)[groups] * 3
    factors[[0, 1]] = 0
    listeners = np.full(N_ITEMS, 1_000)
    listeners[[0, 1]] = 0
    moved = implicit_als.add_sound(factors, vectors, listeners, 2.0)
    assert moved[0].argmax() == 0 and moved[1].argmax() == 1 and moved[:2].max(axis=1).min() > 1
    np.testing.assert_allclose(moved[2:], factors[2:], atol=0.01)
    assert implicit_als.add_sound(factors, vectors, listeners, 0.0) is factors
