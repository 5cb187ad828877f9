"""Embedding recipes: which features make an embedding, in which groups, with which weights.

A feature group is one side of a sound: timbre, rhythm, chroma. Its weight says how much of the differences
between two tracks it decides. The weights are round numbers, not fitted to labels: timbre, as a Gaussian and
as its change from frame to frame, counts twice as much as every other side. `docs/model.md` has what each
group adds on music that no weight was set with.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from jobs.lake.feature_columns import (
    FMA_COLUMNS,
    STATISTICS,
    all_descriptor_columns,
    descriptor_columns,
    feature_columns,
)

# Version of the feature-to-embedding pipeline, stored beside the recipe's name; raise it when the pipeline
# changes.
VERSION = "4"

# The share of the cosine that genres have where a recipe uses them: the sound decides, the genre adjusts.
GENRE_WEIGHT = 0.25


@dataclass(frozen=True)
class FeaturePart:
    """Columns of FEATURES, and the transform applied to them (a name of `transforms.TRANSFORMS`)."""

    transform: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class FeatureGroup:
    """Parts that are placed side by side, and their weight, any positive number.

    `standardized` says whether every column counts alike, or as much as it varies: columns of one unit, as
    the logarithm of a matrix, are centred only.
    """

    name: str
    weight: float
    parts: tuple[FeaturePart, ...]
    standardized: bool = True


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

_RHYTHM = FeatureGroup(
    "rhythm",
    0.5,
    (
        FeaturePart("identity", descriptor_columns("tempogram")),
        FeaturePart("logarithm", ("onset_density", "tempo")),
    ),
)
_HARMONY = FeatureGroup(
    "chroma",
    0.5,
    (
        # Two pieces in different keys may sound alike; how their notes are spread over the octave counts.
        FeaturePart("key_invariant", _columns_of(_CHROMA, ("mean", "std"))),
        FeaturePart("identity", ("key_strength", *_columns_of(("tonnetz",), ("std",)))),
    ),
)

_TIMBRE = (
    FeatureGroup(
        "timbre",
        1.0,
        (FeaturePart("log_gaussian", all_descriptor_columns(("mel_mean", "mel_covariance"))),),
        standardized=False,
    ),
    FeatureGroup(
        "change",
        1.0,
        (FeaturePart("log_change_covariance", descriptor_columns("mel_delta_covariance")),),
        standardized=False,
    ),
    _RHYTHM,
    _HARMONY,
    FeatureGroup(
        "harmonic",
        0.5,
        (FeaturePart("identity", descriptor_columns("harmonic_share")),),
    ),
    FeatureGroup(
        "fluctuation",
        0.5,
        (FeaturePart("identity", descriptor_columns("fluctuation_pattern")),),
        standardized=False,
    ),
)

# For features that were imported, or extracted by an older version: without those of a fixed band.
_NATIVE_TIMBRE = (
    FeatureGroup(
        "timbre",
        1.0,
        (
            FeaturePart("identity", _columns_of(("mfcc", "spectral_contrast"), STATISTICS)),
            FeaturePart("logarithm", _columns_of(_SPECTRAL_SHAPE, ("max", "mean", "median", "std"))),
        ),
    ),
    FeatureGroup("covariance", 1.0, (FeaturePart("log_covariance", descriptor_columns("mfcc_covariance")),)),
    _RHYTHM,
    _HARMONY,
)

# MusiCNN knows the most; each of the other groups says a little that it does not.
_MUSICNN = (
    FeatureGroup(
        "musicnn", 1.0, (FeaturePart("identity", descriptor_columns("musicnn")),), standardized=False
    ),
    *(replace(group, weight=0.15) for group in _TIMBRE),
)

RECIPES: dict[str, tuple[FeatureGroup, ...]] = {
    "fma518": (FeatureGroup("fma518", 1.0, (FeaturePart("identity", FMA_COLUMNS),)),),
    "musicnn": _MUSICNN,
    "neural": _TIMBRE,
    "timbre": _TIMBRE,
    "timbre+genre": _TIMBRE,
}

# Recipes that read the tracks' genres when they are applied.
GENRE_RECIPES = frozenset({"timbre+genre"})


def recipe_groups(recipe: str, available: Iterable[str]) -> tuple[FeatureGroup, ...]:
    """Return a recipe's groups, restricted to the available columns.

    Groups and parts without any available column are left out. Features without those of a fixed band have
    groups of their own; where no group is left, as with Echo Nest's features, which no recipe names, all
    available columns are one group.
    """
    available = tuple(available)
    groups = RECIPES[recipe]
    if recipe != "fma518" and "mel_mean_001" not in available:
        groups = _NATIVE_TIMBRE
    restricted = [group for group in map(_restrict(available), groups) if group.parts]
    if restricted:
        return tuple(restricted)
    return (FeatureGroup("everything", 1.0, (FeaturePart("identity", available),)),)


def _restrict(available: Iterable[str]) -> Callable[[FeatureGroup], FeatureGroup]:
    """Return the function that restricts a group to the available columns."""
    available_set = set(available)

    def restrict(group: FeatureGroup) -> FeatureGroup:
        parts = []
        for part in group.parts:
            columns = tuple(column for column in part.columns if column in available_set)
            if columns:
                parts.append(FeaturePart(part.transform, columns))
        return replace(group, parts=tuple(parts))

    return restrict
