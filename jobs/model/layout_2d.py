"""The map of the collection: every track of a model version in two dimensions, near is alike, in MongoDB's `map`.

`map` {_id: "<model_version>:<part>", ids, x, y, clusters}, a few thousand tracks a document; `state` {_id: "map"} says for
which version and how many, and is written last.
"""

import numpy as np
import pyarrow.compute as pc

from jobs.lake.schemas import EMBEDDINGS
from jobs.lake.storage import Lake
from jobs.online import mongo

_PART = 5_000

# t-SNE of so many takes a minute on one core; further tracks are put among the placed ones that they sound like.
_PLACED = 6_000
_NEAREST = 5
_BLOCK = 1_024


def publish_map(database: mongo.Database, lake: Lake, version: str, digest: str) -> int:
    """Make MongoDB show the map of `version`; return how many tracks were placed, 0 where it is there already.

    `digest` is of what is published: the same digest, the same map.
    """
    before = mongo.get(database["state"], "map")
    if before and (before["model_version"], before["digest"]) == (version, digest):
        return 0
    rows = lake.read_arrow(EMBEDDINGS).filter(pc.field("model_version") == version).sort_by("track_id")
    ids, clusters = rows["track_id"].to_pylist(), rows["cluster"].to_pylist()
    vectors = np.array(rows["embedding"].to_pylist(), dtype=np.float32)
    x, y = np.round(layout_2d(vectors), 4).T.tolist() if len(ids) else ([], [])
    parts = range(0, len(ids), _PART)
    documents = [
        {
            "_id": f"{version}:{number}",
            "ids": ids[start : start + _PART],
            "x": x[start : start + _PART],
            "y": y[start : start + _PART],
            "clusters": clusters[start : start + _PART],
        }
        for number, start in enumerate(parts)
    ]
    mongo.upsert(database["map"], documents)
    about = {
        "_id": "map",
        "model_version": version,
        "digest": digest,
        "parts": len(parts),
        "tracks": len(ids),
    }
    mongo.upsert(database["state"], [about])
    mongo.delete(database["map"], set(mongo.ids(database["map"])) - {each["_id"] for each in documents})
    return len(ids)


def layout_2d(vectors: np.ndarray) -> np.ndarray:
    """Return a place (n, 2) in -1..1 for vectors (n, d) of unit length; the same vectors, the same places."""
    if len(vectors) < 5:  # too few for t-SNE: a row
        return np.stack([np.linspace(-0.5, 0.5, len(vectors)), np.zeros(len(vectors))], axis=1)
    chosen = np.sort(np.random.default_rng(0).permutation(len(vectors))[:_PLACED])
    placed = _flat(vectors[chosen])
    if len(chosen) == len(vectors):
        return placed
    found = np.zeros((len(vectors), 2))
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors[chosen].T
        best = np.argpartition(-cosines, _NEAREST, axis=1)[:, :_NEAREST]
        weights = np.exp(20 * (np.take_along_axis(cosines, best, axis=1) - 1))
        weights /= weights.sum(axis=1, keepdims=True)
        found[start : start + _BLOCK] = (placed[best] * weights[..., None]).sum(axis=1)
    found[chosen] = placed
    return found


def _flat(vectors: np.ndarray) -> np.ndarray:
    from sklearn.manifold import (
        TSNE,
    )  # a second to import, and a step that has nothing to place does not need it

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    model = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0)
    points = model.fit_transform(vectors)
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return np.asarray(points / max(np.abs(points).max(), 1e-9))
