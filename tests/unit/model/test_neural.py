"""A network learns a planted company that the sound alone does not show, and says so on tracks it has never seen."""

import argparse
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.cli import parse
from jobs.errors import InputError
from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.model import neural
from jobs.model.embedding import Embedder, l2_normalize
from jobs.plays import play_log
from jobs.steps import embed
from tests import synthetic_features as planted_lake


def arguments(**changed):
    names = {
        "neural_labels": "genre",
        "learning_rate": 3e-3,
        "batch_size": 32,
        "epochs": 150,
        "width": 32,
        "neural_seed": 0,
    }
    return argparse.Namespace(**{**names, **changed})


def planted(tracks=240, seed=0):
    """Vectors whose first numbers, small beside the others, hold the genre; three tracks an artist."""
    rng = np.random.default_rng(seed)
    genres = np.arange(tracks) // 3 % 4
    vectors = np.hstack(
        [0.8 * np.eye(4)[genres] + 0.1 * rng.standard_normal((tracks, 4)), rng.standard_normal((tracks, 12))]
    )
    ids = [f"t{i:03d}" for i in range(tracks)]
    told = {ids[i]: f"{neural.cv_fold(f'artist {i // 3}')}|{genres[i]}" for i in range(tracks)}
    return vectors, ids, told, genres


def precision(vectors, genres):
    cosines = l2_normalize(vectors) @ l2_normalize(vectors).T - 3 * np.eye(len(vectors))
    return np.mean(genres[np.argsort(-cosines, axis=1)[:, :5]] == genres[:, None])


def with_network(vectors, layers):
    none = np.zeros((0, 0))
    return Embedder("neural", (), (), (), 0.0, none, none, layers).network(vectors)


def test_what_it_never_saw_is_better_than_before():
    vectors, ids, told, genres = planted()
    layers, measured = neural.train(vectors, ids, told, arguments())
    unseen = [i for i, track in enumerate(ids) if told[track].startswith("test")]
    before, after = (
        precision(vectors[unseen], genres[unseen]),
        precision(with_network(vectors, layers)[unseen], genres[unseen]),
    )
    assert len(unseen) > 30 and after > before + 0.1
    assert measured["loss_curve"][-1] < measured["loss_curve"][0]
    assert measured["held_out_tracks"] == len(unseen) and measured["epochs_run"] == len(
        measured["validation_curve"]
    )


def test_training_stops_when_it_gets_no_better():
    vectors, ids, _, _ = planted()
    rng = np.random.default_rng(1)
    noise = {track: f"{neural.cv_fold(track)}|{rng.integers(4)}" for track in ids}  # nothing to learn
    _, measured = neural.train(vectors, ids, noise, arguments(epochs=500, learning_rate=1e-2))
    assert measured["epochs_run"] < 500
    assert measured["epochs_run"] - int(np.argmin(measured["validation_curve"])) == neural.PATIENCE + 1


def test_the_same_seed_gives_the_same_network():
    vectors, ids, told, _ = planted()
    few = [neural.train(vectors, ids, told, arguments(epochs=3, neural_seed=seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(few[0][0][0], few[1][0][0])
    assert not np.array_equal(few[0][0][0], few[2][0][0])


def test_too_little_to_learn_from_and_bad_arguments_are_said():
    vectors, ids, _, _ = planted(tracks=12)
    with pytest.raises(InputError, match="expected 10 tracks to learn from, found 2"):
        neural.train(vectors, ids, {ids[0]: "train|a", ids[1]: "train|b"}, arguments())
    with pytest.raises(InputError, match="--batch-size: expected a positive number, found 0"):
        neural.parse_parameters(arguments(batch_size=0))


def test_an_artist_is_in_one_fold_and_folds_have_their_shares():
    folds = [neural.cv_fold(f"artist {i}") for i in range(1000)]
    assert neural.cv_fold("artist 1") == folds[1]
    assert 150 < folds.count("test") < 250 and 60 < folds.count("stop") < 140


def test_of_plays_it_learns_from_those_before_the_ones_that_are_asked_about(tmp_path, monkeypatch):
    """Forty plays, then ten more; a quarter of them of a player that does not say the session."""
    lake, begin = Lake(tmp_path), datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
    planted_lake.write(lake)
    plays = [
        {**dict.fromkeys(PLAYS.names), "event_id": f"{n:02d}", "user_id": "u", "track_id": f"{n % 40:03d}"}
        | {
            "event": ("finished", "liked")[n % 2],
            "played_at": begin + timedelta(minutes=n),
            "origin": "o",
            "offset": n,
        }
        | {"session_id": "later" if n >= 40 else "s" if n % 4 else None}
        for n in range(50)
    ]
    play_log.play_table(lake).append("0", play_log.to_arrow(plays))
    play_log.compact(lake)
    told = {}

    def train(projected, ids, labels, arguments):
        told.update(labels)
        raise KeyboardInterrupt

    monkeypatch.setattr(neural, "train", train)
    with pytest.raises(KeyboardInterrupt):
        embed.main(
            parse(["embed", "--recipe", "neural", "--neural-labels", "plays", "--lake", str(tmp_path)])
        )
    assert told == {
        f"{n:03d}": f"{neural.cv_fold(f'artist {n}')}|{'s' if n % 4 else 'u 2026-11-01'}" for n in range(40)
    }
