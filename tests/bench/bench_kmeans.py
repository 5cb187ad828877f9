"""Compare K-Means with scikit-learn, faiss and Spark ML on the same vectors; and k chosen on a sample with k
chosen on all.

    .venv/bin/uv pip install --python .venv/bin/python faiss-cpu
    .venv/bin/python -m tests.bench.bench_kmeans [--tracks 20000 106574] [--k 330] [--choice] [--vectors FILE]

Vectors are those of bench_index.py, or of a file. Each system trains once from its own first centroids, at
most 50 iterations, on one thread. Seconds are of CPU (Spark's without its start), cost the mean cosine
distance of a vector to its centroid, silhouette that of 2,000 vectors. A system that is not installed is left
out.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil
import pyarrow as pa
from pyspark.ml.clustering import KMeans as SparkKMeans
from pyspark.ml.functions import array_to_vector
from sklearn.cluster import KMeans, MiniBatchKMeans

from jobs.model import grid_search, kmeans, metrics
from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import calibrate_nprobe
from jobs.model.top_k import TopK
from jobs.spark import session
from tests.bench.bench_index import planted

MASTER = "local[1]"
ITERATIONS = 50
QUERIES = 500
SILHOUETTE_VECTORS = 2_000


def segue(vectors: np.ndarray, k: int) -> np.ndarray:
    return kmeans.fit(vectors, k=k, seed=0, iterations=ITERATIONS).centroids


def segue_from_sample(vectors: np.ndarray, k: int) -> np.ndarray:
    """As `segue cluster` trains: on a sample, then on all from its centroids."""
    sample = vectors[:: max(len(vectors) // max(16 * 4 * int(np.sqrt(len(vectors))), 20_000), 1)]
    centroids = kmeans.fit(sample, k=k, seed=0, iterations=ITERATIONS).centroids
    return kmeans.fit_from(vectors, centroids, iterations=ITERATIONS).centroids


def scikit_learn(vectors: np.ndarray, k: int) -> np.ndarray:
    return KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=0).fit(vectors).cluster_centers_


def scikit_learn_mini_batch(vectors: np.ndarray, k: int) -> np.ndarray:
    model = MiniBatchKMeans(k, n_init=1, max_iter=ITERATIONS, batch_size=4_096, random_state=0)
    return model.fit(vectors).cluster_centers_


def faiss_spherical(vectors: np.ndarray, k: int) -> np.ndarray:
    import faiss

    model = faiss.Kmeans(
        vectors.shape[1], k, niter=ITERATIONS, spherical=True, seed=0, max_points_per_centroid=10**9
    )
    model.train(vectors)
    return np.asarray(model.centroids)


def spark_ml(vectors: np.ndarray, k: int) -> np.ndarray:
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({"embedding": embedding.cast(pa.list_(pa.float32()))})
    frame = session.get_session(MASTER).createDataFrame(table)
    points = frame.select(array_to_vector("embedding").alias("features")).persist()
    model = SparkKMeans(k=k, seed=0, maxIter=ITERATIONS, distanceMeasure="cosine").fit(points)
    points.unpersist()
    return np.array(model.clusterCenters())


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its children so far."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:4]) for process in processes))


SYSTEMS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "segue": segue,
    "segue, from a sample": segue_from_sample,
    "scikit-learn": scikit_learn,
    "scikit-learn, mini-batch": scikit_learn_mini_batch,
    "faiss, spherical": faiss_spherical,
    "Spark ML, cosine": spark_ml,
}


def compare(vectors: np.ndarray, k: int) -> None:
    print(f"\n{len(vectors):,} vectors, k {k}\n{'':28s}{'CPU s':>9s}{'cost':>9s}{'silhouette':>12s}")
    for name, train in SYSTEMS.items():
        started = cpu_seconds()
        try:
            centroids = l2_normalize(train(vectors, k))
        except ImportError:
            continue
        seconds = cpu_seconds() - started
        totals = kmeans.cluster_sums(vectors, centroids)
        cost = 1 - totals.cosine / len(vectors)
        print(
            f"{name:28s}{seconds:9.1f}{cost:9.4f}{silhouette(vectors, centroids, totals):12.4f}", flush=True
        )


def silhouette(vectors: np.ndarray, centroids: np.ndarray, totals: kmeans.ClusterSums) -> float:
    sample = vectors[:: max(len(vectors) // SILHOUETTE_VECTORS, 1)]
    clusters = (sample @ centroids.T).argmax(axis=1)
    return metrics.silhouette(sample, clusters, totals.sums, totals.sizes)


def compare_choice(vectors: np.ndarray) -> None:
    """Print the selection scores of the default grid, trained on a sample and on all vectors."""
    ks = grid_search.parse_grid(None, len(vectors))
    settings = grid_search.GridSettings(k=ks, seed=0, seeds=2, iterations=ITERATIONS)
    step = max(len(vectors) // settings.sample_size(), 1)
    queries = vectors[:: max(len(vectors) // QUERIES, 1)]
    neighbours = vectors[exact(vectors, queries)]
    print(
        f"\n{len(vectors):,} vectors, sample of {len(vectors[::step]):,}; selection score of the better seed"
    )
    print(f"{'k':28s}{'sample':>9s}{'all':>9s}")
    scores: dict[str, dict[int, float]] = {"sample": {}, "all": {}}
    for k in ks:
        for name, part in (("sample", vectors[::step]), ("all", vectors)):
            scores[name][k] = max(trial_scores(vectors, part, k, queries, neighbours))
        print(f"{k:<28d}{scores['sample'][k]:9.4f}{scores['all'][k]:9.4f}", flush=True)
    chosen = {name: max(by_k, key=by_k.__getitem__) for name, by_k in scores.items()}
    loss = scores["all"][chosen["all"]] - scores["all"][chosen["sample"]]
    print(f"chosen: {chosen['sample']} on the sample, {chosen['all']} on all; score lost {loss:.4f}")


def trial_scores(
    vectors: np.ndarray, part: np.ndarray, k: int, queries: np.ndarray, neighbours: np.ndarray
) -> Iterator[float]:
    for seed in range(2):
        centroids = kmeans.fit(part, k=k, seed=seed, iterations=ITERATIONS).centroids
        totals = kmeans.cluster_sums(vectors, centroids)
        index = calibrate_nprobe(centroids, totals.sizes, queries, neighbours)
        cost = index.scanned_fraction + len(centroids) / len(vectors)
        yield silhouette(vectors, centroids, totals) - cost


def exact(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the rows of each query's ten nearest vectors, itself left out."""
    nearest = TopK(queries, 11)
    for start in range(0, len(vectors), 10_000):
        part = vectors[start : start + 10_000]
        nearest.add(
            part, np.arange(start, start + len(part)), np.zeros((len(queries), len(part)), dtype=bool)
        )
    return nearest.positions[:, 1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, nargs="*", default=[20_000, 106_574], help="vectors")
    parser.add_argument("--k", type=int, default=330, help="clusters of the first table (default 330)")
    parser.add_argument("--choice", action="store_true", help="also compare the choice of k")
    parser.add_argument("--vectors", type=Path, help="vectors (n, d) as a .npy file, instead of planted ones")
    arguments = parser.parse_args()
    print(kmeans.blas_name())
    session.get_session(MASTER).range(1).collect()  # started before anything is measured
    sources: list[np.ndarray] = []
    if arguments.vectors:
        sources = [l2_normalize(np.load(arguments.vectors))]
    else:
        sources = [planted(count, np.random.default_rng(0)) for count in arguments.tracks]
    for vectors in sources:
        compare(vectors, arguments.k)
        if arguments.choice:
            compare_choice(vectors)


if __name__ == "__main__":
    main()
