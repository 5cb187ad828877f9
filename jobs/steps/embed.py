"""VECTORS from FEATURES.

Fit an embedder on the tracks of the newest feature version, and embed all of them.
"""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from jobs import progress
from jobs.errors import InputError
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, descriptor_columns
from jobs.lake.schemas import EMBEDDERS, VECTORS
from jobs.lake.storage import Lake, open_lake
from jobs.model import batch_inference, fitting, neural, neural_labels, recipes, training_data
from jobs.model.embedding import Embedder
from jobs.model.neural import NeuralConfig
from jobs.model.neural_labels import TrackLabels
from jobs.model.training_data import TrainingSet
from jobs.plays import play_log, splits
from jobs.progress import StepResult
from jobs.spark import session

MAX_DIMENSIONS = 512

# Tracks that an embedder is fitted to: 120 MB of features, so that the driver's memory does not grow with the
# collection. A mean over 20,000 tracks is known to .7 % of a standard deviation.
MAX_FIT_TRACKS = 20_000


@dataclasses.dataclass(frozen=True)
class FitInputs:
    """What an embedder is fitted from: tracks, the recipe's parameters, labels and genres if it uses them."""

    training: TrainingSet
    parameters: dict[str, Any]
    neural_config: NeuralConfig | None
    labels: dict[str, TrackLabels]
    genres: dict[str, list[str]]

    @property
    def embedder_id(self) -> str:
        """A hash of the inputs: 16 hex digits."""
        labels = [[track_id, track.fold, *track.names] for track_id, track in sorted(self.labels.items())]
        identity = [self.parameters, self.training.digest, labels, sorted(self.genres.items())]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--recipe",
        choices=sorted(recipes.RECIPES),
        help="embedding recipe (default musicnn if most tracks have its features, else timbre)",
    )
    parser.add_argument(
        "--dimensions", type=int, default=96, help="maximum embedding dimensions (default 96)"
    )
    add_feature_version_argument(parser)
    neural.add_arguments(parser)


def add_feature_version_argument(parser: argparse.ArgumentParser) -> None:
    """Add --feature-version."""
    parser.add_argument(
        "--feature-version", help="version of FEATURES to train on (default: the newest extracted)"
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Update EMBEDDERS and VECTORS from FEATURES; return the counts."""
    if not 1 <= arguments.dimensions <= MAX_DIMENSIONS:
        raise InputError(f"--dimensions: expected 1 to {MAX_DIMENSIONS}, found {arguments.dimensions}")
    lake = open_lake(arguments)
    inputs = _read_inputs(lake, arguments)
    n_tracks = len(inputs.training.keys)
    counts = {"tracks": n_tracks, "recipe": inputs.parameters["recipe"], "embedder": inputs.embedder_id}
    if _is_up_to_date(lake, inputs):
        return StepResult({**counts, "new": 0})
    with progress.watch("embed", n_tracks):
        embedder, report = _fit(lake, inputs)
        rows = _embedder_rows(embedder, inputs, report)
        lake.commit_arrow(EMBEDDERS, [rows])
        _write_vectors(arguments.master, lake, inputs, embedder)
    return StepResult({**counts, "new": n_tracks})


def _read_inputs(lake: Lake, arguments: argparse.Namespace) -> FitInputs:
    training = training_data.training_set(lake, arguments.feature_version)
    recipe = arguments.recipe or default_recipe(lake, training)
    parameters = {
        "recipe": recipe,
        "recipe_version": recipes.VERSION,
        "dimensions": arguments.dimensions,
    }
    neural_config = None
    labels: dict[str, TrackLabels] = {}
    if recipe == "neural":
        neural_config = neural.parse_config(arguments)
        parameters |= dataclasses.asdict(neural_config)
        plays = None
        if neural_config.neural_labels == "plays":
            # `evaluate` holds out the later plays.
            plays, _ = splits.temporal_split(play_log.latest_plays(lake, splits.MAX_PLAYS))
        labels = neural_labels.track_labels(lake, [track_id for track_id, _ in training.keys], plays)
    reads_genres = recipe in recipes.GENRE_RECIPES
    genres = training_data.track_genres(lake) if reads_genres else {}
    return FitInputs(training, parameters, neural_config, labels, genres)


def default_recipe(lake: Lake, training: TrainingSet) -> str:
    """Return musicnn if at least half of the training tracks have its features, else timbre."""
    column = descriptor_columns("musicnn")[0]
    if column not in MODEL_INPUT_COLUMNS[training.feature_version]:
        return "timbre"
    n_present = 0
    for _, values in training_data.feature_batches(lake, training, [column]):
        n_present += int(np.isfinite(values).sum())
    return "musicnn" if 2 * n_present >= len(training.keys) else "timbre"


def _is_up_to_date(lake: Lake, inputs: FitInputs) -> bool:
    """Return whether both tables are of these inputs, and VECTORS has every track."""
    fitted = lake.read_arrow(EMBEDDERS, "embedder_id")["embedder_id"].to_pylist()
    embedded = lake.read_arrow(VECTORS, "embedder_id")["embedder_id"].to_pylist()
    return set(fitted) == {inputs.embedder_id} and embedded == [inputs.embedder_id] * len(
        inputs.training.keys
    )


def _fit(lake: Lake, inputs: FitInputs) -> tuple[Embedder, dict[str, Any]]:
    """Return the fitted embedder, and what was measured."""
    recipe = inputs.parameters["recipe"]
    columns = recipe_columns(recipe, inputs.training.feature_version)
    ids, values = fit_sample(lake, inputs.training, columns)
    embedder, fit_report = fitting.fit_embedder(
        values,
        columns,
        recipe=recipe,
        dimensions=inputs.parameters["dimensions"],
        genres=[inputs.genres.get(track_id) for track_id in ids] if inputs.genres else None,
    )
    report = dataclasses.asdict(fit_report)
    if inputs.neural_config:
        layers, training_report = neural.train(
            embedder.project(values), ids, inputs.labels, inputs.neural_config
        )
        embedder = neural.add_network(embedder, layers)
        report |= dataclasses.asdict(training_report)
    return embedder, report


def recipe_columns(recipe: str, feature_version: str) -> tuple[str, ...]:
    """Return the columns of FEATURES that a recipe reads of a feature version, each once."""
    columns: dict[str, None] = {}
    for group in recipes.recipe_groups(recipe, MODEL_INPUT_COLUMNS[feature_version]):
        for part in group.parts:
            columns |= dict.fromkeys(part.columns)
    return tuple(columns)


def fit_sample(lake: Lake, training: TrainingSet, columns: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return ids, sorted, and features (tracks, len(columns)) of the training tracks.

    Of more than MAX_FIT_TRACKS tracks it is a sample by the hash of their ids.
    """
    track_ids = {track_id for track_id, _ in training.keys}
    if len(track_ids) > MAX_FIT_TRACKS:
        by_hash = sorted(track_ids, key=lambda track_id: hashlib.sha256(track_id.encode()).digest())
        track_ids = set(by_hash[:MAX_FIT_TRACKS])
    ids: list[str] = []
    batches = []
    for batch_ids, batch_values in training_data.feature_batches(
        lake, training, columns, track_ids=track_ids
    ):
        ids += batch_ids
        batches.append(batch_values)
    values = np.concatenate(batches)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[row] for row in order], values[order]


def _embedder_rows(embedder: Embedder, inputs: FitInputs, report: dict[str, Any]) -> pa.RecordBatch:
    """Return the rows of EMBEDDERS: one per array."""
    rows = []
    for name, array in sorted(embedder.arrays().items()):
        is_structure = name == "structure"
        rows.append(
            {
                "embedder_id": inputs.embedder_id,
                "feature_version": inputs.training.feature_version,
                "training_hash": inputs.training.digest,
                "parameters": json.dumps({**inputs.parameters, **report}, sort_keys=True),
                "array": name,
                "text": str(array) if is_structure else None,
                "shape": list(array.shape),
                "values": [] if is_structure else array.astype(np.float64).ravel().tolist(),
            }
        )
    return pa.RecordBatch.from_pylist(rows, schema=EMBEDDERS.arrow_schema())


def _write_vectors(master: str, lake: Lake, inputs: FitInputs, embedder: Embedder) -> None:
    spark = session.get_session(master)
    vectors = batch_inference.embed_frame(spark, lake, inputs.training, embedder)
    lake.commit(VECTORS, vectors.withColumn("embedder_id", F.lit(inputs.embedder_id)))
