"""K-Means on Spark: train one trial, measure its clusters as a search index, choose the best trial."""

import time
from dataclasses import dataclass

import numpy as np
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.sql import DataFrame

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import Calibration, calibrate_nprobe


@dataclass(frozen=True, kw_only=True)
class KMeansTrial:
    """One K-Means of a grid search.

    Attributes
    ----------
    centroids : (k, d)
        Unit length.
    sizes : (k,)
        Tracks per cluster.
    silhouette
        Cosine distance, -1 to 1; 0 for one cluster.
    index
        The clusters as a search index.
    """

    k: int
    seed: int
    centroids: np.ndarray
    sizes: np.ndarray
    silhouette: float
    index: Calibration

    @property
    def search_cost(self) -> float:
        """The fraction of the collection that a query is compared with, a centroid counting as a track."""
        return self.index.scanned_fraction + len(self.centroids) / max(self.sizes.sum(), 1)

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


def best_trial(trials: list[KMeansTrial]) -> KMeansTrial:
    """Return the trial with the best selection score; of equals the smallest k, then the smallest seed."""
    return max(trials, key=lambda trial: (round(trial.selection_score, 9), -trial.k, -trial.seed))


def train_kmeans(
    points: DataFrame, *, k: int, seed: int, iterations: int, queries: np.ndarray, neighbours: np.ndarray
) -> tuple[KMeansTrial, dict[str, float]]:
    """Train one K-Means by cosine distance; return it, and metrics of the training for MLflow.

    Parameters
    ----------
    points : DataFrame
        `features`, a vector per track.
    iterations : int
        Maximum number of iterations.
    queries : (q, d)
    neighbours : (q, m, d)
        Exact nearest neighbours of the queries, to calibrate nprobe.
    """
    started = time.monotonic()
    model = KMeans(k=k, seed=seed, maxIter=iterations, distanceMeasure="cosine").fit(points)
    sizes = np.array(model.summary.clusterSizes)
    silhouette = 0.0
    if np.count_nonzero(sizes) > 1:
        evaluator = ClusteringEvaluator(distanceMeasure="cosine")
        silhouette = float(evaluator.evaluate(model.transform(points)))
    centroids = l2_normalize(np.array(model.clusterCenters()))
    # With fewer than k different directions there are fewer centroids than sizes, or fewer sizes than
    # centroids.
    sizes = np.pad(sizes, (0, max(len(centroids) - len(sizes), 0)))[: len(centroids)]
    trial = KMeansTrial(
        k=k,
        seed=seed,
        centroids=centroids,
        sizes=sizes,
        silhouette=silhouette,
        index=calibrate_nprobe(centroids, sizes, queries, neighbours),
    )
    return trial, {
        "training_cost": model.summary.trainingCost,
        "iterations": model.summary.numIter,
        "smallest_cluster": int(sizes.min()),
        "largest_cluster": int(sizes.max()),
        "seconds": time.monotonic() - started,
    }
