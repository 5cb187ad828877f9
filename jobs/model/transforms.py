"""Transforms of feature groups before standardization: plain numpy, shared with the model that MLflow serves.

Every function takes rows (tracks, n) of float64 and returns rows (tracks, m). The names in TRANSFORMS are
stored with each model, so a function never changes its meaning: a new meaning gets a new name.
"""

from collections.abc import Callable

import numpy as np

# dB², added to every eigenvalue of a covariance: a smaller variance of a coefficient is inaudible, and
# without it the logarithm of a steady tone's covariance has no bound.
_FLOOR_DB2 = 1.0

# The coefficients of `mel_mean` in a typical recording: their mean, and their root mean square deviation over
# the frames of one recording and from one frame to the next, dB. Units, in which every coefficient counts
# alike: nothing is fitted, so that a model of one collection serves another. Measured over 260 clips of the
# music of 15 games in Debian.
_MFCC_MEAN = (
    *(-338.0, 88.0, -1.3, 20.5, 1.3, 7.5, 0.1, 3.1, -0.2, 1.4),
    *(-0.3, 1.7, 0.2, 0.0, -0.1, 1.1, 0.4, 0.3, -0.1, 0.1),
)
_MFCC_DEVIATION = (
    *(44.0, 24.3, 17.6, 12.7, 10.5, 9.3, 8.5, 7.9, 7.6, 7.3),
    *(7.3, 7.3, 7.3, 7.2, 6.7, 6.4, 6.5, 6.4, 6.8, 7.1),
)
_MFCC_CHANGE = (
    *(19.3, 10.6, 7.6, 5.7, 4.9, 4.4, 4.2, 4.0, 3.9, 3.7),
    *(3.6, 3.5, 3.5, 3.4, 3.3, 3.3, 3.2, 3.2, 3.2, 3.2),
)

# Added to every variance in these units. Results hardly change from .03 to .3.
_FLOOR = 0.1


def identity(values: np.ndarray) -> np.ndarray:
    """Return the values unchanged."""
    return values


def logarithm(values: np.ndarray) -> np.ndarray:
    """Return log(|x| + 1e-4): spreads, rates and levels are perceived by their ratio."""
    return np.log(np.abs(values) + 1e-4)


def log_covariance(triangles: np.ndarray) -> np.ndarray:
    """Return the upper triangles of log(S + 1 dB²), off-diagonal entries times √2.

    The Euclidean distance of two results is the log-Euclidean distance of the two covariances (Arsigny et al.
    2006): how differently two Gaussian timbres vary.

    Parameters
    ----------
    triangles : (tracks, d (d + 1) / 2)
        Upper triangles of covariance matrices S, row by row, in dB².

    Returns
    -------
    (tracks, d (d + 1) / 2)
    """
    matrices = _from_triangles(triangles)
    return _log_triangles(matrices + _FLOOR_DB2 * np.eye(matrices.shape[1]))


def log_change_covariance(triangles: np.ndarray) -> np.ndarray:
    """Return the same of `mel_delta_covariance`, in the units of `_MFCC_CHANGE`, (tracks, 210)."""
    units = np.array(_MFCC_CHANGE)
    return _log_triangles(_from_triangles(triangles) / np.outer(units, units) + _FLOOR * np.eye(len(units)))


def log_gaussian(gaussians: np.ndarray) -> np.ndarray:
    """Return a vector for each Gaussian whose Euclidean distances compare mean and covariance together.

    A Gaussian with mean m and covariance K corresponds to the matrix [[K + m m', m], [m', 1]] (Calvo & Oller
    1990), of which the logarithm's upper triangle is returned, as in `log_covariance`.

    Parameters
    ----------
    gaussians : (tracks, 20 + 210)
        `mel_mean`, then `mel_covariance`.

    Returns
    -------
    (tracks, 231)
    """
    units = np.array(_MFCC_DEVIATION)
    size = len(units)
    means = (gaussians[:, :size] - _MFCC_MEAN) / units
    covariances = _from_triangles(gaussians[:, size:]) / np.outer(units, units) + _FLOOR * np.eye(size)
    matrices = np.ones((len(gaussians), size + 1, size + 1))
    matrices[:, :size, :size] = covariances + means[:, :, None] * means[:, None, :]
    matrices[:, :size, size] = matrices[:, size, :size] = means
    return _log_triangles(matrices)


def _from_triangles(triangles: np.ndarray) -> np.ndarray:
    """Return the symmetric matrices (tracks, d, d) of upper triangles, row by row."""
    size = _matrix_size(triangles.shape[1])
    rows, columns = np.triu_indices(size)
    matrices = np.zeros((len(triangles), size, size))
    matrices[:, rows, columns] = triangles
    matrices[:, columns, rows] = triangles
    return matrices


def _log_triangles(matrices: np.ndarray) -> np.ndarray:
    """Return the upper triangles of the matrices' logarithms, off-diagonal entries times √2.

    Rounding may leave an eigenvalue at 0 or below: it counts as a thousandth of the floor.
    """
    rows, columns = np.triu_indices(matrices.shape[1])
    eigenvalues, vectors = np.linalg.eigh(matrices)
    logs = np.log(np.maximum(eigenvalues, 1e-3 * _FLOOR))
    logarithms = (vectors * logs[:, None, :]) @ vectors.transpose(0, 2, 1)
    return logarithms[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def key_invariant(chroma: np.ndarray) -> np.ndarray:
    """Return the magnitudes 0 to 6 of each chroma vector's Fourier transform, which do not depend on the key.

    Parameters
    ----------
    chroma : (tracks, 12 c)
        c chroma vectors of 12 pitch classes, one after the other.

    Returns
    -------
    (tracks, 7 c)
    """
    spectra = np.abs(np.fft.rfft(chroma.reshape(len(chroma), -1, 12), axis=2))
    return spectra.reshape(len(chroma), -1)


def _matrix_size(n_entries: int) -> int:
    """Return the size of the symmetric matrix whose upper triangle has `n_entries` entries."""
    return int((np.sqrt(8 * n_entries + 1) - 1) / 2)


TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": identity,
    "logarithm": logarithm,
    "log_change_covariance": log_change_covariance,
    "log_covariance": log_covariance,
    "log_gaussian": log_gaussian,
    "key_invariant": key_invariant,
}
