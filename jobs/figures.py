"""The pictures that are logged beside a model."""

import os

from jobs.java import SHARE

# Its font list belongs to this installation, not into the user's home.
os.environ.setdefault("MPLCONFIGDIR", str(SHARE / "matplotlib"))

import matplotlib.figure
from matplotlib.figure import Figure


def silhouette_curve(silhouettes: dict[int, float], chosen: int, tracks: int) -> Figure:
    """Draw silhouette over k, the chosen k marked, and √tracks as the guide it is chosen by."""
    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    ks = sorted(silhouettes)
    axes.plot(ks, [silhouettes[k] for k in ks], "o-", color="#31688e")
    axes.plot(chosen, silhouettes[chosen], "o", markersize=11, color="#d1495b", label=f"chosen: k = {chosen}")
    axes.axvline(tracks**0.5, color="#999999", linestyle=":", label=f"√tracks = {tracks**0.5:.1f}")
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("k (clusters)")
    axes.set_ylabel("silhouette (cosine)")
    axes.set_title(f"K-Means over {tracks:,} tracks")
    axes.legend()
    return figure
