"""Transforms of feature groups before standardization: plain numpy, shared with the model that MLflow serves.

Every function takes rows (tracks, n) of float64 and returns rows (tracks, m). The names in TRANSFORMS are
stored with each model, so a function never changes its meaning: a new meaning gets a new name.
"""

from collections.abc import Callable

import numpy as np

# dB², added to every eigenvalue of a covariance: a smaller variance of a coefficient is inaudible, and
# without it the logarithm of a steady tone's covariance has no bound.
_FLOOR_DB2 = 1.0


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
    size = _matrix_size(triangles.shape[1])
    rows, columns = np.triu_indices(size)
    matrices = np.zeros((len(triangles), size, size))
    matrices[:, rows, columns] = triangles
    matrices[:, columns, rows] = triangles
    eigenvalues, vectors = np.linalg.eigh(matrices)
    logs = np.log(np.maximum(eigenvalues, 0) + _FLOOR_DB2)
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
    "log_covariance": log_covariance,
    "key_invariant": key_invariant,
}
