"""Train K-Means on VECTORS over a grid of k and seeds, an MLflow run each; register the best model.

k is chosen by what a cluster is for: selection score = silhouette - search cost. The silhouette (cosine
distance, -1 to 1) measures how separate the clusters are. The search cost (0 to 1 and beyond) is the fraction
of the collection that a query is compared with, centroids included, to find 98 % of its ten nearest
neighbours. Silhouette alone would choose the smallest k, which searches everything.
"""

import argparse
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDERS, VECTORS
from jobs.lake.storage import Lake, open_lake
from jobs.model import batch_inference, plots, registry, tracking
from jobs.model.embedding import ROWS_PER_PARTITION, Embedder, nearest_cluster
from jobs.model.ivf_index import Clusters
from jobs.model.kmeans import KMeansTrial, best_trial, train_kmeans
from jobs.model.vector_samples import exact_neighbours, sample_for_plots
from jobs.progress import StepResult
from jobs.spark import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--k",
        help="numbers of clusters to try, as in 8,16,32 (default: half to four times the root of the tracks)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the first centroids (default 0)")
    parser.add_argument(
        "--seeds", type=int, default=2, help="number of seeds to try for each k, from --seed on (default 2)"
    )
    parser.add_argument("--iterations", type=int, default=50, help="maximum K-Means iterations (default 50)")


def main(arguments: argparse.Namespace) -> StepResult:
    """Train if the vectors or the settings are new, and update EMBEDDINGS; return the chosen clusters."""
    lake = open_lake(arguments)
    n_tracks = lake.count_rows(VECTORS)
    if not n_tracks:
        raise StepError("expected rows in VECTORS, found none; run `segue embed` first")
    if arguments.seeds < 1:
        raise InputError(f"--seeds: expected at least 1, found {arguments.seeds}")
    if arguments.iterations < 1:
        raise InputError(f"--iterations: expected at least 1, found {arguments.iterations}")
    settings = GridSettings(
        k=parse_grid(arguments.k, n_tracks),
        seed=arguments.seed,
        seeds=arguments.seeds,
        iterations=arguments.iterations,
    )
    embedder_rows = _read_embedder_rows(lake)
    tags = {name: embedder_rows[0][name] for name in ("embedder_id", "feature_version", "training_hash")}
    tags["training_digest"] = settings.digest
    tracking.connect(arguments.mlflow, lake.root)
    tracking.end_killed_runs(str(lake.root))
    versions = registry.versions(**tags)
    if versions:
        version = versions[0]
    else:
        search = GridSearch(
            lake=lake,
            n_tracks=n_tracks,
            settings=settings,
            embedder=load_embedder(embedder_rows),
            embedder_parameters=json.loads(embedder_rows[0]["parameters"]),
        )
        with progress.watch("cluster", n_tracks):
            version = search.run(session.get_session(arguments.master), tags)
    number = str(version.version)  # an int in the version that `run` returns
    registry.set_challenger(number)
    batch_inference.update_embeddings(lake, arguments.master, registry.version(number))
    counts = {
        "tracks": n_tracks,
        "clusters": int(version.tags["k"]),
        "silhouette": version.tags["silhouette"],
        "nprobe": int(version.tags["nprobe"]),
    }
    return StepResult(counts, model_version=number)


def parse_grid(text: str | None, n_tracks: int) -> list[int]:
    """Return the numbers of clusters to try, ascending.

    Those of "8,16,32", or half to four times √n_tracks.
    """
    if text is not None:
        numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
        if min(numbers) < 2:
            raise InputError(f"--k: expected numbers from 2, as in 8,16,32, found {text!r}")
        return sorted(set(numbers))
    root = math.sqrt(n_tracks)
    return sorted({min(max(round(root * factor), 2), max(n_tracks - 1, 2)) for factor in (0.5, 1, 1.5, 2, 4)})


def _read_embedder_rows(lake: Lake) -> list[dict[str, Any]]:
    """Return the rows of EMBEDDERS. Raises StepError if VECTORS are of another embedder."""
    rows = lake.read_arrow(EMBEDDERS).to_pylist()
    fitted = {row["embedder_id"] for row in rows}
    applied = lake.read_arrow(VECTORS, "embedder_id")["embedder_id"].unique().to_pylist()
    if fitted != set(applied):  # `embed` was stopped between writing the two tables
        raise StepError(
            "expected VECTORS of the embedder in EMBEDDERS, found those of another; run `segue embed` first"
        )
    return rows


def load_embedder(rows: list[dict[str, Any]]) -> Embedder:
    """Return the embedder that rows of EMBEDDERS hold."""
    arrays = {}
    for row in rows:
        is_text = bool(row["text"])
        arrays[row["array"]] = (
            np.array(row["text"]) if is_text else np.array(row["values"]).reshape(row["shape"])
        )
    return Embedder.from_arrays(arrays)


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """What is tried: every k with `seeds` seeds from `seed` on, each with at most `iterations` iterations."""

    k: list[int]
    seed: int
    seeds: int
    iterations: int

    @property
    def digest(self) -> str:
        """A hash of the settings: 16 hex digits."""
        identity = json.dumps([self.k, self.seed, self.seeds, self.iterations])
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def trials(self) -> list[tuple[int, int]]:
        """Return every (k, seed)."""
        return [(k, seed) for k in self.k for seed in range(self.seed, self.seed + self.seeds)]


@dataclass(frozen=True, kw_only=True)
class GridSearch:
    """One training: a parent run in MLflow, a child run per trial, the best trial registered."""

    lake: Lake
    n_tracks: int
    settings: GridSettings
    embedder: Embedder
    embedder_parameters: dict[str, Any]

    def run(self, spark: SparkSession, tags: dict[str, str]) -> Any:
        """Train, log and register with `tags`; return the new version."""
        points = self._read_points(spark)
        run_tags = {**tags, "lake": str(self.lake.root), "git_commit": tracking.git_commit()}
        name = f"{self.embedder.recipe}, {self.n_tracks} tracks"
        with (
            tracking.start_run(name, run_tags, self._parameters()) as run_id,
            tempfile.TemporaryDirectory() as folder,
        ):
            trials = self._train(points, run_tags)
            chosen = best_trial(trials)
            self._log(trials, chosen)
            clusters = Clusters(chosen.centroids, chosen.index.nprobe)
            version = registry.register(
                self.embedder,
                clusters,
                run_id=run_id,
                tags={**tags, **self._version_tags(chosen, clusters)},
                folder=Path(folder),
            )
            tracking.rename_run(f"{name}, k {chosen.k}, version {version.version}")
        points.unpersist()
        return version

    def _read_points(self, spark: SparkSession) -> DataFrame:
        """Return VECTORS in a fixed order, as Spark ML's vectors, in memory."""
        vectors = self.lake.read(spark, VECTORS)
        points = vectors.repartitionByRange(self.n_tracks // ROWS_PER_PARTITION + 1, "track_id")
        points = points.sortWithinPartitions("track_id")
        return points.select(array_to_vector("embedding").alias("features")).persist()

    def _parameters(self) -> dict[str, Any]:
        """Return the parameters of the parent run: the grid, and the embedder's except its curves."""
        parameters: dict[str, Any] = {
            "tracks": self.n_tracks,
            "grid": str(self.settings.k),
            "iterations": self.settings.iterations,
            "seed": self.settings.seed,
            "seeds": self.settings.seeds,
        }
        for name, value in self.embedder_parameters.items():
            if not isinstance(value, list):
                parameters[name] = value
        return parameters

    def _train(self, points: DataFrame, run_tags: dict[str, str]) -> list[KMeansTrial]:
        queries, neighbours = exact_neighbours(self.lake, self.n_tracks)
        trials = []
        for k, seed in self.settings.trials():
            with tracking.start_run(f"k={k} seed={seed}", run_tags, {"k": k, "seed": seed}, nested=True):
                trial, metrics = train_kmeans(
                    points,
                    k=k,
                    seed=seed,
                    iterations=self.settings.iterations,
                    queries=queries,
                    neighbours=neighbours,
                )
                tracking.log_metrics(**metrics, **trial.metrics())
                trials.append(trial)
        return trials

    def _version_tags(self, chosen: KMeansTrial, clusters: Clusters) -> dict[str, str]:
        return {
            "recipe": self.embedder.recipe,
            "k": str(chosen.k),
            "nprobe": str(clusters.nprobe),
            "silhouette": f"{chosen.silhouette:.3f}",
            "tracks": str(self.n_tracks),
            "model_hash": registry.model_hash(self.embedder, clusters),
        }

    def _log(self, trials: list[KMeansTrial], chosen: KMeansTrial) -> None:
        """Log the results of all trials, and the plots, in the parent run."""
        best_by_k = {k: best_trial([trial for trial in trials if trial.k == k]) for k in self.settings.k}
        silhouettes = {k: trial.silhouette for k, trial in best_by_k.items()}
        search_costs = {k: trial.search_cost for k, trial in best_by_k.items()}
        tracking.log_curve("silhouette_by_k", silhouettes)
        tracking.log_curve("search_cost_by_k", search_costs)
        tracking.log_metrics(k=chosen.k, **chosen.metrics())
        tracking.log_table("grid", [{"k": t.k, "seed": t.seed, **t.metrics()} for t in trials])
        vectors, genres = sample_for_plots(self.lake, self.n_tracks)
        clusters = nearest_cluster(vectors, chosen.centroids)
        figures = {
            "silhouette": plots.plot_silhouette_by_k(silhouettes, search_costs, chosen.k, self.n_tracks),
            "cluster_sizes": plots.plot_cluster_sizes(chosen.sizes),
            "genres_by_cluster": plots.plot_genres_by_cluster(genres, clusters),
            "map": plots.plot_map(vectors, genres, clusters),
        }
        if "loss_curve" in self.embedder_parameters:
            curves = {name: self.embedder_parameters[name] for name in ("loss_curve", "validation_curve")}
            figures["loss"] = plots.plot_loss_curves(curves["loss_curve"], curves["validation_curve"])
            for name, losses in curves.items():
                tracking.log_curve(name, dict(enumerate(losses, 1)))
        tracking.log_plots(figures)
