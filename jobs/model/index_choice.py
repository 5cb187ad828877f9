"""Which search index a model version gets: the one that costs the least CPU in a day, as measured.

A day's cost = building the index, and for each of the n tracks one query of `segue publish`, which asks for
all tracks of a cluster at once, and one single query of stream or player. An index that needs more work to
understand or to keep must be cheaper by a margin: the order is exact, IVF, HNSW.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.ivf_index import TARGET_RECALL
from jobs.model.search_index import EXACT, HNSW, IVF, ExactIndex, HNSWIndex, IndexSettings, SearchIndex

# Up to this many tracks exact search takes no longer than an IVF's, and nothing is measured: 60 µs a query.
MAX_EXACT = 5_000

# How much cheaper a less simple index must be: a factor, and CPU seconds a day.
_MARGIN, _MIN_SAVED_S = 1.5, 5.0

# How far below the target the recall of the sampled queries may be: nprobe was calibrated with others.
_TOLERANCE = 0.01

# Sampled queries, neighbours asked for, and neighbours that recall is about: those of metrics, and itself.
_N_QUERIES, _COUNT, _TOP = 200, 50, 11

# A graph of so many vectors shows whether one of all can win: a node's cost grows with their number.
_MAX_SAMPLE = 20_000

# Candidates of the graph that are tried, the fewest first.
_EFFORTS = (64, 96, 128, 192, 256, 384, 512, 768, 1_024)


@dataclass(frozen=True, kw_only=True)
class MeasuredIndex:
    """What an index costs.

    Attributes
    ----------
    recall
        recall@10 of single queries, 0 to 1.
    build_s, single_s, batch_s
        CPU seconds to build it, of a single query, and of a query in a batch of one cluster.
    private_bytes
        Memory of every process that opens it, beside the mapped vectors.
    """

    settings: IndexSettings
    recall: float
    build_s: float
    single_s: float
    batch_s: float
    private_bytes: int

    def day_s(self, n_tracks: int) -> float:
        """Return the CPU seconds of a day (see above)."""
        return self.build_s + n_tracks * (self.single_s + self.batch_s)


@dataclass(frozen=True)
class IndexChoice:
    """The index chosen, why, and all that were measured."""

    settings: IndexSettings
    reason: str
    measured: tuple[MeasuredIndex, ...] = ()


def choose_index(vectors: ClusteredVectors, *, nprobe: int) -> IndexChoice:
    """Return the index of a version's vectors; `nprobe` is what its clusters were calibrated to."""
    n_tracks = len(vectors.vectors)
    if n_tracks <= MAX_EXACT:
        return IndexChoice(IndexSettings(EXACT), f"{n_tracks:,} tracks, exact up to {MAX_EXACT:,}")
    # On one thread: others that wait for work would count as CPU, and more where more other work runs.
    with threadpool_limits(1):
        return _measure(vectors, nprobe)


def _measure(vectors: ClusteredVectors, nprobe: int) -> IndexChoice:
    n_tracks = len(vectors.vectors)
    sample = _Sample.of(vectors)
    measured = [
        sample.measure(IndexSettings(EXACT), ExactIndex(vectors.vectors), 0.0),
        sample.measure(*_build(vectors, IndexSettings(IVF, nprobe))),
    ]
    best = _best(measured, n_tracks)
    at_least = _graph_at_least_s(vectors, n_tracks)
    if not _is_cheaper(at_least, best.day_s(n_tracks)):
        without = f"hnsw at least {at_least:.0f}"
    else:
        without = ""
        started = time.process_time()
        graph = HNSWIndex.build(vectors.vectors, effort=_EFFORTS[0])
        build_s = time.process_time() - started
        measured.append(_least_effort(sample, graph, build_s))
        best = _best(measured, n_tracks)
    costs = [f"{each.settings.kind} {each.day_s(n_tracks):.0f}" for each in measured]
    reason = f"CPU seconds a day: {', '.join([*costs, without] if without else costs)}"
    return IndexChoice(best.settings, reason, tuple(measured))


def _best(measured: list[MeasuredIndex], n_tracks: int) -> MeasuredIndex:
    """Return the cheapest that finds enough; one that comes later must be cheaper by the margin."""
    best = measured[0]
    for each in measured[1:]:
        is_cheaper = _is_cheaper(each.day_s(n_tracks), best.day_s(n_tracks))
        if is_cheaper and each.recall >= TARGET_RECALL - _TOLERANCE:
            best = each
    return best


def _is_cheaper(seconds: float, than: float) -> bool:
    return seconds * _MARGIN <= than and seconds + _MIN_SAVED_S <= than


def _build(vectors: ClusteredVectors, settings: IndexSettings) -> tuple[IndexSettings, SearchIndex, float]:
    started = time.process_time()
    index = vectors.make_index(settings)
    return settings, index, time.process_time() - started


@dataclass(frozen=True)
class _Sample:
    """Rows that are asked for: single ones, and those of one cluster; the exact neighbours of the former."""

    singles: np.ndarray
    batch: np.ndarray
    exact: np.ndarray

    @classmethod
    def of(cls, vectors: ClusteredVectors) -> "_Sample":
        step = max(len(vectors.vectors) // _N_QUERIES, 1)
        singles = np.ascontiguousarray(vectors.vectors[::step])
        # The cluster of middle size.
        cluster = int(np.argsort(vectors.sizes)[len(vectors.sizes) // 2])
        batch = np.ascontiguousarray(vectors.vectors[vectors.starts[cluster] : vectors.starts[cluster + 1]])
        return cls(singles, batch, ExactIndex(vectors.vectors).query(singles, _TOP).rows)

    def recall(self, index: SearchIndex) -> float:
        """Return recall@10 of an index, a vector itself counted among eleven."""
        found = [index.query(vector[None], _COUNT).rows[0, :_TOP] for vector in self.singles]
        same = [np.isin(rows, exact).sum() for rows, exact in zip(found, self.exact, strict=True)]
        return float(np.sum(same) / self.exact.size)

    def measure(self, settings: IndexSettings, index: SearchIndex, build_s: float) -> MeasuredIndex:
        return MeasuredIndex(
            settings=settings,
            recall=self.recall(index),
            build_s=build_s,
            single_s=_cpu_s(lambda: [index.query(vector[None], _COUNT) for vector in self.singles])
            / len(self.singles),
            batch_s=_cpu_s(lambda: index.query(self.batch, _COUNT)) / len(self.batch),
            private_bytes=index.private_bytes,
        )


def _cpu_s(function: Callable[[], object]) -> float:
    """Return the CPU seconds of a call: the least of two, since other work cannot make it less."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return max(min(seconds), 1e-6)


def _least_effort(sample: _Sample, graph: HNSWIndex, build_s: float) -> MeasuredIndex:
    """Return the graph with the least effort that reaches the recall, or with the most."""
    effort = next(
        (each for each in _EFFORTS if sample.recall(graph.with_effort(each)) >= TARGET_RECALL), None
    )
    effort = effort or _EFFORTS[-1]
    return sample.measure(IndexSettings(HNSW, effort), graph.with_effort(effort), build_s)


def _graph_at_least_s(vectors: ClusteredVectors, n_tracks: int) -> float:
    """Return what a graph costs in a day at least: that of a sample, for as many tracks."""
    rows = np.ascontiguousarray(vectors.vectors[:: -(-n_tracks // _MAX_SAMPLE)])
    whole = ClusteredVectors(rows[:, 0], rows, np.array([0, len(rows)]), np.zeros(1, dtype=int))
    started = time.process_time()
    graph = HNSWIndex.build(rows, effort=_EFFORTS[0])
    build_s = time.process_time() - started
    measured = _least_effort(_Sample.of(whole), graph, build_s * n_tracks / len(rows))
    return measured.day_s(n_tracks)
