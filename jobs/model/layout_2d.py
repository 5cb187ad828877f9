"""A two-dimensional map of embeddings: t-SNE of their cosines."""

import numpy as np
from threadpoolctl import threadpool_limits

# t-SNE of this many vectors takes a minute on one core; further vectors are placed among their nearest of
# these.
_MAX_TSNE_VECTORS = 6_000
_N_ANCHORS = 5
_BLOCK_ROWS = 1_024


def layout_2d(vectors: np.ndarray) -> np.ndarray:
    """Return positions (n, 2), each coordinate in -1 to 1, near for similar vectors; deterministic.

    Parameters
    ----------
    vectors : (n, d)
        Unit vectors.
    """
    if len(vectors) < 5:  # too few for t-SNE: a row
        return np.stack([np.linspace(-0.5, 0.5, len(vectors)), np.zeros(len(vectors))], axis=1)
    sampled = np.sort(np.random.default_rng(0).permutation(len(vectors))[:_MAX_TSNE_VECTORS])
    sampled_points = _tsne(vectors[sampled])
    if len(sampled) == len(vectors):
        return sampled_points
    points = np.zeros((len(vectors), 2))
    for start in range(0, len(vectors), _BLOCK_ROWS):
        cosines = vectors[start : start + _BLOCK_ROWS] @ vectors[sampled].T
        anchors = np.argpartition(-cosines, _N_ANCHORS, axis=1)[:, :_N_ANCHORS]
        weights = np.exp(20 * (np.take_along_axis(cosines, anchors, axis=1) - 1))
        weights /= weights.sum(axis=1, keepdims=True)
        points[start : start + _BLOCK_ROWS] = (sampled_points[anchors] * weights[..., None]).sum(axis=1)
    points[sampled] = sampled_points
    return points


def _tsne(vectors: np.ndarray) -> np.ndarray:
    """Return t-SNE's points (n, 2), centered and scaled into -1 to 1."""
    from sklearn.manifold import TSNE  # a second to import, which a step that places nothing does not need

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    model = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0)
    # With more threads the points would depend on the number of cores.
    with threadpool_limits(1):
        points = model.fit_transform(vectors)
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return np.asarray(points / max(np.abs(points).max(), 1e-9))
