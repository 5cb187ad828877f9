"""Embedding recipes: which features make an embedding, in which groups, with which weights.

A feature group is one side of a sound: timbre, rhythm, chroma. Its weight is its share of the cosine of two
tracks. The weights follow what content-based similarity has agreed on since Pampalk (2006) and Pohle et al.
(2009): timbre somewhat over half, rhythm a fifth. They were not fitted to labels, and our metrics moved by
.01 when all were made equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.lake.feature_columns import (
    FMA_COLUMNS,
    STATISTICS,
    descriptor_columns,
    feature_columns,
)

# Version of the feature-to-embedding pipeline, stored beside the recipe's name; raise it when the pipeline
# changes.
VERSION = "3"

# The share of the cosine that genres have where a recipe uses them: the sound decides, the genre adjusts.
GENRE_WEIGHT = 0.25


@dataclass(frozen=True)
class FeaturePart:
    """Columns of FEATURES, and the transform applied to them (a name of `transforms.TRANSFORMS`)."""

    transform: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class FeatureGroup:
    """Parts that are placed side by side, and their weight.

    Any positive number, its share is of the recipe's sum.
    """

    name: str
    weight: float
    parts: tuple[FeaturePart, ...]


def _columns_of(features: Iterable[str], statistics: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of every feature with every statistic, feature by feature."""
    statistics = tuple(statistics)
    columns: list[str] = []
    for feature in features:
        for statistic in statistics:
            columns += feature_columns(feature, statistic)
    return tuple(columns)


_SPECTRAL_SHAPE = ("spectral_bandwidth", "spectral_centroid", "spectral_rolloff", "rmse", "zcr")
_CHROMA = ("chroma_cens", "chroma_cqt", "chroma_stft")

_TIMBRE = (
    FeatureGroup(
        "timbre",
        0.25,
        (
            FeaturePart("identity", _columns_of(("mfcc", "spectral_contrast"), STATISTICS)),
            FeaturePart("logarithm", _columns_of(_SPECTRAL_SHAPE, ("max", "mean", "median", "std"))),
        ),
    ),
    FeatureGroup("covariance", 0.25, (FeaturePart("log_covariance", descriptor_columns("mfcc_covariance")),)),
    FeatureGroup(
        "delta",
        0.15,
        (
            FeaturePart("logarithm", _columns_of(("mfcc_delta",), ("std",))),
            FeaturePart("identity", _columns_of(("mfcc_delta",), ("kurtosis", "max", "min"))),
        ),
    ),
    FeatureGroup(
        "rhythm",
        0.2,
        (
            FeaturePart("identity", descriptor_columns("tempogram")),
            FeaturePart("logarithm", ("onset_density", "tempo")),
        ),
    ),
    FeatureGroup(
        "chroma",
        0.15,
        (
            # Two pieces in different keys may sound alike; how their notes are spread over the octave counts.
            FeaturePart("key_invariant", _columns_of(_CHROMA, ("mean", "std"))),
            FeaturePart("identity", ("key_strength", *_columns_of(("tonnetz",), ("std",)))),
        ),
    ),
)

RECIPES: dict[str, tuple[FeatureGroup, ...]] = {
    "timbre": _TIMBRE,
    "timbre+genre": _TIMBRE,
    "fma518": (FeatureGroup("fma518", 1.0, (FeaturePart("identity", FMA_COLUMNS),)),),
    "neural": _TIMBRE,
}

# Recipes that read the tracks' genres when they are applied.
GENRE_RECIPES = frozenset({"timbre+genre"})


def recipe_groups(recipe: str, available: Iterable[str]) -> tuple[FeatureGroup, ...]:
    """Return a recipe's groups, restricted to the available columns.

    Groups and parts without any available column are left out. Where no group is left, as with Echo Nest's
    features, which no recipe names, all available columns are one group.
    """
    available = tuple(available)
    available_set = set(available)
    groups = []
    for group in RECIPES[recipe]:
        parts = []
        for part in group.parts:
            columns = tuple(column for column in part.columns if column in available_set)
            if columns:
                parts.append(FeaturePart(part.transform, columns))
        if parts:
            groups.append(FeatureGroup(group.name, group.weight, tuple(parts)))
    if groups:
        return tuple(groups)
    return (FeatureGroup("everything", 1.0, (FeaturePart("identity", available),)),)
