"""VECTORS from FEATURES: fit a recipe on the tracks of the present feature version, and apply it to all of them."""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from jobs import progress
from jobs.errors import InputError
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS
from jobs.lake.schemas import EMBEDDERS, TRACKS, VECTORS
from jobs.lake.storage import Lake, open_lake
from jobs.model import neural, recipes, training_data
from jobs.model.embedding import ROWS_PER_PARTITION, Embedder, concat_groups, fit_group, l2_normalize, pca
from jobs.model.metrics import k_occurrence_skew
from jobs.plays import play_log, splits
from jobs.progress import StepResult
from jobs.spark import session

MAX_DIMENSIONS = 512

# Tracks that a recipe is fitted to: a sample by the hash of their ids, 120 MB of features, so that the driver's memory
# does not grow with the collection. A mean over 20,000 tracks is known to .7 % of a standard deviation.
MAX_FIT_TRACKS = 20_000

# Tracks among which hubs are counted before and after centring, while fitting.
_HUB_SAMPLE = 2_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--recipe",
        choices=sorted(recipes.RECIPES),
        default="timbre",
        help="of the embedding (default timbre)",
    )
    parser.add_argument("--dimensions", type=int, default=96, help="of the embedding, at most (default 96)")
    add_feature_version_argument(parser)
    neural.add_arguments(parser)


def add_feature_version_argument(parser: argparse.ArgumentParser) -> None:
    """Add --feature-version."""
    parser.add_argument(
        "--feature-version", help="version of FEATURES to train on (default: the newest extracted)"
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring EMBEDDERS and VECTORS up to date with FEATURES; return the counts."""
    if not 1 <= arguments.dimensions <= MAX_DIMENSIONS:
        raise InputError(f"--dimensions: expected 1 to {MAX_DIMENSIONS}, found {arguments.dimensions}")
    lake = open_lake(arguments)
    training = training_data.training_set(lake, arguments.feature_version)
    parameters = {
        "recipe": arguments.recipe,
        "recipe_version": recipes.VERSION,
        "dimensions": arguments.dimensions,
    }
    labels: dict[str, str] = {}
    if arguments.recipe == "neural":
        parameters |= neural.parse_parameters(arguments)
        by_plays = arguments.neural_labels == "plays"  # of which `evaluate` asks about the later ones
        plays = (
            splits.temporal_split(play_log.latest_plays(lake, splits.MAX_PLAYS))[0]
            if by_plays
            else None
        )
        labels = neural.labels(lake, training.keys, plays)
    genres = training_data.track_genres(lake) if arguments.recipe in recipes.GENRE_RECIPES else {}
    identity = [parameters, training.digest, sorted(labels.items()), sorted(genres.items())]
    embedder_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    counts = {"tracks": len(training.keys), "recipe": arguments.recipe, "embedder": embedder_id}
    fitted, applied = (
        lake.read_arrow(t, "embedder_id")["embedder_id"].to_pylist() for t in (EMBEDDERS, VECTORS)
    )
    if set(fitted) == {embedder_id} and applied == [embedder_id] * len(training.keys):
        return StepResult({**counts, "new": 0})
    with progress.watch("embed", len(training.keys)):
        columns = recipe_columns(arguments.recipe, training.version)
        ids, values = fit_sample(lake, training, columns)
        own = [genres.get(track_id) for track_id in ids]
        embedder, measured = fit(
            values,
            columns,
            recipe=arguments.recipe,
            dimensions=arguments.dimensions,
            genres=own if genres else None,
        )
        if arguments.recipe == "neural":
            layers, learned = neural.train(embedder.project(values), ids, labels, arguments)
            embedder, measured = neural.add_network(embedder, layers), {**measured, **learned}
        rows = _projection_rows(embedder, embedder_id, training, {**parameters, **measured})
        lake.commit_arrow(EMBEDDERS, [rows])
        _write(arguments.master, lake, training, embedder, embedder_id)
    return StepResult({**counts, "new": len(training.keys)})


def recipe_columns(recipe: str, version: str) -> tuple[str, ...]:
    """Return the columns of FEATURES that a recipe reads of a feature version, each once."""
    groups = recipes.recipe_groups(recipe, MODEL_INPUT_COLUMNS[version])
    return tuple(dict.fromkeys(column for group in groups for part in group.parts for column in part.columns))


def fit_sample(
    lake: Lake, training: training_data.TrainingSet, columns: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Return ids and feature rows (tracks, n) of the training tracks, MOST_FITTED of them where there are more."""
    wanted = {track_id for track_id, _ in training.keys}
    if len(wanted) > MAX_FIT_TRACKS:
        wanted = set(sorted(wanted, key=lambda i: hashlib.sha256(i.encode()).digest())[:MAX_FIT_TRACKS])
    found = list(training_data.feature_batches(lake, training.version, training.present, columns, wanted))
    order = sorted(
        (track_id, number, row) for number, (ids, _) in enumerate(found) for row, track_id in enumerate(ids)
    )
    values = np.array([found[number][1][row] for _, number, row in order])
    return [track_id for track_id, _, _ in order], values.reshape(len(order), len(columns))


def fit(
    values: np.ndarray,
    columns: Sequence[str],
    *,
    recipe: str,
    dimensions: int,
    genres: Sequence[Sequence[str] | None] | None = None,
) -> tuple[Embedder, dict[str, Any]]:
    """Return a recipe fitted to feature rows (tracks, n), whose columns are named, and what was measured meanwhile.

    With `genres`, the tracks' own, those of two tracks or more become one more group.
    """
    position = {column: number for number, column in enumerate(columns)}
    declared = recipes.recipe_groups(recipe, columns)
    known = _known_genres(genres)
    genre_share = recipes.GENRE_WEIGHT if known else 0.0
    total = sum(group.weight for group in declared)
    fitted = tuple(
        fit_group(
            values,
            group.name,
            tuple((part.transform, tuple(position[c] for c in part.columns)) for part in group.parts),
            (1 - genre_share) * group.weight / total,
        )
        for group in declared
    )
    joined = concat_groups(fitted, np.asarray(values, dtype=np.float64), genres, known, genre_share)
    centre = joined.mean(axis=0)
    components, deviations = pca(joined - centre, dimensions)
    if not components.shape[1]:  # one track, or copies of one: any direction will do
        components = np.zeros((joined.shape[1], 1))
    embedder = Embedder(recipe, tuple(columns), fitted, known, genre_share, centre, components)
    variance = float((joined - centre).var(axis=0).sum())
    hubs = joined[:_HUB_SAMPLE]
    return embedder, {
        "fitted_tracks": len(values),
        "shares": {group.name: round(group.share, 4) for group in fitted}
        | ({"genre": genre_share} if known else {}),
        "explained_variance": round(float((deviations**2).sum()) / variance, 6) if variance else 1.0,
        "skew_before_centring": round(k_occurrence_skew(l2_normalize(hubs)), 6),
        "skew_after_centring": round(k_occurrence_skew(l2_normalize((hubs - centre) @ components)), 6),
    }


def _known_genres(genres: Sequence[Sequence[str] | None] | None) -> tuple[str, ...]:
    counted: dict[str, int] = {}
    for own in genres or ():
        for genre in set(own or ()):
            counted[genre] = counted.get(genre, 0) + 1
    return tuple(sorted(genre for genre, count in counted.items() if count > 1))


def _projection_rows(
    embedder: Embedder, embedder_id: str, training: training_data.TrainingSet, parameters: dict[str, Any]
) -> pa.RecordBatch:
    about = {
        "embedder_id": embedder_id,
        "feature_version": training.version,
        "training_hash": training.digest,
        "parameters": json.dumps(parameters, sort_keys=True),
    }
    rows = [
        {
            **about,
            "array": name,
            "text": str(array) if name == "structure" else None,
            "shape": list(array.shape),
            "values": [] if name == "structure" else array.astype(np.float64).ravel().tolist(),
        }
        for name, array in sorted(embedder.arrays().items())
    ]
    return pa.RecordBatch.from_pylist(rows, schema=EMBEDDERS.arrow_schema())


def _write(
    master: str, lake: Lake, training: training_data.TrainingSet, embedder: Embedder, embedder_id: str
) -> None:
    spark = session.get_session(master)
    features = training_data.select_features(
        lake.read(spark, training_data.FEATURES), training.version, embedder.columns
    )
    present = lake.read(spark, TRACKS).select("track_id", "content_hash", "genres")
    features = features.join(present, ["track_id", "content_hash"])
    features = features.repartitionByRange(len(training.keys) // ROWS_PER_PARTITION + 1, "track_id")
    embedded = features.mapInArrow(_applier(embedder), "track_id string, embedding array<float>")
    lake.commit(VECTORS, embedded.withColumn("embedder_id", F.lit(embedder_id)))


def _applier(embedder: Embedder) -> Any:
    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("x").flatten().to_numpy().reshape(len(batch), -1)
            genres = batch.column("genres").to_pylist() if embedder.genres else None
            vectors = pa.array(list(embedder.apply(values, genres)), pa.list_(pa.float32()))
            yield pa.RecordBatch.from_arrays([batch.column("track_id"), vectors], ["track_id", "embedding"])

    return apply
