"""The `neural` recipe: a small network moves each track towards its positives, by genre or co-listening.

The network is one hidden layer of rectified units whose output is added to the `timbre` vector, so that
training starts from the sound alone. With PyTorch installed it is trained by the supervised contrastive loss
(Khosla et al. 2020): within a batch, a softmax of the cosines is to pick a track's positives among all
others. Otherwise scikit-learn trains it to predict the difference to the mean of the positives (a center
loss, Wen et al. 2016). Either way the result is two matrices that numpy applies.

Tracks of one artist are in one fold: a fifth of the artists is held out for `evaluate`, a tenth decides when
to stop. The plays that `evaluate` holds out are not trained on either.
"""

import argparse
import dataclasses
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.errors import InputError
from jobs.model.embedding import Embedder
from jobs.model.neural_labels import MIN_TRACKS, TEST, TRAIN, VALIDATION, TrackLabels

# (weights, bias) of the hidden and of the output layer.
Layers = tuple[tuple[np.ndarray, np.ndarray], ...]

# Epochs without a better validation loss before training ends.
PATIENCE = 10
# Temperature of the contrastive softmax.
_TEMPERATURE = 0.1
# Tracks that the contrastive validation loss is computed on: it compares all pairs.
_MAX_VALIDATION_TRACKS = 1_000


@dataclass(frozen=True, kw_only=True)
class NeuralConfig:
    """What `--recipe neural` is trained with; the fields are parameters of the MLflow run."""

    neural_labels: str
    learning_rate: float
    batch_size: int
    epochs: int
    width: int
    neural_seed: int
    backend: str


@dataclass(frozen=True)
class TrainingReport:
    """What was measured while training: the losses of every epoch, and the number of tracks of each use."""

    loss_curve: list[float]
    validation_curve: list[float]
    train_tracks: int
    held_out_tracks: int
    epochs_run: int


@dataclass(frozen=True)
class _Epoch:
    """The network after an epoch, and its losses."""

    layers: Layers
    loss: float
    validation_loss: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `--recipe neural`."""
    group = parser.add_argument_group("--recipe neural")
    group.add_argument(
        "--neural-labels",
        choices=("genre", "plays"),
        default="genre",
        help="labels to train on (default genre)",
    )
    group.add_argument("--learning-rate", type=float, default=1e-3, help="Adam learning rate (default 0.001)")
    group.add_argument("--batch-size", type=int, default=128, help="batch size in tracks (default 128)")
    group.add_argument("--epochs", type=int, default=200, help="maximum epochs (default 200)")
    group.add_argument("--width", type=int, default=128, help="units of the hidden layer (default 128)")
    group.add_argument(
        "--neural-seed", type=int, default=0, help="random seed of weights and batches (default 0)"
    )


def parse_config(arguments: argparse.Namespace) -> NeuralConfig:
    """Return the options, checked. Raises InputError for a value that is not positive."""
    for name in ("learning_rate", "batch_size", "epochs", "width"):
        value = getattr(arguments, name)
        if value <= 0:
            raise InputError(f"--{name.replace('_', '-')}: expected a positive number, found {value}")
    return NeuralConfig(
        neural_labels=arguments.neural_labels,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        width=arguments.width,
        neural_seed=arguments.neural_seed,
        backend=backend(),
    )


def backend() -> str:
    """Return which library trains: "torch" where it is installed, else "sklearn"."""
    return "torch" if importlib.util.find_spec("torch") else "sklearn"


def add_network(embedder: Embedder, layers: Layers) -> Embedder:
    """Return the same embedder with a network."""
    return dataclasses.replace(embedder, layers=layers)


def train(
    projected: np.ndarray, ids: Sequence[str], labels: dict[str, TrackLabels], config: NeuralConfig
) -> tuple[Layers, TrainingReport]:
    """Return the network's layers and what was measured.

    Training ends PATIENCE epochs after the best validation loss; the weights are those of the best epoch.
    Raises InputError if too few tracks are in the training fold.

    Parameters
    ----------
    projected : (tracks, d)
        `Embedder.project` of the tracks.
    ids : one track_id per row
    """
    unlabelled = TrackLabels("none", ())
    track_labels = [labels.get(track_id, unlabelled) for track_id in ids]
    names = [frozenset(track.names) for track in track_labels]
    folds = np.array([track.fold for track in track_labels])
    train_rows, validation_rows = _split_rows(folds)
    scale = float(np.sqrt(np.mean(projected**2))) or 1.0
    train_epochs = _torch_epochs if config.backend == "torch" else _sklearn_epochs
    best: Layers | None = None
    losses: list[float] = []
    validation_losses: list[float] = []
    for epoch in train_epochs(projected / scale, names, train_rows, validation_rows, config):
        if best is None or epoch.validation_loss < min(validation_losses) - 1e-6:
            best = epoch.layers
        losses.append(round(epoch.loss, 6))
        validation_losses.append(round(epoch.validation_loss, 6))
        if len(validation_losses) - int(np.argmin(validation_losses)) > PATIENCE:
            break
    assert best is not None
    (hidden_weights, hidden_bias), (output_weights, output_bias) = best
    layers = ((hidden_weights / scale, hidden_bias), (output_weights * scale, output_bias * scale))
    return layers, TrainingReport(
        loss_curve=losses,
        validation_curve=validation_losses,
        train_tracks=len(train_rows),
        held_out_tracks=int(np.sum(folds == TEST)),
        epochs_run=len(losses),
    )


def _split_rows(folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those that decide when to stop."""
    train_rows = np.flatnonzero(folds == TRAIN)
    validation_rows = np.flatnonzero(folds == VALIDATION)
    if len(train_rows) < MIN_TRACKS // 2:
        raise InputError(
            f"--recipe neural: expected {MIN_TRACKS // 2} tracks to train on, found {len(train_rows)}"
        )
    if len(validation_rows) < 2:  # hardly any artists: the last tenth of the training tracks
        n_validation = max(len(train_rows) // 10, 2)
        return train_rows[:-n_validation], train_rows[-n_validation:]
    return train_rows, validation_rows


def _sklearn_epochs(
    vectors: np.ndarray,
    names: list[frozenset[str]],
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    config: NeuralConfig,
) -> Iterator[_Epoch]:
    """Train by the center loss with scikit-learn; yield after each epoch."""
    from sklearn.neural_network import MLPRegressor

    targets = _center_targets(vectors, names, train_rows, validation_rows)
    model = MLPRegressor(
        hidden_layer_sizes=(config.width,),
        learning_rate_init=config.learning_rate,
        batch_size=min(config.batch_size, len(train_rows)),
        random_state=config.neural_seed,
    )
    rng = np.random.default_rng(config.neural_seed)
    for _ in range(config.epochs):
        shuffled = rng.permutation(train_rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn has its own criterion of convergence
            model.partial_fit(vectors[shuffled], targets[shuffled])
        layers = tuple((w.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True))
        errors = model.predict(vectors[validation_rows]) - targets[validation_rows]
        yield _Epoch(layers, float(model.loss_), float(np.mean(errors**2)))


def _center_targets(
    vectors: np.ndarray, names: list[frozenset[str]], train_rows: np.ndarray, validation_rows: np.ndarray
) -> np.ndarray:
    """Return each track's difference (tracks, d) to the mean of its labels' centers; 0 without labels.

    The center of a label is the mean of the training tracks that have it.
    """
    members: dict[str, list[int]] = {}
    for row in train_rows:
        for name in names[row]:
            members.setdefault(name, []).append(row)
    centers = {name: vectors[rows].mean(axis=0) for name, rows in members.items()}
    targets = np.zeros_like(vectors)
    for row in (*train_rows, *validation_rows):
        track_centers = [centers[name] for name in sorted(names[row]) if name in centers]
        if track_centers:
            targets[row] = np.mean(track_centers, axis=0) - vectors[row]
    return targets


def _torch_epochs(
    vectors: np.ndarray,
    names: list[frozenset[str]],
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    config: NeuralConfig,
) -> Iterator[_Epoch]:
    """Train by the supervised contrastive loss with PyTorch; yield after each epoch."""
    import torch

    torch.manual_seed(config.neural_seed)
    x = torch.tensor(vectors, dtype=torch.float32)
    hidden = torch.nn.Linear(x.shape[1], config.width)
    output = torch.nn.Linear(config.width, x.shape[1])
    torch.nn.init.zeros_(output.weight)
    optimizer = torch.optim.Adam([*hidden.parameters(), *output.parameters()], lr=config.learning_rate)

    def contrastive_loss(rows: np.ndarray) -> Any:
        embedded = x[rows] + output(torch.relu(hidden(x[rows])))
        embedded = torch.nn.functional.normalize(embedded, dim=1)
        is_itself = torch.eye(len(rows), dtype=torch.bool)
        cosines = (embedded @ embedded.T / _TEMPERATURE).masked_fill(is_itself, -1e9)
        log_shares = torch.log_softmax(cosines, dim=1)
        shares_label = torch.tensor([[bool(names[i] & names[j]) for j in rows] for i in rows])
        is_positive = shares_label & ~is_itself
        return -(log_shares * is_positive).sum() / is_positive.sum().clamp(min=1)

    rng = np.random.default_rng(config.neural_seed)
    for _ in range(config.epochs):
        shuffled = rng.permutation(train_rows)
        losses = []
        for start in range(0, len(shuffled), config.batch_size):
            optimizer.zero_grad()
            loss = contrastive_loss(shuffled[start : start + config.batch_size])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            validation_loss = float(contrastive_loss(validation_rows[:_MAX_VALIDATION_TRACKS]))
        layers = tuple(
            (layer.weight.detach().double().numpy().T.copy(), layer.bias.detach().double().numpy().copy())
            for layer in (hidden, output)
        )
        yield _Epoch(layers, float(np.mean(losses)), validation_loss)
