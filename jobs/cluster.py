"""EMBEDDINGS from VECTORS: K-Means over a grid of k, silhouette for each, the chosen model registered in MLflow."""

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import figures, progress, registry, session, settings
from jobs.embedding import ROWS_PER_PARTITION, Projection, nearest_cluster, unit
from jobs.errors import InputError, StepError
from jobs.storage import Lake
from jobs.tables import EMBEDDINGS, PROJECTIONS, VECTORS

# Versions of the model whose EMBEDDINGS stay: the champion's and the one to roll back to are among them.
KEPT_VERSIONS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--k", help="numbers of clusters to try, as in 8,16,32 (default: a grid around the root of the tracks)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first centroids (default 0)")
    parser.add_argument("--iterations", type=int, default=50, help="of K-Means, at most (default 50)")


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train where the vectors or the arguments are new, and bring EMBEDDINGS up to date; return what was chosen."""
    lake = Lake(settings.lake_path(arguments.lake))
    tracks = lake.rows(VECTORS)
    if not tracks:
        raise StepError("expected rows in VECTORS, found none; run `segue embed` first")
    grid = parse_grid(arguments.k, tracks)
    projected = lake.arrow(PROJECTIONS).sort_by("feature").to_pylist()
    tags = {
        **{name: projected[0][name] for name in ("projection_id", "feature_version", "training_hash")},
        "grid": hashlib.sha256(json.dumps([grid, arguments.seed, arguments.iterations]).encode()).hexdigest()[:16],
    }
    registry.connect(arguments.mlflow, lake.root)
    registry.end_killed_runs(str(lake.root))
    known = registry.versions(**tags)
    if not known:
        with progress.watch("cluster", tracks):
            vectors = lake.read(session.spark(arguments.master), VECTORS)
            known = [_train(vectors, tracks, grid, arguments, _projection(projected), tags, str(lake.root))]
    version = str(known[0].version)  # a number where it has just been made
    if lake.arrow(EMBEDDINGS, "model_version")["model_version"].to_pylist().count(version) != tracks:
        _write(session.spark(arguments.master), lake, version, registry.centroids(known[0]))
    return {
        "tracks": tracks,
        "k": int(known[0].tags["k"]),
        "silhouette": known[0].tags["silhouette"],
        "model version": version,
    }


def parse_grid(text: str | None, tracks: int) -> list[int]:
    """Return the numbers of clusters to try, ascending: those of "8,16,32", else a quarter to four times √tracks."""
    if text is not None:
        numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
        if min(numbers) < 2:
            raise InputError(f"--k: expected numbers from 2, as in 8,16,32, found {text!r}")
        return sorted(set(numbers))
    root = math.sqrt(tracks)
    return sorted({min(max(round(root * share), 2), max(tracks - 1, 2)) for share in (0.25, 0.5, 1, 2, 4)})


def choose(silhouettes: dict[int, float], tracks: int) -> int:
    """Return the k to use: the best silhouette among those from half to twice √tracks (all, where none is).

    Silhouette alone picks the smallest k, which makes a useless index; around √tracks searching one cluster costs as much
    as finding it.
    """
    root = math.sqrt(tracks)
    window = {k: s for k, s in silhouettes.items() if root / 2.01 <= k <= root * 2.01} or silhouettes
    return max(window, key=lambda k: (window[k], -k))


def _projection(rows: list[Any]) -> Projection:
    mean, scale = (np.array([row[name] for row in rows]) for name in ("mean", "scale"))
    loadings = np.array([row["loadings"] for row in rows], dtype=np.float32)
    return Projection(tuple(row["feature"] for row in rows), mean, scale, loadings)


def _train(
    vectors: DataFrame,
    tracks: int,
    grid: list[int],
    arguments: argparse.Namespace,
    projection: Projection,
    tags: dict[str, str],
    lake_id: str,
) -> Any:
    """Try every k in a child run of its own, log the curve, register the chosen model; return its version."""
    points = vectors.repartitionByRange(tracks // ROWS_PER_PARTITION + 1, "track_id").sortWithinPartitions("track_id")
    points = points.select(array_to_vector("embedding").alias("features")).persist()
    parameters = {"tracks": tracks, "seed": arguments.seed, "iterations": arguments.iterations, "grid": str(grid)}
    parameters["dimensions"] = projection.loadings.shape[1]
    run_tags = {**tags, "lake": lake_id}
    with registry.run("grid", run_tags, parameters) as run_id, tempfile.TemporaryDirectory() as folder:
        models, silhouettes = {}, {}
        for k in grid:
            with registry.run(f"k={k}", run_tags, {"k": k, "seed": arguments.seed}, nested=True):
                models[k], silhouettes[k] = _try(points, k, arguments)
        chosen = choose(silhouettes, tracks)
        centroids = unit(np.array(models[chosen].clusterCenters()))
        registry.log_grid(silhouettes, chosen, figures.silhouette_curve(silhouettes, chosen, tracks))
        tags = {**tags, "k": str(chosen), "silhouette": f"{silhouettes[chosen]:.3f}", "tracks": str(tracks)}
        version = registry.register(projection, centroids, run_id=run_id, tags=tags, folder=Path(folder))
    points.unpersist()
    return version


def _try(points: DataFrame, k: int, arguments: argparse.Namespace) -> tuple[KMeansModel, float]:
    """Return the K-Means model of one k and its silhouette (cosine, -1..1; 0 where there is one cluster only)."""
    started = time.monotonic()
    model = KMeans(k=k, seed=arguments.seed, maxIter=arguments.iterations, distanceMeasure="cosine").fit(points)
    sizes = np.array(model.summary.clusterSizes)
    several = np.count_nonzero(sizes) > 1
    score = ClusteringEvaluator(distanceMeasure="cosine").evaluate(model.transform(points)) if several else 0.0
    registry.log_metrics(
        silhouette=score,
        training_cost=model.summary.trainingCost,
        iterations=model.summary.numIter,
        smallest_cluster=int(sizes.min()),
        largest_cluster=int(sizes.max()),
        seconds=time.monotonic() - started,
    )
    return model, score


def _write(spark: SparkSession, lake: Lake, version: str, centroids: np.ndarray) -> None:
    """Add the version's rows to EMBEDDINGS, and drop those of versions long past."""
    old = lake.read(spark, EMBEDDINGS)
    newest = sorted((int(row[0]) for row in old.select("model_version").distinct().collect()), reverse=True)
    kept = [str(number) for number in newest if str(number) != version][: KEPT_VERSIONS - 1]
    clustered = (
        lake.read(spark, VECTORS)
        .select("track_id", "embedding")
        .mapInArrow(_clusterer(centroids), "track_id string, embedding array<float>, cluster int")
    )
    new = clustered.withColumn("model_version", F.lit(version)).select(EMBEDDINGS.names)
    lake.commit(EMBEDDINGS, old.where(F.col("model_version").isin(kept)).unionByName(new))


def _clusterer(centroids: np.ndarray) -> Any:
    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            flat = batch.column("embedding").flatten().to_numpy()
            clusters = nearest_cluster(flat.reshape(len(batch), -1), centroids)
            yield batch.append_column("cluster", pa.array(clusters))

    return apply
