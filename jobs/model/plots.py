"""Plots that are logged beside a model: grid search, clusters, genres, map, losses."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.model.layout_2d import layout_2d
from jobs.paths import SHARED_DIR

# Set before matplotlib is imported, which reads it then: its font cache belongs to this installation, not
# into the user's home.
os.environ.setdefault("MPLCONFIGDIR", str(SHARED_DIR / "matplotlib"))

import matplotlib
from matplotlib.figure import Figure

BLUE = "#31688e"
RED = "#d1495b"
GREY = "#999999"

# Genres with a color of their own on the map, and clusters whose numbers fit on an axis.
_MAX_MAP_GENRES = 10
_MAX_TICKS = 40


def _new_figure(height_inches: float = 4) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7, height_inches), dpi=120, layout="constrained")
    return figure, figure.subplots()


def plot_silhouette_by_k(
    silhouettes: dict[int, float], search_costs: dict[int, float], chosen_k: int, n_tracks: int
) -> Figure:
    """Plot silhouette and search cost over k; a line marks the chosen k (largest difference)."""
    figure, axes = _new_figure()
    ks = sorted(silhouettes)
    axes.plot(ks, [silhouettes[k] for k in ks], "o-", color=BLUE, label="silhouette (cosine)")
    axes.plot(
        ks,
        [search_costs[k] for k in ks],
        "s--",
        color=GREY,
        label="search cost: fraction compared for recall@10 ≥ .98",
    )
    axes.axvline(chosen_k, color=RED, alpha=0.6, label=f"chosen: k = {chosen_k}")
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("k (clusters)")
    axes.set_title(f"K-Means over {n_tracks:,} tracks")
    axes.legend(fontsize=8)
    return figure


def plot_cluster_sizes(sizes: np.ndarray) -> Figure:
    """Plot the number of tracks of each cluster (k,), largest first."""
    figure, axes = _new_figure(3)
    axes.bar(range(len(sizes)), np.sort(sizes)[::-1], color=BLUE)
    axes.axhline(sizes.mean(), color=RED, linestyle=":", label=f"mean {sizes.mean():.1f}")
    axes.set_xlabel("cluster, largest first")
    axes.set_ylabel("tracks")
    axes.legend()
    return figure


def plot_genres_by_cluster(
    genres: Sequence[str | None], clusters: np.ndarray, *, max_genres: int = 24
) -> Figure | None:
    """Plot how each genre is distributed over the clusters; None if no track has a genre.

    Rows are the most common genres, each adding up to 1. Columns are clusters, ordered by their most common
    genre.
    """
    labelled = [(genre, cluster) for genre, cluster in zip(genres, clusters, strict=True) if genre]
    if not labelled:
        return None
    names, counts = np.unique([genre for genre, _ in labelled], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")[:max_genres]]
    columns = np.unique([cluster for _, cluster in labelled])
    column_of = {cluster: number for number, cluster in enumerate(columns)}
    row_of = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(names), len(columns)))
    for genre, cluster in labelled:
        if genre in row_of:
            table[row_of[genre], column_of[cluster]] += 1
    order = np.argsort(table.argmax(axis=0), kind="stable")
    fractions = table[:, order] / table.sum(axis=1, keepdims=True)
    figure, axes = _new_figure(1.5 + 0.28 * len(names))
    image = axes.imshow(fractions, aspect="auto", cmap="magma", vmin=0, vmax=1)
    axes.set_yticks(range(len(names)), names)
    if len(columns) <= _MAX_TICKS:
        axes.set_xticks(range(len(columns)), columns[order], fontsize=7)
    axes.set_xlabel("cluster")
    figure.colorbar(image, label="fraction of the genre's tracks")
    return figure


def plot_map(vectors: np.ndarray, genres: Sequence[str | None], clusters: np.ndarray) -> Figure:
    """Plot tracks (n, d) in two dimensions, t-SNE of their cosines, colored by genre, else by cluster."""
    points = layout_2d(vectors)
    figure, axes = _new_figure(5.5)
    if any(genres):
        _scatter_by_genre(axes, points, genres)
    else:
        axes.scatter(*points.T, s=14, c=clusters, cmap="tab20")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{len(points):,} tracks: near means similar (t-SNE)")
    return figure


def _scatter_by_genre(axes: Any, points: np.ndarray, genres: Sequence[str | None]) -> None:
    names, counts = np.unique([genre for genre in genres if genre], return_counts=True)
    common = list(names[np.argsort(-counts, kind="stable")[:_MAX_MAP_GENRES]])
    numbers = np.array([common.index(genre) if genre in common else len(common) for genre in genres])
    colors = matplotlib.colormaps["tab10"]
    for number, name in enumerate([*common, "other or none"]):
        color = colors(number) if number < _MAX_MAP_GENRES else GREY
        axes.scatter(*points[numbers == number].T, s=14, color=color, label=name)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def plot_loss_curves(losses: Sequence[float], validation_losses: Sequence[float]) -> Figure:
    """Plot the training and the validation loss of each epoch."""
    figure, axes = _new_figure()
    axes.plot(range(1, len(losses) + 1), losses, color=BLUE, label="training")
    axes.plot(range(1, len(validation_losses) + 1), validation_losses, color=RED, label="validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend()
    return figure
