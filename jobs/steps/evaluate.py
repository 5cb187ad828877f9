"""What the registered models are worth: genre precision, hubs, coverage, recall and plays, beside baselines, in MLflow.

Of every track one vector per system, all in one pass over FEATURES: the model, the champion beside it, and as baselines
chance, popularity (the same list for everybody) and plain MFCC means + centroid + ZCR by Euclidean distance. Where there
are plays, also how well the lists that are served, and each part of them alone, foretell the later ones (`foretell.py`).
"""

import argparse
import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, feature_columns
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.model import neural, registry, training_data
from jobs.model.embedding import Embedder
from jobs.model.metrics import (
    Clusters,
    K,
    Labels,
    RetrievalEvaluator,
    TopK,
    euclidean_as_dot,
    ranking_metrics,
)
from jobs.paths import to_text
from jobs.plays import play_log, splits
from jobs.plays.events import PlayEvent
from jobs.progress import StepResult
from jobs.recommender import item_catalog, offline_evaluation
from jobs.spark import session

# What "plain" is: the means that content-based recommenders started with.
MFCC_MEAN_COLUMNS = tuple(
    c for feature in ("mfcc", "spectral_centroid", "zcr") for c in feature_columns(feature, "mean")
)

# Tracks that ask: all where there are fewer, else by the hash of their ids.
QUERIES = 2_000

# A figure's name in MLflow is "<system>/<metric>".
MODEL, CHAMPION = "model", "champion"

# What foretells plays: the lists that are served, and what they are compared with.
HYBRID, BASELINES = "hybrid", ("sound", "together", "als", "popularity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--model-version",
        help="version of the registered model to evaluate (default: the challenger, else the newest)",
    )
    add_labels_argument(parser)


def add_labels_argument(parser: argparse.ArgumentParser) -> None:
    """Add --labels."""
    parser.add_argument(
        "--labels",
        metavar="FILE.csv",
        help="genres for evaluation: columns genre, path or track_id, and artist where known "
        "(default: those of TRACKS)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Evaluate a version beside the champion and the baselines, log it in the version's run; return the figures."""
    lake = open_lake(arguments)
    registry.connect(arguments.mlflow, lake.root)
    version = registry.version(arguments.model_version or registry.aliases().get(registry.CHALLENGER))
    champion = registry.version_by_alias(registry.CHAMPION)
    if champion is not None and champion.version == version.version:
        champion = None
    labels = read_labels(lake, arguments.labels)
    training = training_data.training_set(lake, version.tags["feature_version"])
    plays = play_log.latest_plays(lake, splits.MAX_PLAYS)
    identity = json.dumps([training.digest, sorted(labels.items()), [play.event_id for play in plays]])
    evaluated = hashlib.sha256(identity.encode()).hexdigest()[:16]
    beside = str(champion.version) if champion is not None else ""
    if version.tags.get("evaluated") != evaluated or beside not in ("", version.tags.get("evaluated_beside")):
        with progress.watch("evaluate", len(training.keys)):
            figures = _figures(lake, training, version, champion, labels, plays)
            for system, own in _play_metrics(arguments.master, lake, version, plays).items():
                figures[system] = figures.get(system, {}) | own
        registry.log_evaluation(version, figures, evaluated_beside=beside, evaluated=evaluated)
    return StepResult({**_shown(registry.evaluation(version))}, model_version=str(version.version))


def _shown(figures: dict[str, dict[str, float]]) -> dict[str, str]:
    """Return the lines of the summary: each metric of the model, then of the lists, with the other systems' in brackets."""
    shown = {}
    for metric in ("genre_precision_at_10", "genre_map", "recall_at_10", "k_occurrence_skew", "coverage"):
        if metric in figures.get(MODEL, {}):
            others = [
                f"{s} {m[metric]:.3f}" for s, m in sorted(figures.items()) if s != MODEL and metric in m
            ]
            shown[metric.replace("_", " ")] = f"{figures[MODEL][metric]:.3f}" + (
                f" ({', '.join(others)})" if others else ""
            )
    if HYBRID not in figures:
        return shown | {"later plays": "none to foretell"}
    for metric, name in (("plays_recall_at_10", "recall"), ("plays_ndcg_at_10", "NDCG")):
        told = ", ".join(f"{system} {figures[system][metric]:.3f}" for system in (HYBRID, *BASELINES))
        shown[f"{name} at 10 of later plays"] = told
    return shown


def read_labels(lake: Lake, file: str | None) -> dict[str, list[str]]:
    """Return [genre, artist] of every labelled track: of TRACKS, or of a CSV file; "" where the artist is unknown.

    A path in the file is that of the library, whole or its end. InputError for a file without the columns.
    """
    rows = lake.read_arrow(TRACKS, "track_id", "path", "genre", "artist").to_pylist()
    if file is None:
        return {row["track_id"]: [row["genre"], row["artist"] or ""] for row in rows if row["genre"]}
    try:
        with Path(file).expanduser().open(newline="", encoding="utf-8-sig") as opened:
            given = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--labels: expected a CSV file in UTF-8, found {file}: {error}") from error
    named = set(given[0]) if given else set()
    if "genre" not in named or not named & {"path", "track_id"}:
        raise InputError(
            f"--labels: expected columns genre and path or track_id, found {', '.join(map(str, named)) or 'no rows'}"
        )
    ids = {row["track_id"] for row in rows}
    # A tail that two tracks share (`01.mp3`) names neither.
    tails = Counter(tail for row in rows for tail in _tails(row["path"]))
    by_path = {tail: row["track_id"] for row in rows for tail in _tails(row["path"]) if tails[tail] == 1}
    found = {}
    for row in given:
        track_id = row.get("track_id") if row.get("track_id") in ids else by_path.get(_tail(row.get("path")))
        if track_id and row["genre"]:
            found[track_id] = [row["genre"], row.get("artist") or ""]
    if not found:
        raise InputError(
            f"--labels: expected tracks of the lake, found none among the {len(given)} rows of {file}"
        )
    return found


def _tail(path: str | None) -> str:
    return to_text(os.path.normpath(path.strip()).lstrip("/")) if path else ""


def _tails(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _play_metrics(
    master: str, lake: Lake, version: Any, plays: list[PlayEvent]
) -> dict[str, dict[str, float]]:
    """Return how well the version's lists foretell the later plays, beside their parts; nothing where nobody can be asked."""
    if not plays:
        return {}
    try:
        catalogue = item_catalog.load(lake, str(version.version))
    except StepError:  # a version from before, that is not online and has no embeddings here any more
        return {}
    before, after = splits.temporal_split(plays)
    question = offline_evaluation.build_holdout(catalogue.index_of, before, after)
    return (
        offline_evaluation.evaluate_systems(catalogue, before, question, session.get_session(master))
        if question.profiles
        else {}
    )


@dataclass(frozen=True)
class _EmbeddingSystem:
    """One way to score: vectors (tracks, d) of feature rows and track numbers, as a query and as a candidate."""

    columns: tuple[str, ...]
    vectors: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    clusters: Clusters | None = None


def _figures(
    lake: Lake,
    training: training_data.TrainingSet,
    version: Any,
    champion: Any,
    labels: dict[str, list[str]],
    plays: list[PlayEvent],
) -> dict[str, dict[str, float]]:
    ids = [track_id for track_id, _ in training.keys]
    systems, learned = {}, False
    for name, one in ((MODEL, version), (CHAMPION, champion)):
        if one is not None and not (name == CHAMPION and one.version == version.version):
            embedder, clusters = registry.load(one)
            if one.tags["feature_version"] == training.version:  # else there is nothing to compare it on
                systems[name] = _EmbeddingSystem(embedder.columns, _embed_with(embedder), clusters)
                learned |= bool(embedder.layers)
    coded = _encode_labels(ids, labels, neural.cv_folds(lake) if learned else None)
    heard = _play_split(ids, plays)
    systems |= _baselines(lake, training, coded, heard)
    return _retrieval_metrics(lake, training, ids, systems, coded, heard)


def _embed_with(embedder: Embedder) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def vectors(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = embedder.apply(
            values
        )  # without genres: a recipe that reads them would be asked what it was told
        return found, found

    return vectors


def _encode_labels(ids: list[str], labels: dict[str, list[str]], folds: dict[str, str] | None) -> Labels:
    """Return the labels by number; where a network has learned from some folds, only what it has never seen is judged."""
    genres = {genre: number for number, genre in enumerate(sorted({genre for genre, _ in labels.values()}))}
    artists = {artist: number for number, artist in enumerate(sorted({a for _, a in labels.values() if a}))}
    own = [labels.get(track_id) for track_id in ids]
    judged = [
        pair is not None and (folds is None or folds[track_id] == "test")
        for track_id, pair in zip(ids, own, strict=True)
    ]
    return Labels(
        np.array([genres[pair[0]] if pair else -1 for pair in own], dtype=int),
        np.array([artists.get(pair[1], -1) if pair else -1 for pair in own], dtype=int),
        np.array(judged, dtype=bool),
    )


@dataclass(frozen=True)
class _PlaySplit:
    """What the sampled users heard, by track number: before the split in time, and after it."""

    before: list[set[int]]
    after: list[set[int]]
    counts: np.ndarray  # listeners before the split, (tracks,)


def _play_split(ids: list[str], plays: list[PlayEvent]) -> _PlaySplit:
    number = {track_id: n for n, track_id in enumerate(ids)}
    before, after = splits.temporal_split(plays)
    question = offline_evaluation.build_holdout(number, before, after)
    return _PlaySplit(question.before, question.after, offline_evaluation.listener_counts(number, before))


def _baselines(
    lake: Lake, training: training_data.TrainingSet, labels: Labels, heard: _PlaySplit
) -> dict[str, _EmbeddingSystem]:
    has_plain = set(MFCC_MEAN_COLUMNS) <= set(
        MODEL_INPUT_COLUMNS[training.version]
    )  # Echo Nest's features have no MFCC
    sums = np.ones((3, len(MFCC_MEAN_COLUMNS)))
    for _, values in training_data.feature_batches(
        lake, training.version, training.present, MFCC_MEAN_COLUMNS if has_plain else ()
    ):
        sums += [np.full(len(MFCC_MEAN_COLUMNS), len(values)), values.sum(axis=0), (values**2).sum(axis=0)]
    mean = sums[1] / sums[0]
    scale = np.sqrt(np.maximum(sums[2] / sums[0] - mean**2, 1e-12))
    # Where nobody has played anything yet, the artist with most tracks counts as the most popular.
    artists = np.bincount(labels.artists + 1, minlength=labels.artists.max(initial=-1) + 2)
    popularity = (
        heard.counts if heard.counts.any() else np.where(labels.artists >= 0, artists[labels.artists + 1], 0)
    )
    chance = np.random.default_rng(0).standard_normal((len(training.keys), 8))

    def plain(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return euclidean_as_dot((values - mean) / scale, (values - mean) / scale)

    def popular(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((len(positions), 1)), popularity[positions, None].astype(float)

    def random(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return chance[positions], chance[positions]

    found = {"popularity": _EmbeddingSystem((), popular), "random": _EmbeddingSystem((), random)}
    return found if not has_plain else {"plain": _EmbeddingSystem(MFCC_MEAN_COLUMNS, plain), **found}


def _retrieval_metrics(
    lake: Lake,
    training: training_data.TrainingSet,
    ids: list[str],
    systems: dict[str, _EmbeddingSystem],
    labels: Labels,
    heard: _PlaySplit,
) -> dict[str, dict[str, float]]:
    """Return each system's figures; two passes over FEATURES: those who ask, then everybody as an answer."""
    columns = tuple(dict.fromkeys(column for system in systems.values() for column in system.columns))
    place = {column: n for n, column in enumerate(columns)}
    positions = {track_id: n for n, track_id in enumerate(ids)}
    asking = sorted(
        positions[i] for i in sorted(ids, key=lambda i: hashlib.sha256(i.encode()).digest())[:QUERIES]
    )
    wanted = sorted(set(asking).union(*heard.before))
    vectors: dict[str, dict[int, np.ndarray]] = {name: {} for name in systems}
    for found, values in training_data.feature_batches(
        lake, training.version, training.present, columns, {ids[p] for p in wanted}
    ):
        numbers = np.array([positions[i] for i in found])
        for name, system in systems.items():
            queries, _ = system.vectors(values[:, [place[c] for c in system.columns]], numbers)
            vectors[name].update(zip(numbers.tolist(), queries, strict=True))
    trials = {
        name: RetrievalEvaluator(
            np.array([vectors[name][p] for p in asking]), np.array(asking), labels, system.clusters
        )
        for name, system in systems.items()
    }
    tastes = {
        name: TopK(np.array([np.mean([vectors[name][p] for p in own], axis=0) for own in heard.before]), K)
        for name in systems
        if heard.before
    }
    for found, values in training_data.feature_batches(lake, training.version, training.present, columns):
        numbers = np.array([positions[i] for i in found])
        known = np.array([[n in own for n in numbers.tolist()] for own in heard.before], dtype=bool)
        for name, system in systems.items():
            _, candidates = system.vectors(values[:, [place[c] for c in system.columns]], numbers)
            trials[name].add(candidates, numbers)
            if name in tastes:
                tastes[name].add(candidates, numbers, known)
    figures = {name: trial.metrics() for name, trial in trials.items()}
    for name, taste in tastes.items():
        figures[name] |= ranking_metrics(taste.positions, heard.after)
    return figures
