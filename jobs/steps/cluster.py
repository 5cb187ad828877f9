"""A model from VECTORS: K-Means over a grid of k and seeds, what each is worth as an index, the chosen one registered.

k is chosen by what a cluster is for, in one sum: score(k) = silhouette - cost. The silhouette (cosine, -1..1) says how
clear the groups are; the cost (0..1 and beyond) is the share of the collection that a search must be compared with,
centroids included, to find 98 % of the ten nearest. Silhouette alone picks the smallest k, which searches everything.
"""

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDERS, TRACKS, VECTORS
from jobs.lake.storage import Lake, open_lake
from jobs.model import batch_inference, plots, registry
from jobs.model.embedding import ROWS_PER_PARTITION, Embedder, l2_normalize, nearest_cluster
from jobs.model.ivf_index import Calibration, calibrate_nprobe
from jobs.model.metrics import Clusters, K, TopK
from jobs.progress import StepResult
from jobs.spark import session

# Tracks that the index is asked about for each k, and tracks in the pictures.
_N_QUERIES, _MAX_PLOTTED = 500, 1_500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "--k",
        help="numbers of clusters to try, as in 8,16,32 (default: a grid around the root of the tracks)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first centroids (default 0)")
    parser.add_argument(
        "--seeds", type=int, default=2, help="seeds to try for each k, from --seed on (default 2)"
    )
    parser.add_argument("--iterations", type=int, default=50, help="of K-Means, at most (default 50)")


def main(arguments: argparse.Namespace) -> StepResult:
    """Train where the vectors or the arguments are new, and bring EMBEDDINGS up to date; return what was chosen."""
    lake = open_lake(arguments)
    tracks = lake.count_rows(VECTORS)
    if not tracks:
        raise StepError("expected rows in VECTORS, found none; run `segue embed` first")
    if arguments.seeds < 1:
        raise InputError(f"--seeds: expected at least 1, found {arguments.seeds}")
    grid = parse_grid(arguments.k, tracks)
    rows = lake.read_arrow(EMBEDDERS).to_pylist()
    fitted, applied = (
        {row["embedder_id"] for row in rows},
        lake.read_arrow(VECTORS, "embedder_id")["embedder_id"],
    )
    if fitted != set(applied.unique().to_pylist()):  # `embed` was stopped between the two
        raise StepError("expected VECTORS of what is in EMBEDDERS, found others; run `segue embed` first")
    identity = json.dumps([grid, arguments.seed, arguments.seeds, arguments.iterations])
    tags = {
        **{name: rows[0][name] for name in ("embedder_id", "feature_version", "training_hash")},
        "grid": hashlib.sha256(identity.encode()).hexdigest()[:16],
    }
    registry.connect(arguments.mlflow, lake.root)
    registry.end_killed_runs(str(lake.root))
    known = registry.versions(**tags)
    if not known:
        with progress.watch("cluster", tracks):
            training = GridSearch(
                lake, tracks, grid, arguments, load_embedder(rows), json.loads(rows[0]["parameters"])
            )
            known = [training.run(session.get_session(arguments.master), tags)]
    version = str(known[0].version)  # a number where it has just been made
    registry.set_challenger(version)
    batch_inference.update_embeddings(lake, arguments.master, registry.version(version))
    return StepResult(
        {
            "tracks": tracks,
            "clusters": int(known[0].tags["k"]),
            "silhouette": known[0].tags["silhouette"],
            "probes": int(known[0].tags["probes"]),
        },
        model_version=version,
    )


def parse_grid(text: str | None, tracks: int) -> list[int]:
    """Return the numbers of clusters to try, ascending: those of "8,16,32", else half to four times √tracks."""
    if text is not None:
        numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
        if min(numbers) < 2:
            raise InputError(f"--k: expected numbers from 2, as in 8,16,32, found {text!r}")
        return sorted(set(numbers))
    root = math.sqrt(tracks)
    return sorted({min(max(round(root * share), 2), max(tracks - 1, 2)) for share in (0.5, 1, 1.5, 2, 4)})


def load_embedder(rows: list[Any]) -> Embedder:
    """Return the embedder that rows of EMBEDDERS hold."""
    arrays = {
        row["array"]: np.array(row["text"]) if row["text"] else np.array(row["values"]).reshape(row["shape"])
        for row in rows
    }
    return Embedder.from_arrays(arrays)


@dataclass(frozen=True)
class KMeansTrial:
    """One K-Means: its k and seed, unit centroids, cluster sizes, silhouette, and what it is worth as an index."""

    k: int
    seed: int
    centroids: np.ndarray
    sizes: np.ndarray
    silhouette: float
    index: Calibration

    @property
    def scanned_fraction(self) -> float:
        """The share of the collection that a search is compared with, a centroid counting as a track."""
        return self.index.scanned_fraction + len(self.centroids) / max(self.sizes.sum(), 1)

    @property
    def score(self) -> float:
        """What k is chosen by: silhouette - cost."""
        return self.silhouette - self.scanned_fraction


def best_trial(tried: list[KMeansTrial]) -> KMeansTrial:
    """Return the one to use: the best score; of equals the smallest k, then the first seed."""
    return max(tried, key=lambda one: (round(one.score, 9), -one.k, -one.seed))


@dataclass(frozen=True)
class GridSearch:
    """One training: every k and seed in a child run of its own, the chosen model registered."""

    lake: Lake
    tracks: int
    grid: list[int]
    arguments: argparse.Namespace
    embedder: Embedder
    recipe: dict[str, Any]

    def run(self, spark: Any, tags: dict[str, str]) -> Any:
        """Train, log, register; return the version."""
        vectors = self.lake.read(spark, VECTORS)
        points = vectors.repartitionByRange(self.tracks // ROWS_PER_PARTITION + 1, "track_id")
        points = points.sortWithinPartitions("track_id")
        points = points.select(array_to_vector("embedding").alias("features")).persist()
        run_tags = {**tags, "lake": str(self.lake.root), "git_commit": registry.git_commit()}
        name = f"{self.embedder.recipe}, {self.tracks} tracks"
        with (
            registry.start_run(name, run_tags, self._parameters()) as run_id,
            tempfile.TemporaryDirectory() as folder,
        ):
            questions = _exact_neighbours(self.lake, self.tracks)
            tried = []
            for k in self.grid:
                for seed in range(self.arguments.seed, self.arguments.seed + self.arguments.seeds):
                    with registry.start_run(
                        f"k={k} seed={seed}", run_tags, {"k": k, "seed": seed}, nested=True
                    ):
                        tried.append(_train_one(points, k, seed, self.arguments.iterations, questions))
            chosen = best_trial(tried)
            clusters = Clusters(chosen.centroids, chosen.index.nprobe)
            self._log(tried, chosen)
            tags = {
                **tags,
                "recipe": self.embedder.recipe,
                "k": str(chosen.k),
                "probes": str(clusters.nprobe),
                "silhouette": f"{chosen.silhouette:.3f}",
                "tracks": str(self.tracks),
                "model_hash": registry.model_hash(self.embedder, clusters),
            }
            version = registry.register(
                self.embedder, clusters, run_id=run_id, tags=tags, folder=Path(folder)
            )
            registry.rename(f"{name}, k {chosen.k}, version {version.version}")
        points.unpersist()
        return version

    def _parameters(self) -> dict[str, Any]:
        own = {"tracks": self.tracks, "grid": str(self.grid), "iterations": self.arguments.iterations}
        own |= {"seed": self.arguments.seed, "seeds": self.arguments.seeds}
        return own | {name: value for name, value in self.recipe.items() if not isinstance(value, list)}

    def _log(self, tried: list[KMeansTrial], chosen: KMeansTrial) -> None:
        """Log in the parent run what its children found, and the pictures."""
        best = {k: best_trial([one for one in tried if one.k == k]) for k in self.grid}
        silhouettes, costs = (
            {k: getattr(one, name) for k, one in best.items()} for name in ("silhouette", "cost")
        )
        registry.log_curve("silhouette_by_k", silhouettes)
        registry.log_curve("cost_by_k", costs)
        registry.log_metrics(k=chosen.k, silhouette=chosen.silhouette, **_index_metrics(chosen))
        names = ("k", "seed", "silhouette", "cost", "score")
        registry.log_table("grid", [{name: getattr(one, name) for name in names} for one in tried])
        vectors, genres = _sample_for_plots(self.lake, self.tracks)
        clusters = nearest_cluster(vectors, chosen.centroids)
        pictures = {
            "silhouette": plots.plot_silhouette_by_k(silhouettes, costs, chosen.k, self.tracks),
            "cluster_sizes": plots.plot_cluster_sizes(chosen.sizes),
            "genres_by_cluster": plots.plot_genres_by_cluster(genres, clusters),
            "map": plots.plot_map(vectors, genres, clusters),
        }
        if curve := self.recipe.get("loss_curve"):
            pictures["loss"] = plots.plot_loss_curves(curve, self.recipe["validation_curve"])
            for name in ("loss_curve", "validation_curve"):
                registry.log_curve(name, dict(enumerate(self.recipe[name], 1)))
        registry.log_plots(pictures)


def _train_one(
    points: DataFrame, k: int, seed: int, iterations: int, questions: tuple[np.ndarray, np.ndarray]
) -> KMeansTrial:
    """Return one K-Means with its silhouette (cosine, -1..1; 0 where there is one cluster only), logged in the open run."""
    started = time.monotonic()
    model = KMeans(k=k, seed=seed, maxIter=iterations, distanceMeasure="cosine").fit(points)
    sizes = np.array(model.summary.clusterSizes)
    several = np.count_nonzero(sizes) > 1
    score = (
        ClusteringEvaluator(distanceMeasure="cosine").evaluate(model.transform(points)) if several else 0.0
    )
    centroids = l2_normalize(np.array(model.clusterCenters()))
    # Where fewer than k directions differ there are fewer centroids than sizes, or the other way round.
    sizes = np.pad(sizes, (0, max(len(centroids) - len(sizes), 0)))[: len(centroids)]
    tried = KMeansTrial(
        k, seed, centroids, sizes, float(score), calibrate_nprobe(centroids, sizes, *questions)
    )
    registry.log_metrics(
        silhouette=tried.silhouette,
        training_cost=model.summary.trainingCost,
        iterations=model.summary.numIter,
        smallest_cluster=int(sizes.min()),
        largest_cluster=int(sizes.max()),
        seconds=time.monotonic() - started,
        **_index_metrics(tried),
    )
    return tried


def _index_metrics(tried: KMeansTrial) -> dict[str, float]:
    found = {
        "probes": tried.index.nprobe,
        "recall_at_10": tried.index.recall,
        "share_scanned": tried.index.scanned_fraction,
    }
    return found | {"cost": tried.scanned_fraction, "score": tried.score}


def _batches(lake: Lake) -> Iterator[tuple[list[str], np.ndarray]]:
    for batch in lake.iter_batches(VECTORS, "track_id", "embedding"):
        if len(batch):
            yield batch.column(0).to_pylist(), batch.column(1).flatten().to_numpy().reshape(len(batch), -1)


def _sample_vectors(lake: Lake, tracks: int, count: int) -> tuple[list[str], np.ndarray]:
    """Return ids and vectors of about `count` tracks, evenly spaced in the table; of all where there are fewer."""
    every, seen = max(tracks // count, 1), 0
    ids: list[str] = []
    vectors = []
    for found, rows in _batches(lake):
        chosen = np.arange(-seen % every, len(found), every)
        ids += [found[n] for n in chosen]
        vectors.append(rows[chosen])
        seen += len(found)
    return ids, np.concatenate(vectors)


def _exact_neighbours(lake: Lake, tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (q, d) of sampled tracks and those of their exact nearest (q, m, d), m = 10 or all others."""
    ids, queries = _sample_vectors(lake, tracks, _N_QUERIES)
    top, start = TopK(queries, min(K, tracks - 1)), 0
    for found, rows in _batches(lake):
        itself = np.array(ids)[:, None] == np.array(found)
        top.add(rows, np.arange(start, start + len(found)), itself)
        start += len(found)
    nearest, start = np.zeros((*top.positions.shape, queries.shape[1]), dtype=np.float32), 0
    for found, rows in _batches(lake):
        here = (top.positions >= start) & (top.positions < start + len(found))
        nearest[here] = rows[top.positions[here] - start]
        start += len(found)
    return queries, nearest


def _sample_for_plots(lake: Lake, tracks: int) -> tuple[np.ndarray, list[str | None]]:
    ids, vectors = _sample_vectors(lake, tracks, _MAX_PLOTTED)
    genres = {
        row["track_id"]: row["genre"] for row in lake.read_arrow(TRACKS, "track_id", "genre").to_pylist()
    }
    return vectors, [genres.get(track_id) for track_id in ids]
