"""Fit an embedder to the training tracks: standardization, shares, centering, principal components.

Deterministic.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jobs.model import recipes
from jobs.model.embedding import (
    Embedder,
    FittedGroup,
    TransformedColumns,
    concat_groups,
    is_missing,
    l2_normalize,
    transform_parts,
)
from jobs.model.metrics import k_occurrence_skew

# Tracks whose cosines give a group its share, and the smallest deviation of cosines that counts.
_MAX_SHARE_TRACKS = 2_000
_MIN_COSINE_DEVIATION = 0.01

# Tracks among which hubness is measured before and after centering.
_MAX_HUBNESS_TRACKS = 2_000


@dataclass(frozen=True)
class FitReport:
    """What was measured while fitting, logged as parameters of the MLflow run.

    Attributes
    ----------
    shares
        Each group's part of a vector's squared length.
    explained_variance
        0 to 1.
    hubness_*
        Skewness of the k-occurrence (k = 10).
    """

    fitted_tracks: int
    shares: dict[str, float]
    explained_variance: float
    hubness_before_centering: float
    hubness_after_centering: float


def fit_embedder(
    values: np.ndarray,
    columns: Sequence[str],
    *,
    recipe: str,
    dimensions: int,
    genres: Sequence[Sequence[str] | None] | None = None,
) -> tuple[Embedder, FitReport]:
    """Return a recipe fitted to the training tracks, and what was measured.

    Parameters
    ----------
    values : (tracks, n)
        Features.
    columns : n names
        The features' names in FEATURES.
    dimensions : int
        Length of an embedding; shorter where the tracks vary in fewer directions.
    genres : one sequence of genres per track, optional
        Genres of two tracks or more become one more group.
    """
    values = np.asarray(values, dtype=np.float64)
    known_genres = _shared_genres(genres)
    genre_share = recipes.GENRE_WEIGHT if known_genres else 0.0
    groups = _fit_groups(values, columns, recipe, share_sum=1 - genre_share)
    joined = concat_groups(groups, values, genres, known_genres=known_genres, genre_share=genre_share)
    center = joined.mean(axis=0)
    components, deviations = pca(joined - center, dimensions)
    if not components.shape[1]:  # one track, or copies of one: any direction will do
        components = np.zeros((joined.shape[1], 1))
    embedder = Embedder(
        recipe=recipe,
        columns=tuple(columns),
        groups=groups,
        genres=known_genres,
        genre_share=genre_share,
        center=center,
        loadings=components,
    )
    shares = {group.name: round(group.share, 4) for group in groups}
    if known_genres:
        shares["genre"] = genre_share
    variance = float((joined - center).var(axis=0).sum())
    sample = joined[:_MAX_HUBNESS_TRACKS]
    centered = (sample - center) @ components
    report = FitReport(
        fitted_tracks=len(values),
        shares=shares,
        explained_variance=round(float((deviations**2).sum()) / variance, 6) if variance else 1.0,
        hubness_before_centering=round(k_occurrence_skew(l2_normalize(sample)), 6),
        hubness_after_centering=round(k_occurrence_skew(l2_normalize(centered)), 6),
    )
    return embedder, report


def _shared_genres(genres: Sequence[Sequence[str] | None] | None) -> tuple[str, ...]:
    """Return the genres that two tracks or more have."""
    counts: Counter[str] = Counter()
    for track_genres in genres or ():
        counts.update(set(track_genres or ()))
    return tuple(sorted(genre for genre, count in counts.items() if count > 1))


def _fit_groups(
    values: np.ndarray, columns: Sequence[str], recipe: str, *, share_sum: float
) -> tuple[FittedGroup, ...]:
    """Return the recipe's groups, fitted; the sum of their shares is `share_sum`."""
    position = {column: number for number, column in enumerate(columns)}
    fitted = []
    weights = []
    for group in recipes.recipe_groups(recipe, columns):
        parts = tuple((part.transform, tuple(position[c] for c in part.columns)) for part in group.parts)
        fitted.append(fit_group(values, name=group.name, parts=parts, standardized=group.standardized))
        weights.append(group.weight / _cosine_deviation(fitted[-1].directions(values[:_MAX_SHARE_TRACKS])))
    shares = [share_sum * weight / sum(weights) for weight in weights]
    return tuple(replace(group, share=share) for group, share in zip(fitted, shares, strict=True))


def _cosine_deviation(directions: np.ndarray) -> float:
    """Return the standard deviation of the cosines of all pairs of unit vectors (tracks, m)."""
    present = directions[np.any(directions != 0, axis=1)]
    if len(present) < 3:
        return 1.0
    cosines = (present @ present.T)[np.triu_indices(len(present), 1)]
    return max(float(cosines.std()), _MIN_COSINE_DEVIATION)


def fit_group(
    values: np.ndarray, *, name: str, parts: tuple[TransformedColumns, ...], standardized: bool
) -> FittedGroup:
    """Return a group, of share 1, fitted to the training tracks' feature rows (tracks, n), 1 row or more.

    Deterministic. Tracks without any of the group's features are left out.
    """
    present = values[~is_missing(values, parts)]
    transformed = np.nan_to_num(transform_parts(present if len(present) else values, parts))
    mean = transformed.mean(axis=0)
    deviation = transformed.std(axis=0)
    varies = deviation > 1e-9 * (1 + np.abs(mean))  # a constant becomes 0
    if not standardized:
        deviation = np.full_like(deviation, deviation.max(initial=0))
    return FittedGroup(
        name=name, parts=parts, share=1.0, mean=mean, scale=np.where(varies, deviation, np.inf)
    )


def pca(rows: np.ndarray, max_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components of rows, and their standard deviations, largest first.

    Components along which nothing varies are left out; the sign is fixed, so that two runs over the same
    tracks agree.

    Parameters
    ----------
    rows : (tracks, n)
    max_components : int

    Returns
    -------
    components : (n, c), c <= max_components
    deviations : (c,)
    """
    centered = rows - rows.mean(axis=0)
    variances, components = np.linalg.eigh(centered.T @ centered / len(rows))
    order = np.argsort(-variances, kind="stable")[:max_components]
    order = order[variances[order] > 1e-10 * max(variances.max(initial=0), 1e-10)]
    return fix_signs(components[:, order]), np.sqrt(variances[order])


def fix_signs(components: np.ndarray) -> np.ndarray:
    """Return principal components (n, dimensions) with the largest entry of each positive.

    The sign of a component is arbitrary; fixing it makes two runs over the same tracks agree.
    """
    if not components.size:
        return components
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    return components * np.where(largest < 0, -1.0, 1.0)
