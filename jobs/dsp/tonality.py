"""Tonnetz and key of a chroma. Pitch classes are the last axis, C first."""

import numpy as np

# Krumhansl & Kessler (1982): rating of how well each pitch class fits a key, from the tonic up.
KRUMHANSL_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
KRUMHANSL_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_NOTES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
KEYS = (*(f"{note} major" for note in _NOTES), *(f"{note} minor" for note in _NOTES))
_PROFILES = np.array(
    [np.roll(profile, tonic) for profile in (KRUMHANSL_MAJOR, KRUMHANSL_MINOR) for tonic in range(12)]
)

# Harte, Sandler, Gasser (2006): circles of fifths, minor thirds and major thirds, sine and cosine of each.
_STEPS = np.repeat([7 / 6, 3 / 2, 2 / 3], 2)
_SHIFTS = np.tile([0.5, 0], 3)
_RADII = np.repeat([1, 1, 0.5], 2)
_CIRCLES = _RADII[:, np.newaxis] * np.cos(np.pi * (np.outer(_STEPS, np.arange(12)) - _SHIFTS[:, np.newaxis]))


def tonnetz(chroma: np.ndarray) -> np.ndarray:
    """Return the tonal centroids (frames, 6) of a chroma (frames, 12), as librosa.feature.tonnetz does."""
    total = chroma.sum(axis=1, keepdims=True)
    centroids = chroma @ _CIRCLES.T.astype(np.float32)
    centroids /= np.where(total > 0, total, 1)
    return centroids


def estimate_key(chroma: np.ndarray) -> tuple[int, float]:
    """Return the index into KEYS of the best key for a chroma (12,), and its strength.

    The strength is the correlation with the key's profile (Krumhansl & Schmuckler), -1 to 1; 0 if all pitch
    classes are equally strong.
    """
    if np.ptp(chroma) <= 1e-6 * np.abs(chroma).max():
        return 0, 0.0
    correlations = np.corrcoef(np.vstack([chroma, _PROFILES]))[0, 1:]
    return int(correlations.argmax()), float(correlations.max())
