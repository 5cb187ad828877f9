"""A network learns planted labels that the sound alone does not show, and generalizes to held-out artists."""

import dataclasses

import numpy as np
import pytest

from jobs.cli import parse
from jobs.errors import InputError
from jobs.model import neural
from jobs.model.embedding import Embedder, l2_normalize
from jobs.model.neural_labels import TEST, TRAIN, TrackLabels, cv_fold

CONFIG = neural.NeuralConfig(
    neural_labels="genre",
    learning_rate=3e-3,
    batch_size=32,
    epochs=150,
    width=32,
    neural_seed=0,
    backend=neural.backend(),
)


def planted(tracks=240, seed=0):
    """Vectors whose first numbers, small beside the others, hold the genre; three tracks per artist."""
    rng = np.random.default_rng(seed)
    genres = np.arange(tracks) // 3 % 4
    informative = 0.8 * np.eye(4)[genres] + 0.1 * rng.standard_normal((tracks, 4))
    vectors = np.hstack([informative, rng.standard_normal((tracks, 12))])
    ids = [f"t{i:03d}" for i in range(tracks)]
    labels = {ids[i]: TrackLabels(cv_fold(f"artist {i // 3}"), (str(genres[i]),)) for i in range(tracks)}
    return vectors, ids, labels, genres


def precision(vectors, genres):
    cosines = l2_normalize(vectors) @ l2_normalize(vectors).T - 3 * np.eye(len(vectors))
    return np.mean(genres[np.argsort(-cosines, axis=1)[:, :5]] == genres[:, None])


def apply_network(vectors, layers):
    empty = np.zeros((0, 0))
    embedder = Embedder(
        recipe="neural",
        columns=(),
        groups=(),
        genres=(),
        genre_share=0.0,
        center=empty,
        loadings=empty,
        layers=layers,
    )
    return embedder.network(vectors)


def test_held_out_tracks_are_more_precise_after_training():
    vectors, ids, labels, genres = planted()
    layers, report = neural.train(vectors, ids, labels, CONFIG)
    held_out = [i for i, track_id in enumerate(ids) if labels[track_id].fold == TEST]
    before = precision(vectors[held_out], genres[held_out])
    after = precision(apply_network(vectors, layers)[held_out], genres[held_out])
    assert len(held_out) > 30 and after > before + 0.1
    assert report.loss_curve[-1] < report.loss_curve[0]
    assert report.held_out_tracks == len(held_out)
    assert report.epochs_run == len(report.validation_curve)


def test_training_stops_without_improvement():
    vectors, ids, _, _ = planted()
    rng = np.random.default_rng(1)
    noise = {track_id: TrackLabels(cv_fold(track_id), (str(rng.integers(4)),)) for track_id in ids}
    config = dataclasses.replace(CONFIG, epochs=500, learning_rate=1e-2)
    _, report = neural.train(vectors, ids, noise, config)
    assert report.epochs_run < 500
    assert report.epochs_run - int(np.argmin(report.validation_curve)) == neural.PATIENCE + 1


def test_same_seed_gives_same_network():
    vectors, ids, labels, _ = planted()
    networks = []
    for seed in (0, 0, 1):
        config = dataclasses.replace(CONFIG, epochs=3, neural_seed=seed)
        networks.append(neural.train(vectors, ids, labels, config)[0])
    np.testing.assert_array_equal(networks[0][0][0], networks[1][0][0])
    assert not np.array_equal(networks[0][0][0], networks[2][0][0])


def test_too_few_training_tracks_are_refused():
    vectors, ids, _, _ = planted(tracks=12)
    labels = {ids[0]: TrackLabels(TRAIN, ("a",)), ids[1]: TrackLabels(TRAIN, ("b",))}
    with pytest.raises(InputError, match="expected 10 tracks to train on, found 2"):
        neural.train(vectors, ids, labels, CONFIG)


def test_option_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="--batch-size: expected a positive number, found 0"):
        neural.parse_config(parse(["embed", "--recipe", "neural", "--batch-size", "0"]))
