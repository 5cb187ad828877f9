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


def planted_plays(unplayed=()):
    """Sixty users of one genre and one scene each: three of its tracks, and one track at random."""
    rng = np.random.default_rng(2)
    pairs = set()
    for user in range(60):
        genre, scene = user % N_GENRES, user // N_GENRES % N_SCENES
        liked = np.flatnonzero((genre == GENRE) & (scene == SCENE))
        tracks = [*rng.choice(liked, 3, replace=False), rng.integers(N_TRACKS)]
        pairs |= {(user, int(track)) for track in tracks}
    users, tracks = np.array(sorted(pair for pair in pairs if pair[1] not in unplayed)).T
    return collaborative.confidence_matrix(users, tracks, np.ones(len(users)), N_TRACKS)


def neighbours(similar, track):
    return similar.indices[similar.indptr[track] : similar.indptr[track + 1]]


def precision_at_4(similar, is_same):
    """Return the fraction of the four most similar items of every track that are the same."""
    return np.mean([is_same[track, neighbours(similar, track)[:4]].mean() for track in range(N_TRACKS)])


@pytest.mark.parametrize("model", ["bm25", "ease", "bm25+ease"])
def test_plays_find_the_scene_within_the_genre(vectors, model):
    config = CollaborativeConfig(model=model, ease_regularization=20.0)
    similar = collaborative.similar_items(planted_plays(), vectors, config)
    assert precision_at_4(similar, IS_SAME_SCENE) > 0.7  # by chance .14


def test_ease_is_the_closed_form(vectors, monkeypatch):
    """Dense numpy after Steck 2019; by users and by tracks, with and without the vectors' rows."""
    plays = planted_plays()
    for content_weight in (0.0, 0.5):
        config = CollaborativeConfig(model="ease", ease_regularization=3.0, content_weight=content_weight)
        rows = (plays.toarray() > 0).astype(float)
        plays_per_track = rows.sum() / (rows.sum(axis=0) > 0).sum()
        if content_weight:
            rows = np.vstack([rows, np.sqrt(content_weight * plays_per_track) * vectors.T])
        inverse = np.linalg.inv(rows.T @ rows + 3 * np.eye(N_TRACKS))
        expected = -inverse / np.diag(inverse)
        np.fill_diagonal(expected, 0)
        expected = np.maximum(expected, 0) / expected.max()
        by_tracks = collaborative.similar_items(plays, vectors, config)
        np.testing.assert_allclose(by_tracks.toarray(), expected, atol=1e-4)
        monkeypatch.setattr(collaborative, "_inverse_by_tracks", collaborative._inverse_by_users)
        by_users = collaborative.similar_items(plays, vectors, config)
        np.testing.assert_allclose(by_users.toarray(), expected, atol=1e-4)
        monkeypatch.undo()


def test_unplayed_track_has_similar_items_by_content_only(vectors):
    plays = planted_plays(unplayed={0})
    plays_only = CollaborativeConfig(model="ease")
    with_content = CollaborativeConfig(model="ease", content_weight=1.0)
    assert not neighbours(collaborative.similar_items(plays, vectors, plays_only), 0).size
    found = neighbours(collaborative.similar_items(plays, vectors, with_content), 0)
    assert set(GENRE[found[:4]]) == {GENRE[0]}


def test_rows_are_best_first_in_0_to_1_without_the_track(vectors):
    similar = collaborative.similar_items(planted_plays(), vectors, CollaborativeConfig())
    assert similar.data.max() == 1 and similar.data.min() > 0 and not similar.diagonal().any()
    for track in range(N_TRACKS):
        assert (np.diff(similar.data[similar.indptr[track] : similar.indptr[track + 1]]) <= 0).all()


@pytest.mark.parametrize("model", ["bm25", "ease", "bm25+ease"])
def test_without_plays_there_are_no_similar_items(vectors, model):
    nothing = np.zeros(0, dtype=int)
    confidences = collaborative.confidence_matrix(nothing, nothing, nothing, N_TRACKS)
    config = CollaborativeConfig(model=model)
    assert collaborative.similar_items(confidences, vectors, config).nnz == 0


def test_bm25_is_the_formula_and_counts_repeated_plays():
    # Of two tracks with one user in common each, the one with more plays is more similar.
    users, tracks = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2])
    confidences = collaborative.confidence_matrix(users, tracks, np.array([1, 9, 1, 1]), 3)
    config = CollaborativeConfig(saturation=1.2, length_damping=0.5)
    similar = collaborative.similar_items(confidences, np.zeros((3, 1)), config)
    assert neighbours(similar, 0).tolist() == [1, 2]
    plays = confidences.toarray().T
    lengths = plays.sum(axis=1) / plays.sum(axis=1).mean()
    weights = plays * 2.2 / (1.2 * (0.5 + 0.5 * lengths[:, None]) + plays) * np.log1p(3 / (1 + 2))
    products = weights @ weights.T
    np.testing.assert_allclose(similar[[0], :].toarray()[0, 1:], products[0, 1:] / products[0, 1], rtol=1e-5)


def test_history_is_capped_to_its_most_played_tracks():
    users = np.array([0] * 6 + [1, 1])
    tracks, counts = np.array([0, 1, 2, 3, 4, 5, 1, 2]), np.array([1, 5, 1, 9, 1, 7, 1, 1])
    capped = collaborative.most_played(collaborative.confidence_matrix(users, tracks, counts, 6), 3)
    assert capped.nnz == 5
    assert np.flatnonzero(capped.toarray()[0]).tolist() == [1, 3, 5]
    assert np.flatnonzero(capped.toarray()[1]).tolist() == [1, 2]
