"""Links that are planted: tracks of two scenes within each genre; the sound knows the genre, the plays know both."""

import numpy as np
import pytest

from jobs.model.embedding import l2_normalize
from jobs.recommender import collaborative

GENRES, SCENES, EACH = 3, 2, 5
TRACKS = GENRES * SCENES * EACH
GENRE = np.arange(TRACKS) % GENRES
SCENE = np.arange(TRACKS) // GENRES % SCENES


@pytest.fixture
def vectors():
    noise = np.random.default_rng(1).standard_normal((TRACKS, GENRES))
    return l2_normalize(np.eye(GENRES)[GENRE] + 0.1 * noise).astype(np.float32)


def listened(silent=()):
    """Thirty listeners of one genre and one scene each, who have heard half of it, and now and then something else."""
    rng = np.random.default_rng(2)
    pairs = set()
    for user in range(60):
        own = np.flatnonzero((user % GENRES == GENRE) & (user // GENRES % SCENES == SCENE))
        pairs |= {(user, int(track)) for track in [*rng.choice(own, 3, replace=False), rng.integers(TRACKS)]}
    users, tracks = np.array(sorted(pair for pair in pairs if pair[1] not in silent)).T
    return collaborative.interaction_matrix(users, tracks, TRACKS)


def share(links, alike):
    """Return the share of the four strongest links of every track that lead to one that is alike."""
    return np.mean([alike[number, others[:4]].mean() for number, (others, _) in links.items()])


def test_plays_find_the_scene_within_the_genre(vectors):
    same = (GENRE[:, None] == GENRE) & (SCENE[:, None] == SCENE)
    recipe = collaborative.CollaborativeConfig(content_weight=0.2)
    links = collaborative.item_similarities(collaborative.factorize(listened(), vectors, recipe), recipe)
    assert len(links) == TRACKS and share(links, same) > 0.95
    by_sound = collaborative.CollaborativeConfig(content_weight=1e6, shrinkage=0.1)
    links = collaborative.item_similarities(collaborative.factorize(listened(), vectors, by_sound), by_sound)
    assert share(links, same) < 0.7 and share(links, GENRE[:, None] == GENRE) > 0.95


def test_what_nobody_has_played_is_found_by_its_sound_alone(vectors):
    recipe, without = (
        collaborative.CollaborativeConfig(content_weight=0.2),
        collaborative.CollaborativeConfig(content_weight=0.0),
    )
    heard = listened(silent={0})
    assert 0 not in collaborative.item_similarities(collaborative.factorize(heard, vectors, without), without)
    others, _ = collaborative.item_similarities(collaborative.factorize(heard, vectors, recipe), recipe)[0]
    assert set(GENRE[others[:4]]) == {GENRE[0]}


def test_strengths_are_ordered_within_0_and_1_and_power_parts_them(vectors):
    factors = collaborative.factorize(listened(), vectors, collaborative.CollaborativeConfig())
    one, three = (
        collaborative.item_similarities(factors, collaborative.CollaborativeConfig(power=power))
        for power in (1.0, 3.0)
    )
    assert max(strengths[0] for _, strengths in one.values()) == pytest.approx(1.0)
    for number, (others, strengths) in one.items():
        assert number not in others and (np.diff(strengths) <= 0).all() and strengths[-1] > 0
        np.testing.assert_allclose(three[number][1], strengths**3, rtol=1e-4)


def test_few_directions_of_many_are_the_strongest(vectors, monkeypatch):
    heard, recipe = listened(), collaborative.CollaborativeConfig()
    every = collaborative.factorize(heard, vectors, recipe)
    monkeypatch.setattr(collaborative, "_DENSE", 0)
    monkeypatch.setattr(collaborative, "_DIRECTIONS", TRACKS - 1)
    some = collaborative.factorize(heard, vectors, recipe)
    np.testing.assert_allclose(some @ some.T, every @ every.T, atol=1e-3)


def test_who_has_heard_everything_does_not_outweigh_all_others():
    users = np.array([0] * 600 + [1, 1])
    heard = collaborative.interaction_matrix(users, np.array([*range(600), 1, 2]), 600)
    squares = np.add.reduceat(heard.data**2, heard.indptr[:-1])
    np.testing.assert_allclose(squares, [500, 2], rtol=1e-5)


@pytest.mark.parametrize("dense", [TRACKS, 0])
def test_without_plays_there_are_no_links(vectors, monkeypatch, dense):
    monkeypatch.setattr(collaborative, "_DENSE", dense)
    monkeypatch.setattr(collaborative, "_DIRECTIONS", TRACKS - 1)
    nobody = collaborative.interaction_matrix(np.zeros(0, dtype=int), np.zeros(0, dtype=int), TRACKS)
    assert (
        collaborative.item_similarities(
            collaborative.factorize(nobody, vectors, collaborative.CollaborativeConfig()),
            collaborative.CollaborativeConfig(),
        )
        == {}
    )


def test_of_many_tracks_those_that_may_be_strong_are_compared_and_hardly_a_link_is_missed(monkeypatch):
    """Some hundred directions of tracks of very different lengths; a tenth of all is compared, and the links are there."""
    rng = np.random.default_rng(5)
    around = rng.standard_normal((120, 24))
    factors = around[rng.integers(120, size=3_000)] + 0.5 * rng.standard_normal((3_000, 24))
    factors = (factors * rng.pareto(2.0, size=(3_000, 1))).astype(np.float32)
    factors[:50] = 0.0  # what nobody has heard and sounds like nothing
    exact = collaborative.item_similarities(factors, collaborative.CollaborativeConfig())
    monkeypatch.setattr(collaborative, "_COMPARED", 1_000)
    monkeypatch.setattr(collaborative, "_WANTED", 10)
    monkeypatch.setattr(collaborative, "_STRONG", 100)
    compared = sum(len(own) * len(others) for own, others in collaborative._compared(factors))
    assert compared < 0.15 * len(factors) ** 2
    found = collaborative.item_similarities(factors, collaborative.CollaborativeConfig())
    assert set(found) == set(exact) and not set(range(50)) & set(found)
    shared = [
        len({*others[:10]} & {*found[number][0][:10]}) / len(others[:10])
        for number, (others, _) in exact.items()
    ]
    assert np.mean(shared) > 0.95
    monkeypatch.setattr(collaborative, "_STRONG", 0)  # without those the popular ones are missed
    missed = collaborative.item_similarities(factors, collaborative.CollaborativeConfig())
    shared = [
        len({*others[:10]} & {*missed[number][0][:10]}) / len(others[:10])
        for number, (others, _) in exact.items()
    ]
    assert np.mean(shared) < 0.9
