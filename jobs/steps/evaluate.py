"""Evaluate a registered model beside the champion and baselines; the metrics go to its MLflow run.

Genre precision@10, MAP and R-precision with their ceilings, hubness, index recall and silhouette come from
one vector per track and system (see `model.evaluation`). The score of each query is stored for the quality
gate. With plays there are also next-play metrics, of each system's vectors and of the recommendations that
are served, beside their parts (see `recommender.offline_evaluation`).
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from jobs import progress
from jobs.errors import StepError
from jobs.lake.storage import Lake, open_lake
from jobs.model import evaluation_report, genre_labels, neural_labels, registry, tracking, training_data
from jobs.model.evaluated_systems import EmbeddingSystem, baselines, model_system
from jobs.model.evaluation import Evaluation, PlaySplit
from jobs.model.genre_labels import GenreLabel
from jobs.model.metrics import Labels, SystemMetrics
from jobs.model.query_scores import QueryScores
from jobs.model.training_data import TrainingSet
from jobs.plays import play_log, splits
from jobs.plays.events import PlayEvent
from jobs.progress import StepResult
from jobs.recommender import item_catalog, offline_evaluation
from jobs.recommender.holdout import build_holdout, listener_counts
from jobs.spark import session

# Systems in "<system>/<metric>", the names of metrics in MLflow.
MODEL = "model"
CHAMPION = "champion"

_SUMMARY_METRICS = ("genre_precision_at_10", "genre_map")

# Part of the digest of an evaluation; raise it when metrics are computed in another way, or are new.
_EVALUATION_VERSION = 2


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
    """Evaluate a version and log its metrics, unless they are there of the same inputs.

    Return the metrics.
    """
    lake = open_lake(arguments)
    tracking.connect(arguments.mlflow, lake.root)
    version = registry.version(arguments.model_version or registry.aliases().get(registry.CHALLENGER))
    champion = registry.version_by_alias(registry.CHAMPION)
    if champion is not None and champion.version == version.version:
        champion = None
    labels = genre_labels.read_labels(lake, arguments.labels)
    training = training_data.training_set(lake, version.tags["feature_version"])
    plays = play_log.latest_plays(lake, splits.MAX_PLAYS)
    digest = _evaluation_digest(training, labels, plays)
    compared_with = str(champion.version) if champion is not None else ""
    is_same_champion = compared_with in ("", version.tags.get("compared_with"))
    if version.tags.get("evaluation_digest") != digest or not is_same_champion:
        n_compared = 0

        def report(count: int) -> None:
            nonlocal n_compared
            n_compared = count

        with progress.watch("evaluate", len(training.keys), lambda: n_compared):
            metrics, scores = _evaluate_embeddings(
                lake, training, [version, champion], labels, plays, report=report
            )
            for system, play_metrics in _play_metrics(arguments.master, lake, version, plays).items():
                metrics[system] = metrics.get(system, {}) | play_metrics
        registry.log_evaluation(
            version, metrics, evaluation_digest=digest, compared_with=compared_with, scores=scores
        )
    metrics = registry.evaluation(version)
    return StepResult(
        _summary(metrics), model_version=str(version.version), details=evaluation_report.report(metrics)
    )


def _evaluation_digest(training: TrainingSet, labels: dict[str, GenreLabel], plays: list[PlayEvent]) -> str:
    """Return a hash of everything that the metrics are computed from, beside the models: 16 hex digits."""
    label_rows = [[track_id, label.genre, label.artist] for track_id, label in sorted(labels.items())]
    identity = json.dumps(
        [_EVALUATION_VERSION, training.digest, label_rows, [play.event_id for play in plays]]
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _evaluate_embeddings(
    lake: Lake,
    training: TrainingSet,
    versions: list[Any],
    labels: dict[str, GenreLabel],
    plays: list[PlayEvent],
    *,
    report: Callable[[int], None],
) -> tuple[SystemMetrics, QueryScores]:
    """Evaluate the version, the champion (or None) and the baselines by one vector per track.

    Return the metrics of all, and the scores of the version and the champion.
    """
    ids = [track_id for track_id, _ in training.keys]
    systems: dict[str, EmbeddingSystem] = {}
    has_network = False
    for name, version in zip((MODEL, CHAMPION), versions, strict=True):
        # A champion of another feature version cannot be compared on these tracks.
        if version is not None and version.tags["feature_version"] == training.feature_version:
            embedder, clusters = registry.load(version)
            systems[name] = model_system(embedder, clusters)
            has_network |= bool(embedder.layers)
    encoded = _encode_labels(ids, labels, neural_labels.cv_folds(lake) if has_network else None)
    numbers = {track_id: number for number, track_id in enumerate(ids)}
    before, after = splits.temporal_split(plays)
    holdout = build_holdout(numbers, before, after)
    systems |= baselines(lake, training, encoded, listener_counts(numbers, before))
    evaluation = Evaluation(
        lake=lake,
        training=training,
        labels=encoded,
        plays=PlaySplit(before=holdout.before, after=holdout.after),
        report=report,
    )
    result = evaluation.run(systems)
    track_ids = [ids[position] for position in result.genre_positions]
    scores = QueryScores(
        scores={name: result.scores[name] for name in (MODEL, CHAMPION) if name in systems},
        track_ids=track_ids,
        genres=[labels[track_id].genre for track_id in track_ids],
    )
    return result.metrics, scores


def _encode_labels(ids: list[str], labels: dict[str, GenreLabel], folds: dict[str, str] | None) -> Labels:
    """Return the labels as numbers, in the order of `ids`.

    With `folds`, because a network was trained on genres of the other folds, only the test fold is evaluated.
    """
    genre_names = sorted({label.genre for label in labels.values()})
    artist_names = sorted({label.artist for label in labels.values() if label.artist})
    genre_numbers = {name: number for number, name in enumerate(genre_names)}
    artist_numbers = {name: number for number, name in enumerate(artist_names)}
    genres = np.full(len(ids), -1)
    artists = np.full(len(ids), -1)
    evaluated = np.zeros(len(ids), dtype=bool)
    for position, track_id in enumerate(ids):
        label = labels.get(track_id)
        if label is not None:
            genres[position] = genre_numbers[label.genre]
            artists[position] = artist_numbers.get(label.artist, -1)
            evaluated[position] = folds is None or folds[track_id] == neural_labels.TEST
    return Labels(genres, artists, evaluated)


def _play_metrics(master: str, lake: Lake, version: Any, plays: list[PlayEvent]) -> SystemMetrics:
    """Return next-play metrics of the version's recommendations and their parts.

    Empty without held-out plays.
    """
    if not plays:
        return {}
    try:
        catalog = item_catalog.load(lake, str(version.version))
    except StepError:  # an older version that is not online, whose EMBEDDINGS are deleted
        return {}
    before, after = splits.temporal_split(plays)
    holdout = build_holdout(catalog.index_of, before, after)
    if not holdout.profiles:
        return {}
    return offline_evaluation.evaluate_systems(catalog, before, holdout, session.get_session(master))


def _summary(metrics: SystemMetrics) -> dict[str, Any]:
    """Return the summary: the model's queries and its main metrics."""
    model = metrics.get(MODEL, {})
    summary: dict[str, Any] = {"evaluated queries": int(model.get("evaluated_queries", 0))}
    for metric in _SUMMARY_METRICS:
        if metric in model:
            summary[metric.replace("_", " ")] = f"{model[metric]:.3f}"
    return summary
