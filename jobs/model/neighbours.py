"""Each track's nearest neighbours, searched through the index of its model version, a cluster at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.search_index import FilteredIndex, SearchIndex

N_NEIGHBOURS = 50


def recording_rows(ids: np.ndarray, recording_by_id: dict[str, str]) -> np.ndarray:
    """Return for each track (n,) the row of the track that stands for its recording: its own for most.

    That is the one of the shortest id, of equals the first. A track without an entry gets -1.
    """
    chosen: dict[str, int] = {}
    texts = [track_id.decode() for track_id in ids.tolist()]
    for row, track_id in enumerate(texts):
        recording = recording_by_id.get(track_id)
        best = chosen.get(recording) if recording is not None else None
        if recording is not None and (
            best is None or (len(track_id), track_id) < (len(texts[best]), texts[best])
        ):
            chosen[recording] = row
    return np.array([chosen.get(recording_by_id.get(each, ""), -1) for each in texts], dtype=np.int64)


def one_per_recording(index: SearchIndex, recordings: np.ndarray) -> tuple[SearchIndex, np.ndarray]:
    """Return an index of one track per recording, and the rows (m,) of these, by `recording_rows` (n,)."""
    rows = np.flatnonzero(recordings == np.arange(len(recordings)))
    return (index if len(rows) == index.size else FilteredIndex(index, rows)), rows


def search_rows(
    vectors: ClusteredVectors,
    recordings: np.ndarray,
    rows: np.ndarray,
    *,
    count: int = N_NEIGHBOURS,
    searched: tuple[SearchIndex, np.ndarray] | None = None,
) -> Iterator[tuple[str, list[str], list[float]]]:
    """Yield (track_id, ids, cosines) for tracks: the `count` nearest of each, nearest first.

    One track of each recording is a neighbour, and not of its own duplicates. Rows with the recording -1 are
    left out.

    Parameters
    ----------
    recordings : (n,)
        `recording_rows` of all rows.
    rows : (m,)
        The tracks; cheapest if they are near each other.
    searched
        `one_per_recording`, where more rows will be searched.
    """
    index, candidates = searched or one_per_recording(vectors.index, recordings)
    rows = rows[recordings[rows] >= 0]
    found = index.query(np.ascontiguousarray(vectors.vectors[rows]), count + 1)
    for row, numbers, cosines in zip(rows, found.rows, found.cosines, strict=True):
        near = candidates[numbers]
        is_other = (numbers >= 0) & (near != recordings[row])
        ids = [track_id.decode() for track_id in vectors.ids[near[is_other][:count]].tolist()]
        yield vectors.ids[row].decode(), ids, cosines[is_other][:count].tolist()


def balanced_tasks(sizes: np.ndarray, n_tasks: int) -> list[list[int]]:
    """Return the clusters, of `sizes` (k,) tracks, in at most `n_tasks` lists of about as many tracks."""
    order = np.argsort(-sizes, kind="stable").tolist()
    return [order[task::n_tasks] for task in range(min(n_tasks, len(order)))]


def similar_document(
    model_version: str, cluster: int, track_id: str, ids: list[str], cosines: list[float]
) -> dict[str, Any]:
    """Return a track's document of MongoDB's `similar`: its nearest tracks by cosine, nearest first."""
    items = [{"track_id": other, "score": round(score, 6)} for other, score in zip(ids, cosines, strict=True)]
    return {
        "_id": f"{model_version}:{track_id}",
        "model_version": model_version,
        "track_id": track_id,
        "cluster": cluster,
        "items": items,
    }
