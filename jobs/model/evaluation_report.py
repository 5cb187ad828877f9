"""An evaluation as text for a terminal of 80 columns."""

from collections.abc import Iterable

from jobs.model.evaluation import CEILING
from jobs.model.metrics import SystemMetrics
from jobs.model.retrieval_evaluator import ANY_ARTIST

# Columns with an interval, and those without.
_INTERVAL_COLUMNS = {
    "genre_precision_at_10": "P@10",
    "genre_map": "MAP",
    "genre_r_precision": "R-precision",
}
_PLAIN_COLUMNS = {"k_occurrence_skew": "skew", "anti_hub_fraction": "in none"}
_ANY_ARTIST_COLUMNS = {name + ANY_ARTIST: title for name, title in _INTERVAL_COLUMNS.items()}

# The rows, in their order; other systems have next-play metrics only.
_SYSTEMS = ("model", "champion", "mfcc_mean", "popularity", "random", CEILING)


def report(metrics: SystemMetrics) -> str:
    """Return a table of the systems' genre retrieval and hubness, and lines for the index and the plays."""
    lines = _retrieval_table(metrics)
    model = metrics.get("model", {})
    if "index_recall_at_10" in model:
        lines += [
            "",
            f"index: recall@10 {model['index_recall_at_10']:.3f}, "
            f"scanned fraction {model['scanned_fraction']:.3f}, silhouette {model['silhouette']:.3f}",
        ]
    plays = [
        [system, f"{values['next_play_recall_at_10']:.3f}", f"{values['next_play_ndcg_at_10']:.3f}"]
        for system, values in metrics.items()
        if "next_play_recall_at_10" in values
    ]
    if plays:
        lines += ["", *_align([["next plays", "recall@10", "NDCG@10"], *plays])]
    else:
        lines += ["next plays: no held-out plays"]
    return "\n".join(lines)


def _retrieval_table(metrics: SystemMetrics) -> list[str]:
    model = metrics.get("model", {})
    n_queries = int(model.get("evaluated_queries", 0))
    columns = [*_INTERVAL_COLUMNS.values(), *_PLAIN_COLUMNS.values()]
    rows = [["", *columns]]
    for system in _SYSTEMS:
        if system in metrics:
            rows.append([system, *_cells(metrics[system])])
    if model.keys() & _ANY_ARTIST_COLUMNS.keys():
        cells = [f"{model[name]:.3f}" for name in _ANY_ARTIST_COLUMNS]
        rows.append(["any artist", *cells, "", ""])
    title = f"{n_queries:,} queries by genre, tracks of the query's artist left out; intervals 95 %"
    legend = "skew: hubness of the lists of ten; in none: fraction of tracks in no list"
    return [title, *_align(rows), legend]


def _cells(metrics: dict[str, float]) -> list[str]:
    cells = []
    for name in _INTERVAL_COLUMNS:
        cell = f"{metrics[name]:.3f}" if name in metrics else "-"
        if f"{name}_ci_low" in metrics:
            cell += f" [{metrics[f'{name}_ci_low']:.2f} {metrics[f'{name}_ci_high']:.2f}]"
        cells.append(cell)
    return [*cells, *(f"{metrics[name]:.2f}" if name in metrics else "" for name in _PLAIN_COLUMNS)]


def _align(rows: list[list[str]]) -> Iterable[str]:
    """Yield the rows with columns of equal width, without spaces at the end."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
