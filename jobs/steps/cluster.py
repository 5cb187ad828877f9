"""Train K-Means on VECTORS over a grid of k and seeds, an MLflow run each; register the best model.

`jobs/model/grid_search.py` says how k is chosen.
"""

import argparse
import json
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDERS, VECTORS
from jobs.lake.storage import Lake, open_lake
from jobs.model import batch_inference, clustered_vectors, index_registry, kmeans, plots, registry, tracking
from jobs.model.embedding import Embedder, nearest_cluster
from jobs.model.grid_search import (
    GridSettings,
    KMeansTrial,
    TrialEvaluator,
    best_trial,
    fit_on_sample,
    parse_grid,
)
from jobs.model.index_choice import choose_index
from jobs.model.ivf_index import Clusters
from jobs.model.kmeans import DistributedVectors
from jobs.model.vector_samples import exact_neighbours, sample_for_plots, sample_vectors
from jobs.progress import StepResult
from jobs.spark import session

# What random generators of numpy and scikit-learn take.
MAX_SEED = 2**32


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
    if arguments.seed < 0 or arguments.seed + arguments.seeds > MAX_SEED:
        raise InputError(f"--seed: expected 0 to {MAX_SEED - arguments.seeds}, found {arguments.seed}")
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
    tags["grid_digest"] = settings.digest
    tracking.connect(arguments.mlflow, lake.root)
    tracking.end_killed_runs(str(lake.root))
    versions = registry.versions(**tags)
    if versions:
        version = versions[0]
    else:
        training = Training(
            lake=lake,
            n_tracks=n_tracks,
            settings=settings,
            embedder=load_embedder(embedder_rows),
            embedder_parameters=json.loads(embedder_rows[0]["parameters"]),
        )
        # All trials, and the chosen one once more over all tracks.
        with progress.watch("cluster, trials", len(settings.trials()) + 1, lambda: training.n_done):
            version = training.run(session.get_session(arguments.master), tags)
    number = str(version.version)  # an int in the version that `run` returns
    registry.set_challenger(number)
    batch_inference.update_embeddings(lake, arguments.master, registry.version(number))
    counts = {
        "tracks": n_tracks,
        "clusters": int(version.tags["k"]),
        "silhouette": version.tags["silhouette"],
        "nprobe": int(version.tags["nprobe"]),
        "index": _choose_index(lake, number),
    }
    return StepResult(counts, model_version=number)


def _choose_index(lake: Lake, number: str) -> str:
    """Measure which index a version is searched with, unless that is done; return its kind."""
    version = registry.version(number)
    if "index" not in version.tags:
        vectors = clustered_vectors.open_vectors(lake, number)
        index_registry.log_index(version, choose_index(vectors, nprobe=int(version.tags["nprobe"])))
        version = registry.version(number)
    settings = index_registry.index_settings(version)
    clustered_vectors.save_settings(lake, number, settings)
    return settings.kind


def _read_embedder_rows(lake: Lake) -> list[dict[str, Any]]:
    """Return the rows of EMBEDDERS. Raises StepError if VECTORS are of another embedder."""
    rows = lake.read_arrow(EMBEDDERS).to_pylist()
    fitted = {row["embedder_id"] for row in rows}
    batches = lake.iter_batches(VECTORS, "embedder_id")
    applied = {embedder for batch in batches for embedder in batch["embedder_id"].unique().to_pylist()}
    if fitted != applied:  # `embed` was stopped between writing the two tables
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


@dataclass(kw_only=True)
class Training:
    """One training: a parent run in MLflow, a child run per trial, the best trial registered."""

    lake: Lake
    n_tracks: int
    settings: GridSettings
    embedder: Embedder
    embedder_parameters: dict[str, Any]
    n_done: int = 0

    def run(self, spark: SparkSession, tags: dict[str, str]) -> Any:
        """Train, log and register with `tags`; return the new version."""
        run_tags = {**tags, "lake": str(self.lake.root), "git_commit": tracking.git_commit()}
        name = f"{self.embedder.recipe}, {self.n_tracks} tracks"
        with (
            tracking.start_run(name, run_tags, self._parameters()) as run_id,
            tempfile.TemporaryDirectory() as folder,
        ):
            chosen = self._train(spark, run_tags)
            clusters = Clusters(chosen.fitted.centroids, chosen.index.nprobe)
            version = registry.register(
                self.embedder,
                clusters,
                run_id=run_id,
                tags={**tags, **self._version_tags(chosen, clusters)},
                folder=Path(folder),
            )
            tracking.rename_run(f"{name}, k {len(clusters.centroids)}, version {version.version}")
        return version

    def _parameters(self) -> dict[str, Any]:
        """Return the parameters of the parent run: the grid, and the embedder's except its curves."""
        parameters: dict[str, Any] = {
            "tracks": self.n_tracks,
            "grid": str(self.settings.k),
            "iterations": self.settings.iterations,
            "seed": self.settings.seed,
            "seeds": self.settings.seeds,
            "blas": kmeans.blas_name(),
        }
        for name, value in self.embedder_parameters.items():
            if not isinstance(value, list):
                parameters[name] = value
        return parameters

    def _train(self, spark: SparkSession, run_tags: dict[str, str]) -> KMeansTrial:
        """Train and log all trials on a sample; return the best one, trained over all tracks."""
        with closing(DistributedVectors(self.lake.read(spark, VECTORS), self.n_tracks)) as vectors:
            evaluator = TrialEvaluator(vectors, *exact_neighbours(self.lake, self.n_tracks))
            trials = self._train_trials(spark, evaluator, run_tags)
            chosen = evaluator.train(best_trial(trials), self.settings.iterations)
        self._log(trials, chosen)
        return chosen

    def _train_trials(
        self, spark: SparkSession, evaluator: TrialEvaluator, run_tags: dict[str, str]
    ) -> list[KMeansTrial]:
        sample = sample_vectors(self.lake, self.n_tracks, self.settings.sample_size())
        trials = []
        for k, seed, fitted in fit_on_sample(spark, sample, self.settings):
            with tracking.start_run(f"k={k} seed={seed}", run_tags, {"k": k, "seed": seed}, nested=True):
                trial = evaluator.evaluate(k, seed, fitted)
                tracking.log_metrics(**trial.training_metrics(), **trial.metrics())
                trials.append(trial)
            self.n_done += 1
        return trials

    def _version_tags(self, chosen: KMeansTrial, clusters: Clusters) -> dict[str, str]:
        return {
            "recipe": self.embedder.recipe,
            "k": str(len(clusters.centroids)),
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
        tracking.log_metrics(k=len(chosen.fitted.centroids), **chosen.training_metrics(), **chosen.metrics())
        tracking.log_table("grid", [{"k": t.k, "seed": t.seed, **t.metrics()} for t in trials])
        vectors, genres = sample_for_plots(self.lake, self.n_tracks)
        clusters = nearest_cluster(vectors, chosen.fitted.centroids)
        figures = {
            "silhouette": plots.plot_silhouette_by_k(silhouettes, search_costs, chosen.k, self.n_tracks),
            "cluster_sizes": plots.plot_cluster_sizes(chosen.fitted.totals.sizes),
            "genres_by_cluster": plots.plot_genres_by_cluster(genres, clusters),
            "map": plots.plot_map(vectors, genres, clusters),
        }
        if "loss_curve" in self.embedder_parameters:
            curves = {name: self.embedder_parameters[name] for name in ("loss_curve", "validation_curve")}
            figures["loss"] = plots.plot_loss_curves(curves["loss_curve"], curves["validation_curve"])
            for name, losses in curves.items():
                tracking.log_curve(name, dict(enumerate(losses, 1)))
        tracking.log_plots(figures)
