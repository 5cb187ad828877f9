"""The systems that `evaluate` compares: models, and the baselines chance, popularity and MFCC means.

A system turns feature rows and track numbers into vectors whose dot product is the score of a candidate for a
query.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, feature_columns
from jobs.lake.storage import Lake
from jobs.model import training_data
from jobs.model.embedding import Embedder
from jobs.model.ivf_index import Clusters
from jobs.model.metrics import Labels, euclidean_as_dot
from jobs.model.training_data import TrainingSet

# (feature rows (n, columns), track numbers (n,)) -> (vectors as queries, vectors as candidates), each (n, d).
ToVectors = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class EmbeddingSystem:
    """A system: the columns of FEATURES that it reads, its vectors, and its clusters if it has an index."""

    columns: tuple[str, ...]
    to_vectors: ToVectors
    clusters: Clusters | None = None


def _mean_columns() -> tuple[str, ...]:
    columns: list[str] = []
    for feature in ("mfcc", "spectral_centroid", "zcr"):
        columns += feature_columns(feature, "mean")
    return tuple(columns)


# The baseline `mfcc_mean`: the means that content-based recommenders started with.
MFCC_MEAN_COLUMNS = _mean_columns()


def model_system(embedder: Embedder, clusters: Clusters) -> EmbeddingSystem:
    """Return a model as a system, scored by cosine.

    Genres are left out: they are the labels that are evaluated, and a recipe that reads them would know the
    answer.
    """

    def to_vectors(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        vectors = embedder.apply(values)
        return vectors, vectors

    return EmbeddingSystem(embedder.columns, to_vectors, clusters)


def baselines(
    lake: Lake, training: TrainingSet, labels: Labels, listener_counts: np.ndarray
) -> dict[str, EmbeddingSystem]:
    """Return the baselines by name.

    Parameters
    ----------
    listener_counts : (tracks,)
        Users who finished or liked each track.
    """
    systems = {}
    # Echo Nest's features have no MFCC.
    if set(MFCC_MEAN_COLUMNS) <= set(MODEL_INPUT_COLUMNS[training.feature_version]):
        systems["mfcc_mean"] = _mfcc_mean_system(lake, training)
    systems["popularity"] = _popularity_system(labels, listener_counts)
    systems["random"] = _random_system(len(training.keys))
    return systems


def _mfcc_mean_system(lake: Lake, training: TrainingSet) -> EmbeddingSystem:
    """Return standardized MFCC means, centroid and zero-crossing rate, scored by Euclidean distance."""
    # One observation of 1 in every column, so that no deviation is 0 over 0 tracks.
    n_rows = 1
    sums = np.ones(len(MFCC_MEAN_COLUMNS))
    squares = np.ones(len(MFCC_MEAN_COLUMNS))
    for _, values in training_data.feature_batches(lake, training, MFCC_MEAN_COLUMNS):
        n_rows += len(values)
        sums += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    mean = sums / n_rows
    scale = np.sqrt(np.maximum(squares / n_rows - mean**2, 1e-12))

    def to_vectors(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        standard = (values - mean) / scale
        return euclidean_as_dot(standard, standard)

    return EmbeddingSystem(MFCC_MEAN_COLUMNS, to_vectors)


def _popularity_system(labels: Labels, listener_counts: np.ndarray) -> EmbeddingSystem:
    """Return the most popular tracks, the same for every query.

    Before any play, those of the artist with most tracks.
    """
    popularity = listener_counts
    if not listener_counts.any():
        tracks_by_artist = np.bincount(labels.artists + 1, minlength=labels.artists.max(initial=-1) + 2)
        popularity = np.where(labels.artists >= 0, tracks_by_artist[labels.artists + 1], 0)

    def to_vectors(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((len(positions), 1)), popularity[positions, None].astype(float)

    return EmbeddingSystem((), to_vectors)


def _random_system(n_tracks: int) -> EmbeddingSystem:
    """Return random directions, the same in every run."""
    directions = np.random.default_rng(0).standard_normal((n_tracks, 8))

    def to_vectors(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return directions[positions], directions[positions]

    return EmbeddingSystem((), to_vectors)
