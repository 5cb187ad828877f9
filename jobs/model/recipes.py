"""Which features make an embedding, in which groups, with which weight: the recipes by name.

A group is one side of a sound; its weight is its share of the cosine of two tracks. The weights follow what content-based
similarity has agreed on since Pampalk (2006) and Pohle et al. (2009), timbre somewhat over half and rhythm a fifth; they
were not fitted to labels, and ours moved by .01 when they were all made equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.lake.schemas import FMA_COLUMNS, STATISTICS, descriptor_columns, feature_columns

# Names the way from features to embedding, beside the recipe's own name; raise it when the way changes.
VERSION = "2"

# The largest share of the cosine that metadata has where a recipe uses it: the sound decides, the genre nudges.
GENRE_WEIGHT = 0.25


@dataclass(frozen=True)
class FeaturePart:
    """Columns of FEATURES and what they become (a name of `transforms.TRANSFORMS`)."""

    transform: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class FeatureGroup:
    """One side of a sound: its parts side by side, and its weight (any positive number; the share is of the sum)."""

    name: str
    weight: float
    parts: tuple[FeaturePart, ...]


def _of(features: Iterable[str], statistics: Iterable[str]) -> tuple[str, ...]:
    statistics = tuple(statistics)
    return tuple(
        c for feature in features for statistic in statistics for c in feature_columns(feature, statistic)
    )


_SHAPES = ("spectral_bandwidth", "spectral_centroid", "spectral_rolloff", "rmse", "zcr")
_CHROMA = ("chroma_cens", "chroma_cqt", "chroma_stft")

_TIMBRE = (
    FeatureGroup(
        "timbre",
        0.25,
        (
            FeaturePart("as_is", _of(("mfcc", "spectral_contrast"), STATISTICS)),
            FeaturePart("logarithm", _of(_SHAPES, ("max", "mean", "median", "std"))),
        ),
    ),
    FeatureGroup("covariance", 0.25, (FeaturePart("log_covariance", descriptor_columns("mfcc_covariance")),)),
    FeatureGroup(
        "delta",
        0.15,
        (
            FeaturePart("logarithm", _of(("mfcc_delta",), ("std",))),
            FeaturePart("as_is", _of(("mfcc_delta",), ("kurtosis", "max", "min"))),
        ),
    ),
    FeatureGroup(
        "rhythm",
        0.2,
        (
            FeaturePart("as_is", descriptor_columns("tempogram")),
            FeaturePart("logarithm", ("onset_density", "tempo")),
        ),
    ),
    FeatureGroup(
        "chroma",
        0.15,
        (
            # The key is no part of how a piece sounds; how its notes are spread over the octave is.
            FeaturePart("transposed", _of(_CHROMA, ("mean", "std"))),
            FeaturePart("as_is", ("key_strength", *_of(("tonnetz",), ("std",)))),
        ),
    ),
)

RECIPES: dict[str, tuple[FeatureGroup, ...]] = {
    "timbre": _TIMBRE,
    "timbre+genre": _TIMBRE,
    "fma518": (FeatureGroup("fma518", 1.0, (FeaturePart("as_is", FMA_COLUMNS),)),),
    "neural": _TIMBRE,
}

# The recipes that read the tracks' genres, when they are applied.
GENRE_RECIPES = frozenset({"timbre+genre"})


def recipe_groups(recipe: str, available: Iterable[str]) -> tuple[FeatureGroup, ...]:
    """Return a recipe's groups with the columns that a feature version has; a group without any is left out.

    Features of another kind, which no recipe names (Echo Nest's), are one group together.
    """
    available = tuple(available)
    known = set(available)
    found = []
    for group in RECIPES[recipe]:
        parts = (
            FeaturePart(part.transform, tuple(c for c in part.columns if c in known)) for part in group.parts
        )
        if kept := tuple(part for part in parts if part.columns):
            found.append(FeatureGroup(group.name, group.weight, kept))
    return tuple(found) or (FeatureGroup("everything", 1.0, (FeaturePart("as_is", available),)),)
