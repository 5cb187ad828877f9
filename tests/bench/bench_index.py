"""Compare the IVF index with exact search, Annoy, Voyager and usearch.

Recall@10, queries per second, seconds and memory of the build.

    .venv/bin/uv pip install --python .venv/bin/python -e '.[bench]'
    .venv/bin/python -m tests.bench.bench_index --sizes 1000,10000,106000,1000000

Vectors are planted: 96 dimensions, unit length, √n groups of log-normal sizes. The members of a group are
within a subspace of 12 directions, as tracks of one style are; the queries are other members of the groups.
Every system answers the same 500 queries one at a time on one thread, in turns, so that a slow moment of the
machine affects all of them; the rate is the median of five turns. Memory is the growth of the process while
building. A system that is not installed is reported and left out.

Ten million vectors, estimated: 96 float32 each are 3.8 GB, in the lake's files and never in one process. In
the batch a worker has one cluster's candidates in memory: with k = √n = 3,200 and 2 % scanned 200,000
vectors, 77 MB. It computes 10 million × 200,000 cosines of 96 dimensions, 4e14 operations: three and a half
hours on 16 cores at an assumed 2 GFLOP/s each. The driver has the centroids in memory, 1.2 MB. Serving reads
MongoDB's lists only.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil
from sklearn.cluster import MiniBatchKMeans

from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.ivf_index import IVFIndex, calibrate_nprobe

DIMENSIONS = 96
SUBSPACE = 12
QUERIES = 500
TURNS = 5

Search = Callable[[np.ndarray], Any]


def planted(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors (count + QUERIES, DIMENSIONS) float32 of groups, shuffled."""
    n_groups = int(np.sqrt(count))
    weights = rng.lognormal(0, 1, n_groups)
    groups = rng.choice(n_groups, count + QUERIES, p=weights / weights.sum())
    centers = rng.standard_normal((n_groups, DIMENSIONS)).astype(np.float32)
    vectors = np.empty((count + QUERIES, DIMENSIONS), dtype=np.float32)
    for group in range(n_groups):
        rows = np.flatnonzero(groups == group)
        basis = rng.standard_normal((SUBSPACE, DIMENSIONS)).astype(np.float32)
        coordinates = rng.standard_normal((len(rows), SUBSPACE)).astype(np.float32)
        vectors[rows] = centers[group] + 0.35 * coordinates @ basis
    return l2_normalize(vectors)


def exact(vectors: np.ndarray) -> Search:
    """Exact search: every cosine."""

    def search(query: np.ndarray) -> Any:
        cosines = vectors @ query
        best = np.argpartition(-cosines, 10)[:10]
        return best[np.argsort(-cosines[best])]

    return search


def kmeans(vectors: np.ndarray) -> Search:
    """Segue's IVF index: k = 2 √n, nprobe calibrated on 300 of the vectors for a recall of .98."""
    k = int(2 * np.sqrt(len(vectors)))
    model = MiniBatchKMeans(k, random_state=0, n_init=1, batch_size=4096, max_iter=20)
    model.fit(vectors[:: max(len(vectors) // 200_000, 1)])
    centroids = l2_normalize(model.cluster_centers_)
    queries = np.random.default_rng(1).choice(len(vectors), 300, replace=False)
    search_exactly = exact(vectors)
    neighbours = np.stack([vectors[search_exactly(vectors[i])] for i in queries])
    sizes = np.bincount(nearest_cluster(vectors, centroids), minlength=k)
    calibration = calibrate_nprobe(centroids, sizes, vectors[queries], neighbours)
    index = IVFIndex(np.arange(len(vectors)), vectors, centroids, nprobe=calibration.nprobe)
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
    from voyager import Index as Voyager  # type: ignore[import-not-found,import-untyped,unused-ignore]
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


@dataclass
class Built:
    """A built index, and what it took; `rates` are queries per second, one per turn."""

    name: str
    search: Search
    seconds: float
    megabytes: float
    rates: list[float] = field(default_factory=list)

    def recall(self, queries: np.ndarray, neighbours: list[set[int]]) -> float:
        """Return recall@10 against the exact neighbours."""
        n_found = 0
        for query, exact_neighbours in zip(queries, neighbours, strict=True):
            n_found += len(set(map(int, self.search(query))) & exact_neighbours)
        return n_found / (10 * len(queries))


SYSTEMS: dict[str, Callable[[np.ndarray], Search]] = {
    "exact": exact,
    "kmeans": kmeans,
    "annoy": annoy,
    "voyager": voyager,
    "usearch": usearch,
}


def build(name: str, vectors: np.ndarray) -> Built | None:
    """Build one system's index; report and return None if it is not installed."""
    memory = psutil.Process().memory_info().rss
    started = time.perf_counter()
    try:
        search = SYSTEMS[name](vectors)
    except ImportError as error:
        print(f"{len(vectors):9,} {name:8} {error}")
        return None
    megabytes = (psutil.Process().memory_info().rss - memory) / 1e6
    return Built(name, search, time.perf_counter() - started, megabytes)


def compare(size: int, names: list[str]) -> None:
    """Print a line for each system on `size` vectors."""
    rows = planted(size, np.random.default_rng(0))
    vectors = rows[:size]
    queries = rows[size:]
    search_exactly = exact(vectors)
    neighbours = [set(search_exactly(query).tolist()) for query in queries]
    indexes = [index for name in names if (index := build(name, vectors)) is not None]
    for _ in range(TURNS):
        for index in indexes:
            started = time.perf_counter()
            for query in queries:
                index.search(query)
            index.rates.append(len(queries) / (time.perf_counter() - started))
    for index in indexes:
        recall = index.recall(queries, neighbours)
        rate = statistics.median(index.rates)
        print(
            f"{size:9,} {index.name:8} {recall:9.3f} {rate:9,.0f} {index.seconds:8.1f} "
            f"{index.megabytes:9.0f}",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000,106000", help="numbers of vectors")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="systems to compare (default: all)")
    arguments = parser.parse_args()
    print(f"{'vectors':>9} {'system':8} {'recall@10':>9} {'queries/s':>9} {'build s':>8} {'memory MB':>9}")
    for size in map(int, arguments.sizes.split(",")):
        compare(size, arguments.systems.split(","))


if __name__ == "__main__":
    main()
