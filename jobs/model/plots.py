"""The pictures that are logged beside a model."""

import os
from collections.abc import Sequence
from typing import Any

from jobs.model.layout_2d import layout_2d
from jobs.runtime.java import SHARED_DIR

# Its font list belongs to this installation, not into the user's home.
os.environ.setdefault("MPLCONFIGDIR", str(SHARED_DIR / "matplotlib"))

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.figure import Figure

BLUE, RED, GREY = "#31688e", "#d1495b", "#999999"


def _figure(height: float = 4) -> tuple[Figure, Any]:
    figure = matplotlib.figure.Figure(figsize=(7, height), dpi=120, layout="constrained")
    return figure, figure.subplots()


def plot_silhouette_by_k(
    silhouettes: dict[int, float], costs: dict[int, float], chosen: int, tracks: int
) -> Figure:
    """Draw silhouette and search cost over k; the chosen k, where silhouette - cost is largest, is marked."""
    figure, axes = _figure()
    ks = sorted(silhouettes)
    axes.plot(ks, [silhouettes[k] for k in ks], "o-", color=BLUE, label="silhouette (cosine)")
    axes.plot(ks, [costs[k] for k in ks], "s--", color=GREY, label="cost: share compared for recall@10 ≥ .98")
    axes.axvline(chosen, color=RED, alpha=0.6, label=f"chosen: k = {chosen}")
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("k (clusters)")
    axes.set_title(f"K-Means over {tracks:,} tracks")
    axes.legend(fontsize=8)
    return figure


def plot_cluster_sizes(sizes: np.ndarray) -> Figure:
    """Draw the number of tracks of each cluster, largest first."""
    figure, axes = _figure(3)
    axes.bar(range(len(sizes)), np.sort(sizes)[::-1], color=BLUE)
    axes.axhline(sizes.mean(), color=RED, linestyle=":", label=f"mean {sizes.mean():.1f}")
    axes.set_xlabel("cluster, largest first")
    axes.set_ylabel("tracks")
    axes.legend()
    return figure


def plot_genres_by_cluster(
    genres: Sequence[str | None], clusters: np.ndarray, *, most: int = 24
) -> Figure | None:
    """Draw how each genre is spread over the clusters, a row adding up to 1; None where no track has a genre.

    At most `most` genres, the commonest; clusters side by side by the genre that most of their tracks have.
    """
    labelled = [(genre, cluster) for genre, cluster in zip(genres, clusters, strict=True) if genre]
    if not labelled:
        return None
    names, counts = np.unique([genre for genre, _ in labelled], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")[:most]]
    shown = np.unique([cluster for _, cluster in labelled])
    table = np.zeros((len(names), len(shown)))
    rows, columns = {name: n for n, name in enumerate(names)}, {cluster: n for n, cluster in enumerate(shown)}
    for genre, cluster in labelled:
        if genre in rows:
            table[rows[genre], columns[cluster]] += 1
    order = np.argsort(table.argmax(axis=0), kind="stable")
    table = table[:, order] / table.sum(axis=1, keepdims=True)
    figure, axes = _figure(1.5 + 0.28 * len(names))
    image = axes.imshow(table, aspect="auto", cmap="magma", vmin=0, vmax=1)
    axes.set_yticks(range(len(names)), names)
    if len(shown) <= 40:
        axes.set_xticks(range(len(shown)), shown[order], fontsize=7)
    axes.set_xlabel("cluster")
    figure.colorbar(image, label="share of the genre's tracks")
    return figure


def plot_map(vectors: np.ndarray, genres: Sequence[str | None], clusters: np.ndarray) -> Figure:
    """Draw tracks (n, d) in two dimensions, t-SNE of their cosines: coloured by genre, or by cluster where none is known."""
    named = [genre for genre in genres if genre]
    names, counts = np.unique(named, return_counts=True) if named else (np.zeros(0, str), np.zeros(0))
    common = list(names[np.argsort(-counts, kind="stable")[:10]])
    points = layout_2d(vectors)
    figure, axes = _figure(5.5)
    if common:
        of = np.array([common.index(genre) if genre in common else len(common) for genre in genres])
        for number, name in enumerate([*common, "other or none"]):
            axes.scatter(
                *points[of == number].T,
                s=14,
                color=matplotlib.colormaps["tab10"](number) if number < 10 else GREY,
                label=name,
            )
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        axes.scatter(*points.T, s=14, c=clusters, cmap="tab20")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{len(points):,} tracks: near is alike (t-SNE)")
    return figure


def plot_loss_curves(training: Sequence[float], validation: Sequence[float]) -> Figure:
    """Draw the loss of each epoch on what is learned from and on what training stops by."""
    figure, axes = _figure()
    axes.plot(range(1, len(training) + 1), training, color=BLUE, label="training")
    axes.plot(range(1, len(validation) + 1), validation, color=RED, label="validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend()
    return figure
