"""Compare the search indexes with each other and with other libraries: recall@10 against queries per second.

    .venv/bin/uv pip install --python .venv/bin/python -e '.[bench]'
    .venv/bin/python -m tests.bench.bench_index --sizes 100000 --data planted,8,16,32

Data `planted`: √n groups of log-normal sizes, the members of a group within a subspace of 12 directions, as
tracks of one style are. Data `16`: one curved manifold of 16 intrinsic dimensions without groups, the worst
for clusters. Both are unit vectors of 96 dimensions; the queries are other members of the same.

Each index is asked with growing effort, 50 neighbours of one query at a time, until its recall@10 is .995:
one line each, with the CPU seconds of building and asking (one thread), the share of the collection that a
query is compared with, and the growth of the process by the index. The line `choice` is what `segue
cluster` would choose. HNSW's share is what faiss counts for the same graph parameters. A library that is not
installed is left out.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import psutil

from jobs.model import kmeans
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.index_choice import choose_index
from jobs.model.ivf_index import TARGET_RECALL, IVFIndex, calibrate_nprobe
from jobs.model.search_index import ExactIndex, HNSWIndex, SearchIndex

DIMENSIONS, SUBSPACE, HIDDEN = 96, 12, 256
N_QUERIES, COUNT = 300, 50
ENOUGH = 0.995
SAMPLE = 20_000

# The line that says what `segue cluster` would choose.
CHOICE = "choice"

# As `HNSWIndex` has them.
LINKS, BUILD_EFFORT = 16, 200
EFFORTS = (64, 96, 128, 192, 256, 384, 512, 1_024)

Search = Callable[[np.ndarray], Any]
# (effort, search, share of the collection compared or None) of growing effort.
Asked = tuple[int, Search, float | None]


def planted(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors (count, DIMENSIONS) float32 of groups."""
    n_groups = int(np.sqrt(count))
    weights = rng.lognormal(0, 1, n_groups)
    groups = rng.choice(n_groups, count, p=weights / weights.sum())
    centers = rng.standard_normal((n_groups, DIMENSIONS)).astype(np.float32)
    vectors = np.empty((count, DIMENSIONS), dtype=np.float32)
    for group in range(n_groups):
        rows = np.flatnonzero(groups == group)
        basis = rng.standard_normal((SUBSPACE, DIMENSIONS)).astype(np.float32)
        coordinates = rng.standard_normal((len(rows), SUBSPACE)).astype(np.float32)
        vectors[rows] = centers[group] + 0.35 * coordinates @ basis
    return l2_normalize(vectors)


def manifold(count: int, intrinsic: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit vectors (count, DIMENSIONS) float32 of one curved manifold of `intrinsic` dimensions."""
    inner = rng.standard_normal((intrinsic, HIDDEN)).astype(np.float32) / np.float32(np.sqrt(intrinsic))
    outer = rng.standard_normal((HIDDEN, DIMENSIONS)).astype(np.float32)
    vectors = np.empty((count, DIMENSIONS), dtype=np.float32)
    for start in range(0, count, 100_000):
        coordinates = rng.standard_normal((min(100_000, count - start), intrinsic)).astype(np.float32)
        vectors[start : start + 100_000] = np.tanh(coordinates @ inner) @ outer
    return l2_normalize(vectors)


def clustered(vectors: np.ndarray) -> tuple[ClusteredVectors, int]:
    """Return the vectors by cluster, k = 2 √n, and nprobe, calibrated on 300 of them."""
    rng = np.random.default_rng(1)
    k = int(2 * np.sqrt(len(vectors)))
    sample = vectors[np.sort(rng.choice(len(vectors), min(len(vectors), max(SAMPLE, 16 * k)), replace=False))]
    centroids = kmeans.fit(sample, k=k, seed=0, iterations=20).centroids
    clusters = nearest_cluster(vectors, centroids)
    order = np.argsort(clusters, kind="stable")
    numbers, sizes = np.unique(clusters, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    by_cluster = ClusteredVectors(order, vectors[order], starts, numbers)
    queries = by_cluster.vectors[rng.choice(len(vectors), N_QUERIES, replace=False)]
    rows = ExactIndex(by_cluster.vectors).query(queries, 11).rows[:, 1:]
    calibration = calibrate_nprobe(
        by_cluster.centroids(), by_cluster.sizes, queries, by_cluster.vectors[rows]
    )
    return by_cluster, calibration.nprobe


def rows_of(index: SearchIndex, query: np.ndarray) -> np.ndarray:
    """Return what an index of Segue's finds for one query (d,)."""
    return index.query(query[None], COUNT).rows[0]


def exact(vectors: ClusteredVectors) -> Iterator[Asked]:
    """Every cosine."""
    index = ExactIndex(vectors.vectors)
    yield 0, partial(rows_of, index), 1.0


def ivf(vectors: ClusteredVectors) -> Iterator[Asked]:
    """Segue's clusters."""
    centroids = vectors.centroids()
    nprobe = 1
    while nprobe <= len(centroids):
        index = IVFIndex(vectors.vectors, vectors.starts, centroids, nprobe=nprobe)
        searched = [vectors.sizes[index._searched(vector, COUNT)].sum() for vector in vectors.vectors[:100]]
        share = float(np.mean(searched) / len(vectors.vectors))
        yield nprobe, partial(rows_of, index), share
        nprobe = max(nprobe + 1, round(1.5 * nprobe))


def hnsw(vectors: ClusteredVectors) -> Iterator[Asked]:
    """Segue's HNSW: Voyager."""
    graph = HNSWIndex.build(vectors.vectors, effort=EFFORTS[0])
    for effort in EFFORTS:
        index = graph.with_effort(effort)
        yield effort, partial(rows_of, index), None


def faiss(vectors: ClusteredVectors) -> Iterator[Asked]:
    """HNSW of faiss, which counts its comparisons."""
    import faiss as library

    library.omp_set_num_threads(1)
    index = library.IndexHNSWFlat(DIMENSIONS, LINKS, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_EFFORT
    index.add(vectors.vectors)
    for effort in EFFORTS:
        index.hnsw.efSearch = effort
        statistics = library.cvar.hnsw_stats
        statistics.reset()
        index.search(vectors.vectors[:100], COUNT)
        share = statistics.ndis / 100 / len(vectors.vectors)
        yield effort, (lambda query: index.search(query[None], COUNT)[1][0]), share


def usearch(vectors: ClusteredVectors) -> Iterator[Asked]:
    """HNSW of usearch."""
    from usearch.index import Index  # type: ignore[import-not-found]

    index = Index(ndim=DIMENSIONS, metric="ip", dtype="f32", connectivity=LINKS, expansion_add=BUILD_EFFORT)
    index.add(np.arange(len(vectors.vectors)), vectors.vectors, threads=1)
    for effort in EFFORTS:
        index.expansion_search = effort
        yield effort, (lambda query: index.search(query, COUNT, threads=1).keys), None


def annoy(vectors: ClusteredVectors) -> Iterator[Asked]:
    """Annoy's random projection trees, fifty of them."""
    from annoy import AnnoyIndex  # type: ignore[import-not-found]

    index = AnnoyIndex(DIMENSIONS, "angular")
    for number, vector in enumerate(vectors.vectors):
        index.add_item(number, vector)
    index.build(50, n_jobs=1)
    nearest = partial(index.get_nns_by_vector, n=COUNT)
    for effort in (2_500, 5_000, 10_000, 20_000, 40_000):
        yield effort, partial(nearest, search_k=effort), None


SYSTEMS: dict[str, Callable[[ClusteredVectors], Iterator[Asked]]] = {
    "exact": exact,
    "ivf": ivf,
    "hnsw": hnsw,
    "faiss": faiss,
    "usearch": usearch,
    "annoy": annoy,
}


def ask(name: str, vectors: ClusteredVectors, queries: np.ndarray, near: np.ndarray, label: str) -> None:
    """Print a line for each effort of one system, until its recall is enough."""
    memory, started = psutil.Process().memory_info().rss, time.process_time()
    try:
        for effort, search, share in SYSTEMS[name](vectors):
            build_s = time.process_time() - started
            megabytes = (psutil.Process().memory_info().rss - memory) / 1e6
            began = time.process_time()
            found = [search(query)[:10] for query in queries]
            rate = len(queries) / (time.process_time() - began)
            same = [np.isin(rows, exact).sum() for rows, exact in zip(found, near, strict=True)]
            recall = float(np.sum(same) / near.size)
            shared = "" if share is None else f"{share:.4f}"
            print(
                f"{label} {name:8} {effort:7,} {recall:9.3f} {rate:9,.0f} {shared:>8} {build_s:8.1f} "
                f"{megabytes:9.0f}",
                flush=True,
            )
            if recall >= ENOUGH:
                break
            started += time.process_time() - began  # building is what the rest took
    except ImportError as error:
        print(f"{label} {name:8} {error}")


def compare(size: int, data: str, names: list[str]) -> None:
    """Print the lines of all systems on `size` vectors."""
    rng = np.random.default_rng(0)
    rows = planted(size + N_QUERIES, rng) if data == "planted" else manifold(size + N_QUERIES, int(data), rng)
    queries = np.ascontiguousarray(rows[size:])
    vectors, nprobe = clustered(np.ascontiguousarray(rows[:size]))
    del rows
    near = ExactIndex(vectors.vectors).query(queries, 10).rows
    label = f"{size:9,} {data:>8}"
    for name in names:
        if name == CHOICE:
            choice = choose_index(vectors, nprobe=nprobe)
            effort = choice.settings.effort
            print(f"{label} {name:8} {effort:7,} {choice.settings.kind}; {choice.reason}", flush=True)
        else:
            ask(name, vectors, queries, near, label)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000", help="numbers of vectors")
    parser.add_argument("--data", default="planted,8,16,32", help="planted groups, or intrinsic dimensions")
    parser.add_argument(
        "--systems", default=",".join([*SYSTEMS, CHOICE]), help="what to compare (default: all)"
    )
    arguments = parser.parse_args()
    print(
        f"{'vectors':>9} {'data':>8} {'system':8} {'effort':>7} {'recall@10':>9} {'queries/s':>9} "
        f"{'scanned':>8} {'build s':>8} {'memory MB':>9}   (target {TARGET_RECALL})"
    )
    for size in map(int, arguments.sizes.split(",")):
        for data in arguments.data.split(","):
            compare(size, data, arguments.systems.split(","))


if __name__ == "__main__":
    main()
