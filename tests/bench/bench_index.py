"""K-Means as the index beside exact search, Annoy, Voyager and usearch: recall@10, queries a second, building, memory.

    .venv/bin/uv pip install --python .venv/bin/python -e '.[bench]'
    .venv/bin/python tests/bench/bench_index.py --sizes 1000,10000,106000,1000000

Vectors are planted: 96 numbers, unit length, `sqrt(n)` groups of log-normal sizes whose members lie within a subspace of
12 directions of their own, as tracks of one style do; what is asked are other members of the groups. Every system answers
the same 500 queries one at a time on one thread, in turns, so that a slow moment of the machine hits all of them; the
figure is the median of five turns. Memory is what the process grew by while building. A system that is not installed is
named and left out.

Ten million on paper: vectors of 96 float32 are 3.8 GB, in the lake's files and never in one process. The batch holds one
cluster's candidates in a worker: with k = sqrt(n) = 3,200 and 2 % scanned 200,000 vectors, 77 MB. It computes 10 million
x 200,000 cosines of 96 numbers, 4e14 operations: three and a half hours on 16 cores at an assumed 2 GFLOP/s each. The
driver holds the centroids, 1.2 MB. Serving reads MongoDB's lists only.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil
from sklearn.cluster import MiniBatchKMeans

from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.ivf_index import IVFIndex, calibrate_nprobe

DIMENSIONS, SUBSPACE, QUERIES, TURNS = 96, 12, 500, 5

Search = Callable[[np.ndarray], Any]


def planted(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors (count + QUERIES, DIMENSIONS) float32 of groups, shuffled."""
    groups = int(np.sqrt(count))
    shares = rng.lognormal(0, 1, groups)
    of = rng.choice(groups, count + QUERIES, p=shares / shares.sum())
    centres = rng.standard_normal((groups, DIMENSIONS)).astype(np.float32)
    vectors = np.empty((count + QUERIES, DIMENSIONS), dtype=np.float32)
    for group in range(groups):
        rows = np.flatnonzero(of == group)
        basis = rng.standard_normal((SUBSPACE, DIMENSIONS)).astype(np.float32)
        vectors[rows] = (
            centres[group] + 0.35 * rng.standard_normal((len(rows), SUBSPACE)).astype(np.float32) @ basis
        )
    return l2_normalize(vectors)


def exact(vectors: np.ndarray) -> Search:
    """Every cosine."""

    def search(query: np.ndarray) -> Any:
        cosines = vectors @ query
        best = np.argpartition(-cosines, 10)[:10]
        return best[np.argsort(-cosines[best])]

    return search


def kmeans(vectors: np.ndarray) -> Search:
    """Ours: k = 2 sqrt(n), probes calibrated on 300 of the vectors for a recall of .98."""
    k = int(2 * np.sqrt(len(vectors)))
    model = MiniBatchKMeans(k, random_state=0, n_init=1, batch_size=4096, max_iter=20).fit(
        vectors[:: max(len(vectors) // 200_000, 1)]
    )
    centroids = l2_normalize(model.cluster_centers_)
    rng = np.random.default_rng(1)
    asked = rng.choice(len(vectors), 300, replace=False)
    look = exact(vectors)
    nearest = np.stack([vectors[look(vectors[i])] for i in asked])
    sizes = np.bincount(nearest_cluster(vectors, centroids), minlength=k)
    found = calibrate_nprobe(centroids, sizes, vectors[asked], nearest)
    index = IVFIndex(np.arange(len(vectors)), vectors, centroids, probes=found.nprobe)
    return lambda query: index.search(query, count=10)[0]


def annoy(vectors: np.ndarray) -> Search:
    """Annoy, 50 trees, angular."""
    from annoy import AnnoyIndex  # type: ignore[import-not-found]

    index = AnnoyIndex(DIMENSIONS, "angular")
    for number, vector in enumerate(vectors):
        index.add_item(number, vector)
    index.build(50, n_jobs=1)
    return lambda query: index.get_nns_by_vector(query, 10)


def voyager(vectors: np.ndarray) -> Search:
    """Voyager, HNSW with its defaults, cosine."""
    from voyager import Index as Voyager  # type: ignore[import-not-found]
    from voyager import Space

    index = Voyager(Space.Cosine, num_dimensions=DIMENSIONS)
    index.add_items(vectors, num_threads=1)
    return lambda query: index.query(query, k=10)[0]


def usearch(vectors: np.ndarray) -> Search:
    """usearch, HNSW with its defaults, cosine, float32."""
    from usearch.index import Index as Usearch  # type: ignore[import-not-found]

    index = Usearch(ndim=DIMENSIONS, metric="cos", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return lambda query: index.search(query, 10, threads=1).keys


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000,106000")
    parser.add_argument("--systems", default="exact,kmeans,annoy,voyager,usearch")
    arguments = parser.parse_args()
    print(f"{'vectors':>9} {'system':8} {'recall@10':>9} {'queries/s':>9} {'build s':>8} {'memory MB':>9}")
    for size in map(int, arguments.sizes.split(",")):
        everything = planted(size, np.random.default_rng(0))
        vectors, queries = everything[:size], everything[size:]
        truth = [set(exact(vectors)(query).tolist()) for query in queries]
        built: dict[str, tuple[Search, float, float]] = {}
        for name in arguments.systems.split(","):
            before, started = psutil.Process().memory_info().rss, time.perf_counter()
            try:
                search = globals()[name](vectors)
            except ImportError as error:
                print(f"{size:9,} {name:8} {error}")
                continue
            grown = (psutil.Process().memory_info().rss - before) / 1e6
            built[name] = (search, time.perf_counter() - started, grown)
        rates: dict[str, list[float]] = {name: [] for name in built}
        for _ in range(TURNS):
            for name, (search, _, _) in built.items():
                started = time.perf_counter()
                for query in queries:
                    search(query)
                rates[name].append(len(queries) / (time.perf_counter() - started))
        for name, (search, seconds, grown) in built.items():
            recall = np.mean(
                [len(set(map(int, search(q))) & t) / 10 for q, t in zip(queries, truth, strict=True)]
            )
            rate = statistics.median(rates[name])
            print(f"{size:9,} {name:8} {recall:9.3f} {rate:9,.0f} {seconds:8.1f} {grown:9.0f}", flush=True)


if __name__ == "__main__":
    main()
