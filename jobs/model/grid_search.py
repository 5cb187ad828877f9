"""The search for the number of clusters: train K-Means for every k and seed, and choose the best trial.

k is chosen by what a cluster is for: selection score = silhouette - search cost. The silhouette (cosine
distance, -1 to 1) measures how separate the clusters are. The search cost (0 to 1 and beyond) is the fraction
of the collection that a query is compared with, centroids included, to find 98 % of its ten nearest
neighbours. Silhouette alone would choose the smallest k, which searches everything.

Trials are trained on a sample, each on one worker, and measured over all vectors. The best trial's centroids
are then trained on over all.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jobs.errors import InputError
from jobs.model import kmeans
from jobs.model.ivf_index import Calibration, calibrate_nprobe
from jobs.model.kmeans import DistributedVectors, FittedClusters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# The default grid: factors of the root of the number of tracks.
_ROOT_FACTORS = (0.5, 1, 1.5, 2, 4)

# Trials are trained on this many vectors for each cluster of the grid's largest k, and on no fewer than the
# second number.
_SAMPLE_PER_CLUSTER = 16
_MIN_SAMPLE = 20_000


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

    def sample_size(self) -> int:
        """Return how many vectors the trials are trained on, at least."""
        return max(_SAMPLE_PER_CLUSTER * max(self.k), _MIN_SAMPLE)


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
    return sorted({min(max(round(root * factor), 2), max(n_tracks - 1, 2)) for factor in _ROOT_FACTORS})


@dataclass(frozen=True, kw_only=True)
class KMeansTrial:
    """One K-Means of a grid search.

    Attributes
    ----------
    fitted
        Its clusters.
    silhouette
        Cosine distance, -1 to 1; 0 for one cluster.
    index
        The clusters as a search index.
    """

    k: int
    seed: int
    fitted: FittedClusters
    silhouette: float
    index: Calibration

    @property
    def search_cost(self) -> float:
        """The fraction of the collection that a query is compared with, a centroid counting as a track."""
        n_tracks = self.fitted.totals.sizes.sum()
        return self.index.scanned_fraction + len(self.fitted.centroids) / max(n_tracks, 1)

    @property
    def selection_score(self) -> float:
        """What the best trial is chosen by: silhouette - search cost."""
        return self.silhouette - self.search_cost

    def metrics(self) -> dict[str, float]:
        """Return the trial's metrics for MLflow."""
        return {
            "silhouette": self.silhouette,
            "nprobe": self.index.nprobe,
            "index_recall_at_10": self.index.recall,
            "scanned_fraction": self.index.scanned_fraction,
            "selection_score": self.selection_score,
        }

    def training_metrics(self) -> dict[str, float]:
        """Return metrics of the training for MLflow; the training cost is the sum of cosine distances."""
        totals = self.fitted.totals
        return {
            "training_cost": float(totals.sizes.sum() - totals.cosine),
            "iterations": self.fitted.iterations,
            "smallest_cluster": int(totals.sizes.min()),
            "largest_cluster": int(totals.sizes.max()),
            "seconds": self.fitted.seconds,
        }


def best_trial(trials: list[KMeansTrial]) -> KMeansTrial:
    """Return the trial with the best selection score; of equals the smallest k, then the smallest seed."""
    return max(trials, key=lambda trial: (round(trial.selection_score, 9), -trial.k, -trial.seed))


def fit_on_sample(
    spark: "SparkSession", sample: np.ndarray, settings: GridSettings
) -> Iterator[tuple[int, int, FittedClusters]]:
    """Yield (k, seed, clusters of the sample) of every trial, in order; each is fitted by one worker.

    Parameters
    ----------
    sample : (n, d) float32
        Unit vectors.
    """
    context = spark.sparkContext
    vectors = context.broadcast(sample)
    iterations = settings.iterations

    def fit(trial: tuple[int, int]) -> FittedClusters:
        def run(number: int) -> FittedClusters:
            return kmeans.fit(vectors.value, k=trial[0], seed=trial[1], iterations=iterations)

        return context.parallelize([0], 1).map(run).collect()[0]

    # A job per trial, and not a task of one job: each is logged when it is done. Spark queues them.
    trials = settings.trials()
    try:
        with ThreadPoolExecutor(len(trials)) as pool:
            for (k, seed), fitted in zip(trials, pool.map(fit, trials), strict=True):
                yield k, seed, fitted
    finally:
        vectors.unpersist()


@dataclass(frozen=True)
class TrialEvaluator:
    """Measures clusters over all vectors.

    Attributes
    ----------
    vectors
        All vectors.
    queries : (q, d)
        Vectors of sampled tracks.
    neighbours : (q, m, d)
        Vectors of their exact nearest neighbours, to calibrate nprobe.
    """

    vectors: DistributedVectors
    queries: np.ndarray
    neighbours: np.ndarray

    def evaluate(self, k: int, seed: int, fitted: FittedClusters) -> KMeansTrial:
        """Return the trial of clusters that were fitted to a sample."""
        measured = self.vectors.fit(fitted.centroids, iterations=0)
        measured = replace(measured, iterations=fitted.iterations, seconds=fitted.seconds)
        return self._measure(k, seed, measured)

    def train(self, trial: KMeansTrial, iterations: int) -> KMeansTrial:
        """Return the trial after training on, over all vectors, from its centroids."""
        fitted = self.vectors.fit(trial.fitted.centroids, iterations=iterations)
        return self._measure(trial.k, trial.seed, fitted)

    def _measure(self, k: int, seed: int, fitted: FittedClusters) -> KMeansTrial:
        index = calibrate_nprobe(fitted.centroids, fitted.totals.sizes, self.queries, self.neighbours)
        silhouette = self.vectors.silhouette(fitted)
        return KMeansTrial(k=k, seed=seed, fitted=fitted, silhouette=silhouette, index=index)
