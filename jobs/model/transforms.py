"""What a group of features becomes before it is standardised; plain numpy, shared with the model that MLflow serves.

Every function takes rows (tracks, n) of float64 and returns rows (tracks, m). Names are stored with a model, so a
function's meaning never changes: a new meaning is a new name.
"""

from collections.abc import Callable

import numpy as np

# dB^2 added to every variance: how much a coefficient changes below that nobody hears, and without it the logarithm of a
# steady tone's covariance has no bound.
_FLOOR_DB2 = 1.0


def as_is(values: np.ndarray) -> np.ndarray:
    """Return the values."""
    return values


def logarithm(values: np.ndarray) -> np.ndarray:
    """Return log(|x| + 1e-4): spreads, rates and levels are heard by their ratio."""
    return np.log(np.abs(values) + 1e-4)


def log_covariance(triangles: np.ndarray) -> np.ndarray:
    """Return the upper triangles of log(S + 1 dB^2), the entries off the diagonal times the root of 2.

    triangles: (tracks, d (d + 1) / 2) covariances S row by row, dB^2. The Euclidean distance of two results is the
    log-Euclidean distance of the two covariances (Arsigny et al. 2006): how differently two Gaussian timbres vary.
    """
    size = _side(triangles.shape[1])
    rows, columns = np.triu_indices(size)
    matrices = np.zeros((len(triangles), size, size))
    matrices[:, rows, columns] = matrices[:, columns, rows] = triangles
    eigenvalues, vectors = np.linalg.eigh(matrices)
    logs = np.log(np.maximum(eigenvalues, 0) + _FLOOR_DB2)
    logarithms = (vectors * logs[:, None, :]) @ vectors.transpose(0, 2, 1)
    return logarithms[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def transposed(chroma: np.ndarray) -> np.ndarray:
    """Return what stays of each 12 pitch classes whatever the key: magnitudes 0 to 6 of their Fourier transform.

    chroma: (tracks, 12 c), c times 12 pitch classes one after the other; returns (tracks, 7 c).
    """
    spectra = np.abs(np.fft.rfft(chroma.reshape(len(chroma), -1, 12), axis=2))
    return spectra.reshape(len(chroma), -1)


def _side(entries: int) -> int:
    """Return the side of the symmetric matrix whose upper triangle has so many entries."""
    return int((np.sqrt(8 * entries + 1) - 1) / 2)


TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as_is": as_is,
    "logarithm": logarithm,
    "log_covariance": log_covariance,
    "transposed": transposed,
}
