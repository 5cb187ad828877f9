"""Each track's nearest neighbours, searched through the clusters, one cluster at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.ivf_index import clusters_to_search, exact_nearest

N_NEIGHBOURS = 50


def searched_clusters(
    vectors: ClusteredVectors, *, count: int = N_NEIGHBOURS, nprobe: int = 1
) -> list[np.ndarray]:
    """Return for each cluster the clusters that its tracks' neighbours are searched in.

    The `nprobe` nearest, or more where those hold too few tracks for `count` neighbours.
    """
    searched = clusters_to_search(vectors.centroids(), vectors.sizes, n_neighbours=count, min_nprobe=nprobe)
    return [clusters.astype(np.int32) for clusters in searched]


def search_cluster(
    vectors: ClusteredVectors, cluster: int, searched: np.ndarray, *, count: int = N_NEIGHBOURS
) -> Iterator[tuple[str, list[str], list[float]]]:
    """Yield (track_id, ids, cosines) for every track of a cluster: its `count` nearest, nearest first.

    One track of each recording is a candidate, and not for its own duplicates. The candidates are copied into
    memory.
    """
    rows = np.concatenate([np.arange(vectors.starts[c], vectors.starts[c + 1]) for c in searched])
    rows = rows[vectors.recordings[rows] == rows]
    own = slice(vectors.starts[cluster], vectors.starts[cluster + 1])
    ids, cosines = exact_nearest(
        vectors.vectors[own],
        vectors.ids[vectors.recordings[own]],
        vectors.vectors[rows],
        vectors.ids[rows],
        count=count,
    )
    for track_id, near, scores in zip(vectors.ids[own].tolist(), ids, cosines, strict=True):
        yield track_id.decode(), [other.decode() for other in near.tolist()], scores.tolist()


def balanced_tasks(
    vectors: ClusteredVectors, searched: Sequence[np.ndarray], n_tasks: int
) -> list[list[int]]:
    """Return the clusters in at most `n_tasks` lists of about the same number of comparisons."""
    sizes = vectors.sizes
    costs = np.array([sizes[cluster] * sizes[others].sum() for cluster, others in enumerate(searched)])
    order = np.argsort(-costs, kind="stable").tolist()
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
