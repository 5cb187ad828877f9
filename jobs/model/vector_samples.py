"""Samples of VECTORS: query tracks with their exact nearest neighbours, and tracks for plots."""

from collections.abc import Iterator

import numpy as np

from jobs.lake.schemas import TRACKS, VECTORS
from jobs.lake.storage import Lake
from jobs.model.metrics import K
from jobs.model.top_k import TopK

# Query tracks that nprobe is calibrated with, and tracks in the plots.
_N_QUERIES = 500
_MAX_PLOTTED = 1_500


def exact_neighbours(lake: Lake, n_tracks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of sampled tracks, and those of their nearest neighbours by exact search.

    Returns
    -------
    queries : (q, d)
    neighbours : (q, m, d), m = 10 or all other tracks
    """
    ids, queries = _sample_vectors(lake, n_tracks, _N_QUERIES)
    query_ids = np.array(ids)[:, None]
    nearest = TopK(queries, min(K, n_tracks - 1))
    for start, batch_ids, vectors in _numbered_batches(lake):
        is_itself = query_ids == np.array(batch_ids)
        nearest.add(vectors, np.arange(start, start + len(batch_ids)), is_itself)
    neighbours = np.zeros((*nearest.positions.shape, queries.shape[1]), dtype=np.float32)
    for start, batch_ids, vectors in _numbered_batches(lake):
        is_in_batch = (nearest.positions >= start) & (nearest.positions < start + len(batch_ids))
        neighbours[is_in_batch] = vectors[nearest.positions[is_in_batch] - start]
    return queries, neighbours


def sample_for_plots(lake: Lake, n_tracks: int) -> tuple[np.ndarray, list[str | None]]:
    """Return vectors (n, d) of sampled tracks, and their genres."""
    ids, vectors = _sample_vectors(lake, n_tracks, _MAX_PLOTTED)
    sampled = set(ids)
    rows = lake.iter_rows(TRACKS, "track_id", "genre")
    genres = {row["track_id"]: row["genre"] for row in rows if row["track_id"] in sampled}
    return vectors, [genres.get(track_id) for track_id in ids]


def sample_vectors(lake: Lake, n_tracks: int, count: int) -> np.ndarray:
    """Return vectors (n, d) of `count` to twice as many tracks, evenly spaced in VECTORS, or of all."""
    return _sample_vectors(lake, n_tracks, count)[1]


def _sample_vectors(lake: Lake, n_tracks: int, count: int) -> tuple[list[str], np.ndarray]:
    """Return ids and vectors of `count` to twice as many tracks, evenly spaced in VECTORS.

    Those of all tracks where there are fewer.
    """
    step = max(n_tracks // count, 1)
    ids: list[str] = []
    vectors = []
    for start, batch_ids, batch_vectors in _numbered_batches(lake):
        # Rows whose number in the table is a multiple of `step`.
        rows = np.arange(-start % step, len(batch_ids), step)
        ids += [batch_ids[row] for row in rows]
        vectors.append(batch_vectors[rows])
    return ids, np.concatenate(vectors)


def _numbered_batches(lake: Lake) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """Yield (number of the first row, track ids, vectors (n, d)) of VECTORS."""
    start = 0
    for batch in lake.iter_batches(VECTORS, "track_id", "embedding"):
        if len(batch):
            vectors = batch.column("embedding").flatten().to_numpy().reshape(len(batch), -1)
            yield start, batch.column("track_id").to_pylist(), vectors
            start += len(batch)
