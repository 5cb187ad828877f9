"""Features to embedding: a unit vector per track whose cosine says how alike two tracks sound.

    per feature group:    g = (transform(x) - mean) / scale, clipped at ±CLIP,  |g| = √share of the group
    groups side by side:  y = (g1 ... gn - center) P                             principal components
    the embedding:        (y + network(y)) / |y + network(y)|                    network: recipe `neural`

mean and scale are those of the training tracks. A group's share is its weight divided by the standard
deviation of the cosines of the training tracks in this group: a group in which all tracks are alike would
otherwise decide nothing. Nothing is whitened: the directions in which tracks differ little hold more noise
than sound (half whitening cost .03 to .07 of precision at 10 on three labelled collections). Subtracting the
center reduces hubness (Suzuki et al.
2013): a track near the center of all tracks is no longer near to all of them. Plain numpy, shared by the
Spark step and by the model that MLflow serves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.model.transforms import TRANSFORMS

# Rows of one Spark partition while fitting. One partition is summed in one order, so that small libraries
# give the same bits in every run; above this size speed matters more than the last digit.
ROWS_PER_PARTITION = 20_000

# Scales at which a value is clipped: extremes and kurtosis have long tails.
CLIP = 3.0

# Vectors compared with all centroids at once: with 3,000 centroids 50 MB of cosines.
_BLOCK_ROWS = 4_096

# (name of a transform, positions of its columns among a recipe's columns).
TransformedColumns = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class FittedGroup:
    """A feature group fitted to the training tracks.

    Attributes
    ----------
    parts
        Transforms and the columns they read.
    share
        The group's part of a vector's squared length; all groups' sum is 1.
    mean, scale : (m,)
        Of the transformed columns.
    loadings : (m, c), optional
        Half whitened principal components, of models that were fitted before recipe version 4.
    """

    name: str
    parts: tuple[TransformedColumns, ...]
    share: float
    mean: np.ndarray
    scale: np.ndarray
    loadings: np.ndarray | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the group's vectors (tracks, m) of feature rows (tracks, n).

        Length √share, or 0 for a track at the mean or without any of the group's features.
        """
        return np.sqrt(self.share) * self.directions(values)

    def directions(self, values: np.ndarray) -> np.ndarray:
        """Return the same at length 1."""
        standard = self.standardize(values)
        return _unit_or_zero(standard if self.loadings is None else standard @ self.loadings)

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return (tracks, m) in scales from the mean, clipped at ±CLIP; 0 where not finite or missing."""
        standard = (transform_parts(values, self.parts) - self.mean) / self.scale
        standard[is_missing(values, self.parts)] = 0.0
        return np.clip(np.nan_to_num(standard, nan=0.0), -CLIP, CLIP)


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A fitted recipe: feature rows to unit vectors.

    Attributes
    ----------
    columns
        Names of the n features.
    genres
        The genres it knows; empty unless the recipe uses them.
    center : (j,)
    loadings : (j, dimensions)
    layers
        (weights, bias) of each layer of the network; empty for most recipes.
    """

    recipe: str
    columns: tuple[str, ...]
    groups: tuple[FittedGroup, ...]
    genres: tuple[str, ...]
    genre_share: float
    center: np.ndarray
    loadings: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @property
    def dimensions(self) -> int:
        """The length of an embedding."""
        return int(self.loadings.shape[1])

    def apply(self, values: np.ndarray, genres: Sequence[Sequence[str] | None] | None = None) -> np.ndarray:
        """Return unit vectors, float32 (tracks, dimensions), of feature rows (tracks, n) and genres.

        A track exactly at the center has no direction: it gets that of the first dimension. Without `genres`,
        a recipe that uses them embeds by sound alone.
        """
        return l2_normalize(self.network(self.project(values, genres)))

    def project(self, values: np.ndarray, genres: Sequence[Sequence[str] | None] | None = None) -> np.ndarray:
        """Return y, the principal components (tracks, dimensions) before network and normalization."""
        values = np.asarray(values, dtype=np.float64)
        joined = concat_groups(
            self.groups, values, genres, known_genres=self.genres, genre_share=self.genre_share
        )
        return (joined - self.center) @ self.loadings

    def network(self, projected: np.ndarray) -> np.ndarray:
        """Return `projected` plus the network's output (hidden layers are rectified), or without one
        unchanged.
        """
        if not self.layers:
            return projected
        hidden = projected
        for weights, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weights + bias, 0)
        weights, bias = self.layers[-1]
        return projected + hidden @ weights + bias

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the embedder as named arrays, `structure` as JSON text; `from_arrays` reads them."""
        structure = {
            "recipe": self.recipe,
            "columns": self.columns,
            "groups": [{"name": g.name, "parts": g.parts, "share": g.share} for g in self.groups],
            "genres": self.genres,
            "genre_share": self.genre_share,
            "layers": len(self.layers),
        }
        arrays = {
            "structure": np.array(json.dumps(structure)),
            "center": self.center,
            "loadings": self.loadings,
        }
        for group in self.groups:
            arrays[f"{group.name}.mean"] = group.mean
            arrays[f"{group.name}.scale"] = group.scale
            if group.loadings is not None:
                arrays[f"{group.name}.loadings"] = group.loadings
        for number, (weights, bias) in enumerate(self.layers):
            arrays[f"layer{number}.weights"] = weights
            arrays[f"layer{number}.bias"] = bias
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Embedder":
        """Return the embedder whose `arrays()` these are."""
        structure: dict[str, Any] = json.loads(str(arrays["structure"]))
        groups = []
        for group in structure["groups"]:
            name = group["name"]
            groups.append(
                FittedGroup(
                    name=name,
                    parts=tuple((transform, tuple(positions)) for transform, positions in group["parts"]),
                    share=group["share"],
                    mean=arrays[f"{name}.mean"],
                    scale=arrays[f"{name}.scale"],
                    loadings=arrays.get(f"{name}.loadings"),
                )
            )
        layers = tuple(
            (arrays[f"layer{number}.weights"], arrays[f"layer{number}.bias"])
            for number in range(structure["layers"])
        )
        return cls(
            recipe=structure["recipe"],
            columns=tuple(structure["columns"]),
            groups=tuple(groups),
            genres=tuple(structure["genres"]),
            genre_share=structure["genre_share"],
            center=arrays["center"],
            loadings=arrays["loadings"],
            layers=layers,
        )


def concat_groups(
    groups: Sequence[FittedGroup],
    values: np.ndarray,
    genres: Sequence[Sequence[str] | None] | None,
    *,
    known_genres: Sequence[str],
    genre_share: float,
) -> np.ndarray:
    """Return all groups of feature rows (tracks, n), and known genres as one more, side by side.

    (tracks, j).
    """
    pieces = [group.apply(values) for group in groups]
    if known_genres:
        is_genre = np.zeros((len(values), len(known_genres)))
        for row, track_genres in enumerate(genres if genres is not None else ()):
            if track_genres is not None:
                is_genre[row] = [genre in track_genres for genre in known_genres]
        pieces.append(np.sqrt(genre_share) * _unit_or_zero(is_genre))
    return np.hstack(pieces) if pieces else np.zeros((len(values), 0))


def transform_parts(values: np.ndarray, parts: tuple[TransformedColumns, ...]) -> np.ndarray:
    """Return the transformed parts of feature rows (tracks, n) side by side, (tracks, m).

    Values that are not finite count as 0.
    """
    finite = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.hstack([TRANSFORMS[transform](finite[:, list(positions)]) for transform, positions in parts])


def is_missing(values: np.ndarray, parts: tuple[TransformedColumns, ...]) -> np.ndarray:
    """Return which of the feature rows (tracks, n) have none of the parts' features: all NaN, (tracks,)."""
    positions = [position for _, columns in parts for position in columns]
    return np.asarray(np.isnan(np.asarray(values, dtype=np.float64)[:, positions]).all(axis=1))


def _unit_or_zero(vectors: np.ndarray) -> np.ndarray:
    """Return the rows at length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)


def l2_normalize(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of (n, dimensions) at length 1, float32; a zero row becomes the first axis."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    rows[lengths[:, 0] <= 1e-12, :1] = 1
    return rows.astype(np.float32)


def nearest_cluster(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the number of the centroid with the largest cosine, int32 (n,).

    Parameters
    ----------
    embeddings : (n, d)
        Unit vectors.
    centroids : (k, d)
        Unit vectors.
    """
    clusters = [np.zeros(0, np.int32)]
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        cosines = embeddings[start : start + _BLOCK_ROWS] @ centroids.T
        clusters.append(np.argmax(cosines, axis=1).astype(np.int32))
    return np.concatenate(clusters)
