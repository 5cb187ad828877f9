"""Names of the 1,698 feature columns, and the feature versions that this code can read.

A column is one statistic, over the frames of a track, of one coefficient of a feature (`mfcc_mean_03`), or
one value of a descriptor (`tempo`, `tempogram_017`). The units are librosa's; `docs/features.md` describes
every feature.
"""

from collections.abc import Iterable

# FMA's features.csv: the number of coefficients of each feature, and the statistics over the frames, in its
# order.
FMA_SIZES = {
    "chroma_cens": 12,
    "chroma_cqt": 12,
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "tonnetz": 6,
    "zcr": 1,
}
STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")

# Beyond FMA: one more feature with the same statistics, and descriptors, which have one value per recording:
# name -> (number of values, meaning).
FEATURE_SIZES = {**FMA_SIZES, "mfcc_delta": 20}
DESCRIPTORS = {
    "fluctuation_pattern": (
        80,
        "cosine transform of log(1 + fluctuation in dB) at 20 rates of 0.3 to 15 Hz in 16 bands of 0 to "
        "10 kHz, lowest 8 x 10 coefficients, band by band",
    ),
    "harmonic_share": (
        8,
        "share of the energy that lasts rather than strikes, in 8 bands of 0 to 10 kHz, 0 to 1",
    ),
    "key": (1, "musical key: 0 to 11 are C major to B major, 12 to 23 are C minor to B minor"),
    "key_strength": (1, "correlation of the summed constant-Q chroma with the key's profile, -1 to 1"),
    "mel_covariance": (
        210,
        "covariance of the 20 coefficients of mel_mean over the frames, as mfcc_covariance",
    ),
    "mel_delta_covariance": (210, "the same of their differences from frame to frame"),
    "mel_mean": (
        20,
        "mean MFCC of 64 mel bands of 0 to 10 kHz at 22,050 Hz, levels relative to the loudest, dB",
    ),
    "mfcc_covariance": (210, "covariance of mfcc 1 to 20 over the frames, upper triangle row by row, dB^2"),
    "onset_density": (1, "note onsets per second"),
    "tempo": (1, "beats per minute"),
    "tempogram": (
        48,
        "autocorrelation of the onset strength at 48 tempi, 30 to 300 beats per minute, evenly in octaves",
    ),
}
# Descriptors that only models read: they are not published in the online store.
MODEL_DESCRIPTORS = frozenset(
    ("fluctuation_pattern", "harmonic_share", "mel_covariance", "mel_delta_covariance", "mel_mean")
)

# What a pretrained network makes of a recording, where its weights are installed (`jobs/musicnn`): null else.
PRETRAINED = {
    "musicnn": (
        200,
        "MusiCNN's penultimate layer, mean over three excerpts of 3 s; null without its weights",
    ),
    "musicnn_tags": (
        50,
        "probabilities of MusiCNN's 50 tags, mean over the same excerpts; null as musicnn is",
    ),
}


def feature_columns(feature: str, statistic: str) -> tuple[str, ...]:
    """Return the columns of one statistic of one feature.

    `<feature>_<statistic>_<number>` from 01, as in FMA.
    """
    numbers = range(1, FEATURE_SIZES[feature] + 1)
    return tuple(f"{feature}_{statistic}_{number:02d}" for number in numbers)


def descriptor_columns(descriptor: str) -> tuple[str, ...]:
    """Return the columns of one descriptor.

    `<name>`, or `<name>_<number>` from 001 if it has several values.
    """
    size, _ = {**DESCRIPTORS, **PRETRAINED}[descriptor]
    if size == 1:
        return (descriptor,)
    return tuple(f"{descriptor}_{number:03d}" for number in range(1, size + 1))


def all_descriptor_columns(descriptors: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of several descriptors, in their order."""
    columns: list[str] = []
    for descriptor in descriptors:
        columns += descriptor_columns(descriptor)
    return tuple(columns)


def all_statistic_columns(features: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of every statistic of several features, in FMA's order."""
    columns: list[str] = []
    for feature in features:
        for statistic in STATISTICS:
            columns += feature_columns(feature, statistic)
    return tuple(columns)


# The 518 columns of FMA's features.csv, by its names and in its order; the columns that are computed from a
# signal; and all that this code writes.
FMA_COLUMNS = all_statistic_columns(FMA_SIZES)
SIGNAL_COLUMNS = (*all_statistic_columns(FEATURE_SIZES), *all_descriptor_columns(DESCRIPTORS))
PRETRAINED_COLUMNS = all_descriptor_columns(PRETRAINED)
FEATURE_COLUMNS = (*SIGNAL_COLUMNS, *PRETRAINED_COLUMNS)

# The columns of the online store's documents.
PUBLISHED_DESCRIPTORS = tuple(name for name in DESCRIPTORS if name not in MODEL_DESCRIPTORS)
PUBLISHED_COLUMNS = (*all_statistic_columns(FEATURE_SIZES), *all_descriptor_columns(PUBLISHED_DESCRIPTORS))

# The features of FMA's echonest.csv: (second header row, third header row). Its metadata and ranks are left
# out.
_ECHONEST_AUDIO = (
    "acousticness",
    "danceability",
    "energy",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
    "valence",
)
ECHONEST_FIELDS = (
    *(("audio_features", name) for name in _ECHONEST_AUDIO),
    *(("temporal_features", f"{number:03d}") for number in range(224)),
)
ECHONEST_COLUMNS = tuple(f"echonest_{name}" for _, name in ECHONEST_FIELDS)

# Every feature version that this code can read, oldest first, and the columns that its embedding is computed
# from (how: `jobs/model/recipes.py`). The name is the set of features, then the numerical version of the
# code: raise it when any column changes by more than rounding. Rows of an older version are null in the
# columns that it lacks. `key` is left out: it is a category, not a quantity. The two versions that begin with
# `fma-` are imported from the data set's own files, without audio.
_BASIC_FEATURES = sorted(set(FMA_SIZES) - {"chroma_cens", "chroma_cqt", "tonnetz"})
_FIRST_DESCRIPTORS = ("key_strength", "mfcc_covariance", "onset_density", "tempo", "tempogram")
_NUMERIC_DESCRIPTORS = (*(name for name in DESCRIPTORS if name != "key"), *PRETRAINED)
MODEL_INPUT_COLUMNS = {
    "fma-echonest": ECHONEST_COLUMNS,
    "fma-librosa": FMA_COLUMNS,
    "basic-1": all_statistic_columns(_BASIC_FEATURES),
    "fma518+1": (*all_statistic_columns(FEATURE_SIZES), *all_descriptor_columns(_FIRST_DESCRIPTORS)),
    "fma518+2": (*all_statistic_columns(FEATURE_SIZES), *all_descriptor_columns(_NUMERIC_DESCRIPTORS)),
}
FEATURE_VERSION = list(MODEL_INPUT_COLUMNS)[-1]


def newest_feature_version(versions: Iterable[str]) -> str | None:
    """Return the newest of the given feature versions, None if this code knows none of them."""
    candidates = set(versions)
    for version in reversed(MODEL_INPUT_COLUMNS):
        if version in candidates:
            return version
    return None
