"""From features to the embedding: standardise, project on principal components, scale to unit length.

    z = (x - mean) / scale        y = z L        embedding = y / |y|

L (features × dimensions) holds the principal components of the standardised training set, so the cosine of two embeddings
is close to that of the two standardised feature vectors: "how alike do they sound". Plain numpy, shared by the Spark
step and by the model that MLflow serves.
"""

from dataclasses import dataclass

import numpy as np

# Rows of one partition while fitting. One partition adds up in one order, so small libraries come out bit for bit alike
# in every run; above this size speed counts more than the last digit.
ROWS_PER_PARTITION = 20_000


@dataclass(frozen=True)
class Projection:
    """A fitted projection: `features` names the n columns, mean and scale have shape (n,), loadings (n, dimensions)."""

    features: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    loadings: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (tracks, dimensions), of feature rows (tracks, n).

        A track at the very mean of everything has no direction: it gets that of the first dimension.
        """
        standardised = (np.asarray(values, dtype=np.float64) - self.mean) / self.scale
        return unit(standardised @ self.loadings)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of a (count, dimensions) array at length 1, float32; a zero row becomes the first axis."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    rows[lengths[:, 0] <= 1e-12, :1] = 1
    return rows.astype(np.float32)


def fixed_signs(components: np.ndarray) -> np.ndarray:
    """Return principal components (n, dimensions) with each one's largest entry positive.

    The sign of a component is arbitrary; fixing it makes two runs over the same tracks agree.
    """
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    return components * np.where(largest < 0, -1.0, 1.0)


def nearest_cluster(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the index (count,) of the centroid with the largest cosine; embeddings (count, d), centroids (k, d) unit."""
    return np.argmax(embeddings @ centroids.T, axis=1).astype(np.int32)
