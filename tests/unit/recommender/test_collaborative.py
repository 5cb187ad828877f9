"""Planted similarities: tracks of two scenes within each genre.

The vectors know the genre, the plays know both.
"""

import numpy as np
import pytest

from jobs.model.embedding import l2_normalize
from jobs.recommender import collaborative
from jobs.recommender.collaborative import CollaborativeConfig

N_GENRES, N_SCENES, TRACKS_PER_SCENE = 3, 2, 5
N_TRACKS = N_GENRES * N_SCENES * TRACKS_PER_SCENE
GENRE = np.arange(N_TRACKS) % N_GENRES
SCENE = np.arange(N_TRACKS) // N_GENRES % N_SCENES
IS_SAME_GENRE = GENRE[:, None] == GENRE
IS_SAME_SCENE = IS_SAME_GENRE & (SCENE[:, None] == SCENE)


@pytest.fixture
def vectors():
    noise = np.random.default_rng(1).standard_normal((N_TRACKS, N_GENRES))
    return l2_normalize(np.eye(N_GENRES)[GENRE] + 0.1 * noise).astype(np.float32)


def planted_interactions(unplayed=()):
    """Sixty users of one genre and one scene each: three of its tracks, and one track at random."""
    rng = np.random.default_rng(2)
    pairs = set()
    for user in range(60):
        genre, scene = user % N_GENRES, user // N_GENRES % N_SCENES
        liked = np.flatnonzero((genre == GENRE) & (scene == SCENE))
        tracks = [*rng.choice(liked, 3, replace=False), rng.integers(N_TRACKS)]
        pairs |= {(user, int(track)) for track in tracks}
    users, tracks = np.array(sorted(pair for pair in pairs if pair[1] not in unplayed)).T
    return collaborative.interaction_matrix(users, tracks, N_TRACKS)


def similar_items(interactions, vectors, config):
    return collaborative.item_similarities(collaborative.factorize(interactions, vectors, config), config)


def precision_at_4(similar, is_same):
    """Return the fraction of the four most similar items of every track that are the same."""
    return np.mean([is_same[track, neighbours[:4]].mean() for track, (neighbours, _) in similar.items()])


def test_plays_find_the_scene_within_the_genre(vectors):
    config = CollaborativeConfig(content_weight=0.2)
    by_plays = similar_items(planted_interactions(), vectors, config)
    assert len(by_plays) == N_TRACKS and precision_at_4(by_plays, IS_SAME_SCENE) > 0.95
    config = CollaborativeConfig(content_weight=1e6, shrinkage=0.1)
    by_content = similar_items(planted_interactions(), vectors, config)
    assert precision_at_4(by_content, IS_SAME_SCENE) < 0.7
    assert precision_at_4(by_content, IS_SAME_GENRE) > 0.95


def test_unplayed_track_has_similar_items_by_content_only(vectors):
    interactions = planted_interactions(unplayed={0})
    plays_only = CollaborativeConfig(content_weight=0.0)
    with_content = CollaborativeConfig(content_weight=0.2)
    assert 0 not in similar_items(interactions, vectors, plays_only)
    neighbours, _ = similar_items(interactions, vectors, with_content)[0]
    assert set(GENRE[neighbours[:4]]) == {GENRE[0]}


def test_scores_are_sorted_in_0_to_1_and_raised_to_power(vectors):
    factors = collaborative.factorize(planted_interactions(), vectors, CollaborativeConfig())
    linear = collaborative.item_similarities(factors, CollaborativeConfig(power=1.0))
    cubic = collaborative.item_similarities(factors, CollaborativeConfig(power=3.0))
    assert max(similar.scores[0] for similar in linear.values()) == pytest.approx(1.0)
    for track, (neighbours, scores) in linear.items():
        assert track not in neighbours and (np.diff(scores) <= 0).all() and scores[-1] > 0
        np.testing.assert_allclose(cubic[track].scores, scores**3, rtol=1e-4)


def test_few_directions_are_the_strongest_of_all(vectors, monkeypatch):
    interactions, config = planted_interactions(), CollaborativeConfig()
    all_directions = collaborative.factorize(interactions, vectors, config)
    monkeypatch.setattr(collaborative, "_MAX_DENSE_TRACKS", 0)
    monkeypatch.setattr(collaborative, "_MAX_DIRECTIONS", N_TRACKS - 1)
    strongest = collaborative.factorize(interactions, vectors, config)
    np.testing.assert_allclose(strongest @ strongest.T, all_directions @ all_directions.T, atol=1e-3)


def test_user_with_every_track_counts_like_500_tracks():
    users = np.array([0] * 600 + [1, 1])
    interactions = collaborative.interaction_matrix(users, np.array([*range(600), 1, 2]), 600)
    squared_lengths = np.add.reduceat(interactions.data**2, interactions.indptr[:-1])
    np.testing.assert_allclose(squared_lengths, [500, 2], rtol=1e-5)


@pytest.mark.parametrize("max_dense_tracks", [N_TRACKS, 0])
def test_without_plays_there_are_no_similar_items(vectors, monkeypatch, max_dense_tracks):
    monkeypatch.setattr(collaborative, "_MAX_DENSE_TRACKS", max_dense_tracks)
    monkeypatch.setattr(collaborative, "_MAX_DIRECTIONS", N_TRACKS - 1)
    nothing = np.zeros(0, dtype=int)
    interactions = collaborative.interaction_matrix(nothing, nothing, N_TRACKS)
    assert similar_items(interactions, vectors, CollaborativeConfig()) == {}


def recall_at_10(exact, approximate):
    recalls = []
    for track, (neighbours, _) in exact.items():
        best = {*neighbours[:10].tolist()}
        recalls.append(len(best & {*approximate[track].indices[:10].tolist()}) / len(best))
    return np.mean(recalls)


@pytest.mark.slow
def test_search_by_cluster_compares_a_tenth_and_keeps_recall(monkeypatch):
    """About a hundred directions of tracks of very different lengths."""
    rng = np.random.default_rng(5)
    centers = rng.standard_normal((120, 24))
    factors = centers[rng.integers(120, size=3_000)] + 0.5 * rng.standard_normal((3_000, 24))
    factors = (factors * rng.pareto(2.0, size=(3_000, 1))).astype(np.float32)
    factors[:50] = 0.0  # tracks that nobody plays and that sound like nothing
    config = CollaborativeConfig()
    exact = collaborative.item_similarities(factors, config)
    monkeypatch.setattr(collaborative, "_MAX_EXACT_TRACKS", 1_000)
    monkeypatch.setattr(collaborative, "_SEARCHED_NEIGHBOURS", 10)
    monkeypatch.setattr(collaborative, "_N_STRONG", 100)
    n_compared = sum(
        len(queries) * len(candidates) for queries, candidates in collaborative._compared(factors)
    )
    assert n_compared < 0.15 * len(factors) ** 2
    approximate = collaborative.item_similarities(factors, config)
    assert set(approximate) == set(exact) and not set(range(50)) & set(approximate)
    assert recall_at_10(exact, approximate) > 0.95
    monkeypatch.setattr(
        collaborative, "_N_STRONG", 0
    )  # without the strong tracks the popular ones are missed
    assert recall_at_10(exact, collaborative.item_similarities(factors, config)) < 0.9


def test_bm25_finds_the_scene_and_counts_repeated_plays():
    interactions = planted_interactions()
    pairs = interactions.tocoo()
    counts = np.ones(interactions.nnz)
    confidences = collaborative.confidence_matrix(*pairs.coords, counts, N_TRACKS)
    assert precision_at_4(collaborative.bm25_similarities(confidences), IS_SAME_SCENE) > 0.8
    # Of two tracks with one user in common each, the one with more plays is more similar.
    users, tracks = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2])
    confidences = collaborative.confidence_matrix(users, tracks, np.array([1, 9, 1, 1]), 3)
    similar = collaborative.bm25_similarities(confidences)
    assert similar[0].indices.tolist() == [1, 2] and similar[0].scores[0] > similar[0].scores[1]


def test_bm25_without_plays_is_empty():
    nothing = np.zeros(0, dtype=int)
    confidences = collaborative.confidence_matrix(nothing, nothing, nothing, N_TRACKS)
    assert collaborative.bm25_similarities(confidences) == {}
