"""From features to the embedding: a unit vector per track whose cosine says how alike two tracks sound.

Per group of features (see `recipes`):  z = (transform(x) - mean) / scale, cut at ±CLIP     standardised
                                        g = z L,  |g| = root of the group's share           half whitened
All groups side by side:                y = (g1 ... gn - centre) P                          centred, principal components
The embedding:                          (y + network(y)) / its length                       network: `neural` only

mean and scale are those of the training tracks. L holds the principal components, each divided by the root of its
standard deviation: half-way between the raw features, where a few correlated ones say everything, and whitened ones,
where noise counts as much as sound. Subtracting the centre is what takes the hubs away (Suzuki et al. 2013): a track near
the centre of everything is no longer near to everything. Plain numpy, shared by the Spark step and by the model that
MLflow serves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jobs.model.transforms import TRANSFORMS

# Rows of one partition while fitting. One partition adds up in one order, so small libraries come out bit for bit alike
# in every run; above this size speed counts more than the last digit.
ROWS_PER_PARTITION = 20_000

# Standard deviations beyond which a value says nothing more: extremes and kurtosis have long tails.
CLIP = 3.0

# Vectors compared with all centroids at once: with 3,000 centroids 50 MB of cosines.
_BLOCK = 4_096

# A component's standard deviation is taken for at least this part of the largest one's when it is divided by its root.
_MIN_DEVIATION = 0.02


@dataclass(frozen=True)
class FittedGroup:
    """A group of features: parts (transform, positions of its columns), m values of mean and scale, loadings (m, c)."""

    name: str
    parts: tuple[tuple[str, tuple[int, ...]], ...]
    share: float
    mean: np.ndarray
    scale: np.ndarray
    loadings: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return (tracks, c) of feature rows (tracks, n): of length root of the share, 0 for a track at the mean."""
        return np.sqrt(self.share) * _directions(self.standardize(values) @ self.loadings)

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return (tracks, m): transformed, in standard deviations from the mean, cut at ±CLIP; 0 where not finite."""
        standard = (_transformed(values, self.parts) - self.mean) / self.scale
        return np.clip(np.nan_to_num(standard, nan=0.0), -CLIP, CLIP)


@dataclass(frozen=True)
class Embedder:
    """A fitted recipe. `columns` names the n features; `genres` the genres it knows, where the recipe uses them.

    centre (j,), loadings (j, dimensions); layers: (weights, bias) of the network, none for most recipes.
    """

    recipe: str
    columns: tuple[str, ...]
    groups: tuple[FittedGroup, ...]
    genres: tuple[str, ...]
    genre_share: float
    centre: np.ndarray
    loadings: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = field(default=())

    @property
    def dimensions(self) -> int:
        """The length of an embedding."""
        return int(self.loadings.shape[1])

    def apply(self, values: np.ndarray, genres: Sequence[Sequence[str] | None] | None = None) -> np.ndarray:
        """Return unit vectors, float32 (tracks, dimensions), of feature rows (tracks, n) and the tracks' genres.

        A track at the very centre of everything has no direction: it gets that of the first dimension. Without genres a
        recipe that uses them goes by the sound alone.
        """
        return l2_normalize(self.network(self.project(values, genres)))

    def project(self, values: np.ndarray, genres: Sequence[Sequence[str] | None] | None = None) -> np.ndarray:
        """Return y, the principal components (tracks, dimensions) before network and length."""
        joined = concat_groups(
            self.groups, np.asarray(values, dtype=np.float64), genres, self.genres, self.genre_share
        )
        return (joined - self.centre) @ self.loadings

    def network(self, projected: np.ndarray) -> np.ndarray:
        """Return projected + what the network adds (a hidden layer of rectified units), or the same without one."""
        if not self.layers:
            return projected
        hidden = projected
        for weights, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weights + bias, 0)
        weights, bias = self.layers[-1]
        return projected + hidden @ weights + bias

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays; `structure` is JSON text. `from_arrays` takes them back."""
        structure = {
            "recipe": self.recipe,
            "columns": self.columns,
            "groups": [{"name": g.name, "parts": g.parts, "share": g.share} for g in self.groups],
            "genres": self.genres,
            "genre_share": self.genre_share,
            "layers": len(self.layers),
        }
        found = {
            "structure": np.array(json.dumps(structure)),
            "centre": self.centre,
            "loadings": self.loadings,
        }
        for group in self.groups:
            found |= {f"{group.name}.{name}": getattr(group, name) for name in ("mean", "scale", "loadings")}
        for number, (weights, bias) in enumerate(self.layers):
            found |= {f"layer{number}.weights": weights, f"layer{number}.bias": bias}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Embedder":
        """Return the embedder that `arrays` came from."""
        structure: dict[str, Any] = json.loads(str(arrays["structure"]))
        groups = tuple(
            FittedGroup(
                group["name"],
                tuple((transform, tuple(positions)) for transform, positions in group["parts"]),
                group["share"],
                *(arrays[f"{group['name']}.{name}"] for name in ("mean", "scale", "loadings")),
            )
            for group in structure["groups"]
        )
        layers = tuple(
            (arrays[f"layer{number}.weights"], arrays[f"layer{number}.bias"])
            for number in range(structure["layers"])
        )
        names = (tuple(structure["columns"]), groups, tuple(structure["genres"]), structure["genre_share"])
        return cls(structure["recipe"], *names, arrays["centre"], arrays["loadings"], layers)


def fit_group(
    values: np.ndarray, name: str, parts: tuple[tuple[str, tuple[int, ...]], ...], share: float
) -> FittedGroup:
    """Return a group fitted to the training tracks' feature rows (tracks, n): deterministic, any number of rows from 1."""
    transformed = np.nan_to_num(_transformed(values, parts))
    mean, scale = transformed.mean(axis=0), transformed.std(axis=0)
    scale = np.where(scale > 1e-9 * (1 + np.abs(mean)), scale, np.inf)  # a constant: standardised to 0
    standard = FittedGroup(name, parts, share, mean, scale, np.eye(len(mean))).standardize(values)
    components, deviations = pca(standard, len(mean))
    halved = np.sqrt(np.maximum(deviations, _MIN_DEVIATION * deviations.max(initial=0)))
    return FittedGroup(name, parts, share, mean, scale, components / halved)


def concat_groups(
    groups: Sequence[FittedGroup],
    values: np.ndarray,
    genres: Sequence[Sequence[str] | None] | None,
    known: Sequence[str],
    genre_share: float,
) -> np.ndarray:
    """Return all groups of feature rows side by side, and the known genres as one more, (tracks, j)."""
    pieces = [group.apply(values) for group in groups]
    if known:
        of = genres if genres is not None else [None] * len(values)
        marks = np.array(
            [[genre in (own if own is not None else ()) for genre in known] for own in of], dtype=float
        )
        pieces.append(np.sqrt(genre_share) * _directions(marks.reshape(len(values), len(known))))
    return np.hstack(pieces) if pieces else np.zeros((len(values), 0))


def pca(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the components (n, c) of rows (tracks, n) and their standard deviations (c,), largest first, c <= count.

    Only components along which anything varies are returned; the sign is fixed, so two runs over the same tracks agree.
    """
    deviations = centred - centred.mean(axis=0)
    variances, components = np.linalg.eigh(deviations.T @ deviations / len(centred))
    order = np.argsort(-variances, kind="stable")[:count]
    order = order[variances[order] > 1e-10 * max(variances.max(initial=0), 1e-10)]
    return fix_signs(components[:, order]), np.sqrt(variances[order])


def _transformed(values: np.ndarray, parts: tuple[tuple[str, tuple[int, ...]], ...]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.hstack([TRANSFORMS[transform](finite[:, list(positions)]) for transform, positions in parts])


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return the rows at length 1; a zero row stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)


def l2_normalize(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of a (count, dimensions) array at length 1, float32; a zero row becomes the first axis."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    rows[lengths[:, 0] <= 1e-12, :1] = 1
    return rows.astype(np.float32)


def fix_signs(components: np.ndarray) -> np.ndarray:
    """Return principal components (n, dimensions) with each one's largest entry positive.

    The sign of a component is arbitrary; fixing it makes two runs over the same tracks agree.
    """
    if not components.size:
        return components
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    return components * np.where(largest < 0, -1.0, 1.0)


def nearest_cluster(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the index (count,) of the centroid with the largest cosine; embeddings (count, d), centroids (k, d) unit."""
    blocks = range(0, len(embeddings), _BLOCK)
    found = [np.argmax(embeddings[start : start + _BLOCK] @ centroids.T, axis=1) for start in blocks]
    return np.concatenate([np.zeros(0, np.int32), *found]).astype(np.int32)
