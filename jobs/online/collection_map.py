"""The map of the collection in the online store: every track of a model version in two dimensions.

Collection `map`: {_id: "<model_version>:<part>", ids, x, y, clusters}, a few thousand tracks per document.
The document `map` of `state` (see `state.MapState`) names the version and the number of parts, and is written
last.
"""

import numpy as np

from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.layout_2d import layout_2d
from jobs.online import mongo, state

_TRACKS_PER_DOCUMENT = 5_000


def is_published(database: mongo.Database, model_version: str, digest: str) -> bool:
    """Return whether the map is that of `model_version`.

    `digest` identifies what is published: the same digest has the same map.
    """
    current = mongo.get(database["state"], state.MAP)
    if current is None or (current["model_version"], current["digest"]) != (model_version, digest):
        return False
    return mongo.count(database["map"]) == current["parts"]


def write_map(
    database: mongo.Database, model_version: str, digest: str, documents: list[mongo.Document]
) -> None:
    """Write the map of `model_version`, the `map_documents` of it."""
    n_tracks = sum(len(document["ids"]) for document in documents)
    mongo.upsert(database["map"], documents)
    map_state = state.MapState(
        _id=state.MAP, model_version=model_version, digest=digest, parts=len(documents), tracks=n_tracks
    )
    state.write(database, map_state)
    mongo.delete(database["map"], set(mongo.ids(database["map"])) - {part["_id"] for part in documents})


def map_documents(vectors: ClusteredVectors, model_version: str) -> list[mongo.Document]:
    """Return the documents of the collection `map`, in order of the clusters."""
    ids = [track_id.decode() for track_id in vectors.ids.tolist()]
    clusters = vectors.clusters().tolist()
    points = np.round(layout_2d(vectors.vectors), 4)
    documents: list[mongo.Document] = []
    for start in range(0, len(ids), _TRACKS_PER_DOCUMENT):
        part = slice(start, start + _TRACKS_PER_DOCUMENT)
        documents.append(
            {
                "_id": f"{model_version}:{len(documents)}",
                "ids": ids[part],
                "x": points[part, 0].tolist(),
                "y": points[part, 1].tolist(),
                "clusters": clusters[part],
            }
        )
    return documents
