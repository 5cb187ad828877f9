"""The contract of nearest-neighbour search, and the indexes that need no clusters: exact, and HNSW.

Every index answers over the n rows of one array of unit vectors, which processes map
(`clustered_vectors.py`). `index_choice.py` measures which of them costs least; who searches knows the
contract only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from jobs.paths import fsync_dir

EXACT, IVF, HNSW = "exact", "ivf", "hnsw"

# Cosines in memory at once: 64 MB.
_MAX_COSINES = 16_000_000

# Links of a node of the graph, and candidates while it is built. Both are usual (Malkov and Yashunin, 2016):
# with fewer links the recall on data of 32 intrinsic dimensions needs twice the effort.
_LINKS, _BUILD_EFFORT = 16, 200

# Vectors copied at once into the graph: Voyager takes none that are mapped.
_BUILD_ROWS = 10_000

# The file of the graph; seed of its levels.
_GRAPH_FILE, _SEED = "graph.hnsw", 1


@dataclass(frozen=True)
class IndexSettings:
    """Which index, and its effort: clusters that an IVF searches, candidates of the graph in HNSW."""

    kind: str
    effort: int = 0


class Neighbours(NamedTuple):
    """Rows (q, c) nearest first, -1 after the end of a list, and their cosines (q, c), 0 there."""

    rows: np.ndarray
    cosines: np.ndarray


class SearchIndex(Protocol):
    """Nearest neighbours by cosine among n vectors."""

    @property
    def size(self) -> int:
        """The number n of vectors."""

    @property
    def private_bytes(self) -> int:
        """Memory beside the vectors, which every process that opens the index has for itself."""

    def query(self, vectors: np.ndarray, count: int) -> Neighbours:
        """Return the nearest rows of unit vectors (q, d) float32: c = `count`, or n if that is less.

        Many vectors at once cost less than one by one, most of all if they are near each other. A vector of
        the index finds itself.
        """


class ExactIndex:
    """Every cosine: one matrix product for many queries."""

    private_bytes = 0

    def __init__(self, vectors: np.ndarray) -> None:
        """Search the unit vectors (n, d) float32."""
        self._vectors = vectors
        self.size = len(vectors)

    def query(self, vectors: np.ndarray, count: int) -> Neighbours:
        """Return the nearest rows (`SearchIndex.query`); of equal cosines the first row is the nearer."""
        found = no_neighbours(len(vectors), min(count, self.size))
        fill_nearest(found, np.arange(len(vectors)), vectors, self._vectors, np.arange(self.size))
        return found


class HNSWIndex:
    """A graph of near vectors (hierarchical navigable small worlds), by Voyager.

    The graph has a copy of the vectors: it cannot be mapped.
    """

    def __init__(self, vectors: np.ndarray, graph: Any, effort: int) -> None:
        """Search a graph of `build_graph` over the unit vectors (n, d)."""
        self._vectors = vectors
        self._graph = graph
        self._effort = effort
        self.size = len(vectors)

    @classmethod
    def build(cls, vectors: np.ndarray, *, effort: int) -> "HNSWIndex":
        """Build the graph of unit vectors (n, d), on one thread: the same vectors give the same graph."""
        import voyager  # not at the top: needed only where a model's index is a graph

        graph = voyager.Index(
            voyager.Space.Cosine,
            num_dimensions=vectors.shape[1],
            M=_LINKS,
            ef_construction=_BUILD_EFFORT,
            random_seed=_SEED,
            max_elements=max(len(vectors), 1),
        )
        for start in range(0, len(vectors), _BUILD_ROWS):
            graph.add_items(np.array(vectors[start : start + _BUILD_ROWS]), num_threads=1)
        return cls(vectors, graph, effort)

    @classmethod
    def open(cls, folder: Path, vectors: np.ndarray, *, effort: int) -> "HNSWIndex":
        """Read the graph that `save` wrote."""
        import voyager

        return cls(vectors, voyager.Index.load(str(folder / _GRAPH_FILE)), effort)

    def save(self, folder: Path) -> None:
        """Write the graph, whole or not at all."""
        unfinished = folder / f".{_GRAPH_FILE}"
        self._graph.save(str(unfinished))
        fsync_dir(unfinished)  # works for a file, too
        unfinished.replace(folder / _GRAPH_FILE)

    @staticmethod
    def is_saved(folder: Path) -> bool:
        """Return whether the folder has a graph."""
        return (folder / _GRAPH_FILE).exists()

    def with_effort(self, effort: int) -> "HNSWIndex":
        """Return an index of the same graph with another effort."""
        return HNSWIndex(self._vectors, self._graph, effort)

    @property
    def private_bytes(self) -> int:
        """The graph: vectors, links (twice as many on the lowest level) and labels."""
        return self.size * (self._vectors.shape[1] * 4 + 2 * _LINKS * 4 + 12)

    def query(self, vectors: np.ndarray, count: int) -> Neighbours:
        """Return the nearest rows (`SearchIndex.query`), some of them missed."""
        import voyager

        count = min(count, self.size)
        if not count or not len(vectors):
            return no_neighbours(len(vectors), count)
        try:
            rows, distances = self._graph.query(
                np.array(vectors), k=count, num_threads=1, query_ef=max(self._effort, count)
            )
        except voyager.RecallError:  # a part of the graph cannot be reached: very many equal vectors
            return ExactIndex(self._vectors).query(vectors, count)
        return Neighbours(rows.astype(np.int64), np.clip(1 - distances, -1, 1))


class FilteredIndex:
    """Some rows of another index, numbered from 0: the others are no neighbours."""

    def __init__(self, index: SearchIndex, rows: np.ndarray) -> None:
        """Search the given rows (m,) of `index`."""
        self._index = index
        self._numbers = np.full(index.size + 1, -1, dtype=np.int32)  # the last one: of the row -1
        self._numbers[rows] = np.arange(len(rows))
        self.size = len(rows)

    @property
    def private_bytes(self) -> int:
        """Those of the index, and a number for each row."""
        return self._index.private_bytes + self._numbers.nbytes

    def query(self, vectors: np.ndarray, count: int) -> Neighbours:
        """Return the nearest of the rows (`SearchIndex.query`)."""
        count = min(count, self.size)
        asked = min(count + count // 4 + 1, self._index.size)
        while True:
            found = self._index.query(vectors, asked)
            numbers = self._numbers[found.rows]
            if asked == self._index.size or np.all((numbers >= 0).sum(axis=1) >= count):
                break
            asked = min(4 * asked, self._index.size)
        # The rows that count to the left, in their order.
        order = np.argsort(numbers < 0, axis=1, kind="stable")[:, :count]
        cosines = np.where(numbers < 0, 0, found.cosines)
        return Neighbours(np.take_along_axis(numbers, order, 1), np.take_along_axis(cosines, order, 1))


def no_neighbours(n_queries: int, count: int) -> Neighbours:
    """Return lists without an entry, to be filled."""
    rows = np.full((n_queries, count), -1, dtype=np.int64)
    return Neighbours(rows, np.zeros((n_queries, count), dtype=np.float32))


def fill_nearest(
    found: Neighbours, queries: np.ndarray, vectors: np.ndarray, candidates: np.ndarray, rows: np.ndarray
) -> None:
    """Fill the lists of some queries with the nearest candidates, by every cosine.

    Parameters
    ----------
    queries : (m,)
        Numbers of the queries.
    vectors : (q, d)
        Of all queries.
    candidates : (c, d)
    rows : (c,)
        Of the candidates, ascending: of equal cosines the first is the nearer.
    """
    count = min(found.rows.shape[1], len(rows))
    if not count:
        return
    for block in _blocks(queries, len(candidates)):
        cosines = vectors[block] @ candidates.T
        for query, row in zip(block, cosines, strict=True):
            best = _largest(row, count)
            found.rows[query, : len(best)] = rows[best]
            found.cosines[query, : len(best)] = np.clip(row[best], -1, 1)


def _blocks(queries: np.ndarray, n_candidates: int) -> Iterator[np.ndarray]:
    size = max(_MAX_COSINES // max(n_candidates, 1), 1)
    for start in range(0, len(queries), size):
        yield queries[start : start + size]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the `count` largest values, largest first, ties by position."""
    if count < len(values):
        # Everything as large as the count-th largest value: ties at the edge are then cut by position, not by
        # chance.
        threshold = np.partition(values, len(values) - count)[len(values) - count]
        positions = np.flatnonzero(values >= threshold)
    else:
        positions = np.arange(len(values))
    return positions[np.argsort(-values[positions], kind="stable")][:count]
