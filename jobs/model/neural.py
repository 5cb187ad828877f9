"""The `neural` recipe: a small network moves each track towards those it belongs with, by genre or by co-listening.

The network is one hidden layer of rectified units whose output is added to the `timbre` vector, so that it starts at what
the sound alone says. With PyTorch installed it learns by the supervised contrastive loss (Khosla et al. 2020): in a batch,
a track picks its own company among all others by softmax of the cosine. Otherwise scikit-learn teaches it to predict the
way to the mean of its company (a centre loss, Wen et al. 2016). Either way the result is two matrices that numpy applies.

Tracks of one artist stay together: a fifth of the artists is never learned from, for `evaluate`, a tenth is for stopping.
Nor are the plays that `evaluate` asks about.
"""

import argparse
import dataclasses
import hashlib
import importlib.util
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jobs.errors import InputError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import Embedder

Layers = tuple[tuple[np.ndarray, np.ndarray], ...]

MIN_TRACKS = 20
# Epochs without a better validation loss before training ends.
PATIENCE = 10
# Of the contrastive softmax.
_TEMPERATURE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `--recipe neural` reads."""
    group = parser.add_argument_group("--recipe neural")
    group.add_argument(
        "--neural-labels", choices=("genre", "plays"), default="genre", help="learn from (default genre)"
    )
    group.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam (default 0.001)")
    group.add_argument("--batch-size", type=int, default=128, help="tracks a step (default 128)")
    group.add_argument("--epochs", type=int, default=200, help="at most (default 200)")
    group.add_argument("--width", type=int, default=128, help="units of the hidden layer (default 128)")
    group.add_argument("--neural-seed", type=int, default=0, help="of weights and order (default 0)")


def parse_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that decide what is learned, checked."""
    names = ("neural_labels", "learning_rate", "batch_size", "epochs", "width", "neural_seed")
    found = {name: getattr(arguments, name) for name in names}
    for name in ("learning_rate", "batch_size", "epochs", "width"):
        if found[name] <= 0:
            raise InputError(f"--{name.replace('_', '-')}: expected a positive number, found {found[name]}")
    return found | {"backend": backend()}


def backend() -> str:
    """Return what trains: torch where it is installed, else sklearn."""
    return "torch" if importlib.util.find_spec("torch") else "sklearn"


def labels(
    lake: Lake, keys: Iterable[tuple[str, str]], plays: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Return each track's fold and company, "fold|name|name": genres, or of plays the sessions it was finished or liked in.

    Where a player does not say the session, it is the listener's day. InputError where too few tracks have any company.
    """
    wanted = {track_id for track_id, _ in keys}
    rows = lake.read_arrow(TRACKS, "track_id", "genre").to_pylist()
    company: dict[str, set[str]] = {row["track_id"]: {row["genre"]} for row in rows if row["genre"]}
    if plays is not None:
        company = {}
        for play in plays:
            if play["event"] in ("finished", "liked"):
                session = play["session_id"] or f"{play['user_id']} {play['played_at']:%Y-%m-%d}"
                company.setdefault(play["track_id"], set()).add(session)
    of = cv_folds(lake)
    found = {i: "|".join([of[i], *sorted(company[i])]) for i in sorted(company) if i in wanted and i in of}
    if len(found) < MIN_TRACKS:
        kind = "genre" if plays is None else "plays"
        raise InputError(
            f"--recipe neural: expected {kind} of at least {MIN_TRACKS} tracks to learn from, found {len(found)}"
        )
    return found


def cv_folds(lake: Lake) -> dict[str, str]:
    """Return the fold of every track of TRACKS: its artist's, or its own where no artist is known."""
    rows = lake.read_arrow(TRACKS, "track_id", "artist").to_pylist()
    return {row["track_id"]: cv_fold(row["artist"] or row["track_id"]) for row in rows}


def cv_fold(artist: str) -> str:
    """Return what the tracks of an artist are for: test (a fifth), stop (a tenth) or train."""
    number = hashlib.sha256(artist.encode()).digest()[0] % 10
    return "test" if number < 2 else "stop" if number == 2 else "train"


def add_network(embedder: Embedder, layers: Layers) -> Embedder:
    """Return the same embedder with a network behind it."""
    return dataclasses.replace(embedder, layers=layers)


def train(
    projected: np.ndarray, ids: Sequence[str], labels: dict[str, str], arguments: argparse.Namespace
) -> tuple[Layers, dict[str, Any]]:
    """Return the network's layers for the vectors (tracks, d) of the tracks `ids`, and the loss curves.

    It stops PATIENCE epochs after the best validation loss, and takes the weights of that epoch.
    """
    folds = np.array([labels.get(i, "none").split("|")[0] for i in ids])
    company = [frozenset(labels.get(i, "none").split("|")[1:]) for i in ids]
    learn, stop = np.flatnonzero(folds == "train"), np.flatnonzero(folds == "stop")
    if len(learn) < MIN_TRACKS // 2:
        raise InputError(
            f"--recipe neural: expected {MIN_TRACKS // 2} tracks to learn from, found {len(learn)}"
        )
    if len(stop) < 2:  # hardly any artists: the last tenth of what there is
        learn, stop = learn[: -max(len(learn) // 10, 2)], learn[-max(len(learn) // 10, 2) :]
    scale = float(np.sqrt(np.mean(projected**2))) or 1.0
    epochs = _torch_epochs if backend() == "torch" else _sklearn_epochs
    best: Layers | None = None
    curves: dict[str, list[float]] = {"loss_curve": [], "validation_curve": []}
    for layers, loss, validation in epochs(projected / scale, company, learn, stop, arguments):
        if best is None or validation < min(curves["validation_curve"]) - 1e-6:
            best = layers
        curves["loss_curve"].append(round(loss, 6))
        curves["validation_curve"].append(round(validation, 6))
        if len(curves["validation_curve"]) - int(np.argmin(curves["validation_curve"])) > PATIENCE:
            break
    assert best is not None
    (w1, b1), (w2, b2) = best
    return ((w1 / scale, b1), (w2 * scale, b2 * scale)), {
        **curves,
        "learned_tracks": len(learn),
        "held_out_tracks": int(np.sum(folds == "test")),
        "epochs_run": len(curves["loss_curve"]),
    }


def _sklearn_epochs(
    vectors: np.ndarray,
    company: list[frozenset[str]],
    learn: np.ndarray,
    stop: np.ndarray,
    a: argparse.Namespace,
) -> Any:
    """Yield layers, loss and validation loss after each epoch."""
    from sklearn.neural_network import MLPRegressor

    centres = {
        name: vectors[[i for i in learn if name in company[i]]].mean(axis=0)
        for name in sorted(set().union(*(company[i] for i in learn)))
    }
    targets = np.zeros_like(vectors)
    for i in (*learn, *stop):
        own = [centres[name] for name in sorted(company[i]) if name in centres]
        targets[i] = np.mean(own, axis=0) - vectors[i] if own else 0
    batch = min(a.batch_size, len(learn))
    model = MLPRegressor(
        hidden_layer_sizes=(a.width,),
        learning_rate_init=a.learning_rate,
        batch_size=batch,
        random_state=a.neural_seed,
    )
    order = np.random.default_rng(a.neural_seed)
    for _ in range(a.epochs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has its own idea of convergence
            shuffled = order.permutation(learn)
            model.partial_fit(vectors[shuffled], targets[shuffled])
        layers = tuple((w.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True))
        validation = float(np.mean((model.predict(vectors[stop]) - targets[stop]) ** 2))
        yield layers, float(model.loss_), validation


def _torch_epochs(
    vectors: np.ndarray,
    company: list[frozenset[str]],
    learn: np.ndarray,
    stop: np.ndarray,
    a: argparse.Namespace,
) -> Any:
    """Yield layers, loss and validation loss after each epoch."""
    import torch

    torch.manual_seed(a.neural_seed)
    x = torch.tensor(vectors, dtype=torch.float32)
    first, second = torch.nn.Linear(x.shape[1], a.width), torch.nn.Linear(a.width, x.shape[1])
    torch.nn.init.zeros_(second.weight)
    optimiser = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=a.learning_rate)

    def loss_of(rows: np.ndarray) -> Any:
        found = x[rows] + second(torch.relu(first(x[rows])))
        found = torch.nn.functional.normalize(found, dim=1)
        itself = torch.eye(len(rows), dtype=torch.bool)
        shares = torch.log_softmax((found @ found.T / _TEMPERATURE).masked_fill(itself, -1e9), dim=1)
        mates = torch.tensor([[bool(company[i] & company[j]) for j in rows] for i in rows]) & ~itself
        return -(shares * mates).sum() / mates.sum().clamp(min=1)

    order = np.random.default_rng(a.neural_seed)
    for _ in range(a.epochs):
        shuffled, losses = order.permutation(learn), []
        for start in range(0, len(shuffled), a.batch_size):
            optimiser.zero_grad()
            loss = loss_of(shuffled[start : start + a.batch_size])
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        with torch.no_grad():
            validation = float(loss_of(stop[:1_000]))
        layers = tuple(
            (m.weight.detach().double().numpy().T.copy(), m.bias.detach().double().numpy().copy())
            for m in (first, second)
        )
        yield layers, float(np.mean(losses)), validation
