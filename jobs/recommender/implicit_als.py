"""Item factors of implicit alternating least squares (Hu, Koren, Volinsky 2008), and the fold-in of a user.

A user's factors x solve, with item factors Y (n, d) and c > 0 for the tracks of the user's profile,

    (S + Y_p' C Y_p) x = Y_p' (1 + c)    with C = diag(c), S = Y'Y + regularization * I,

which for a profile of fewer tracks than dimensions is the smaller system (Woodbury)

    x = Z' (I + C Y_p Z')^-1 (1 + c)    with Z = Y_p S^-1.

So a list needs the item factors alone: a new user has factors after the first play, and batch and stream
solve the same system. A track with few listeners is moved towards what its sound predicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

# Dimensions of the factors, and sweeps over users and tracks.
DIMENSIONS = 128
_SWEEPS = 8

# Confidences count so many times beside the tracks that were not played.
_CONFIDENCE_SCALE = 3.0

# Numbers in a block of users whose systems are solved at once: 16 MB.
_BLOCK_VALUES = 4_000_000

# Ridge of the map from vectors to factors, in tracks.
_SOUND_RIDGE = 10.0


@dataclass(frozen=True, kw_only=True)
class FactorConfig:
    """Configuration of the item factors.

    Attributes
    ----------
    regularization
        Added to the diagonal of every system.
    sound_prior
        A track with this many listeners is half way between its plays and its sound; 0 leaves sound out.
    """

    regularization: float = 40.0
    sound_prior: float = 0.0


def fit_item_factors(confidences: csr_array, regularization: float) -> np.ndarray:
    """Return item factors (n, d), float32, of confidences (users, n): 0 where nothing was played.

    Tracks without plays have zeros.
    """
    rng = np.random.default_rng(0)
    dimensions = min(DIMENSIONS, *confidences.shape)
    items = (0.1 * rng.standard_normal((confidences.shape[1], dimensions)) / dimensions**0.5).astype(
        np.float32
    )
    by_user = csr_array(confidences, dtype=np.float32) * np.float32(_CONFIDENCE_SCALE)
    by_item = csr_array(by_user.T)
    for _ in range(_SWEEPS):
        users = _solve(by_user, items, regularization)
        items = _solve(by_item, users, regularization)
    return items


def fold_in(factors: np.ndarray, confidences: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Return a user's factors (d,) from factors (t, d) and confidences (t,) of a profile and S (2, d, d).

    S comes with its inverse (see `constant_part`).
    """
    scaled = _CONFIDENCE_SCALE * confidences
    if len(factors) <= factors.shape[1] // 2:
        return np.asarray(_solve_block(factors[None].astype(float), scaled[None], constant)[0])
    # The product of a matrix and its own transpose takes half the time.
    weighted = factors * np.sqrt(scaled).astype(factors.dtype)[:, None]
    system = weighted.T @ weighted + constant[0]
    return np.asarray(np.linalg.solve(system, factors.T @ (1 + scaled)))


def fold_in_rows(factors: np.ndarray, confidences: csr_array, regularization: float) -> np.ndarray:
    """Return the factors (users, d), float32, of every row of confidences (users, n), 0 if empty."""
    return _solve(csr_array(confidences * np.float32(_CONFIDENCE_SCALE)), factors, regularization)


def constant_part(factors: np.ndarray, regularization: float) -> np.ndarray:
    """Return S = Y'Y + regularization * I of factors (n, d), and its inverse: (2, d, d)."""
    system = factors.T @ factors + regularization * np.eye(factors.shape[1], dtype=factors.dtype)
    return np.stack([system, np.linalg.inv(system)])


def _solve_block(factors: np.ndarray, confidences: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Return x (r, d) for r users of t tracks each: factors (r, t, d), confidences (r, t), 0 at the end."""
    targets = np.where(confidences > 0, 1 + confidences, 0)[..., None]
    system, inverse = constant
    weighted = factors * confidences[..., None]
    n_tracks, dimensions = factors.shape[1:]
    if n_tracks <= dimensions // 2:
        projected = factors @ inverse
        small = np.matmul(weighted, projected.transpose(0, 2, 1))
        small[:, np.arange(n_tracks), np.arange(n_tracks)] += 1
        solved = np.matmul(projected.transpose(0, 2, 1), np.linalg.solve(small, targets))
    else:
        systems = np.matmul(weighted.transpose(0, 2, 1), factors) + system
        solved = np.linalg.solve(systems, np.matmul(factors.transpose(0, 2, 1), targets))
    return np.asarray(solved[..., 0])


def add_sound(
    factors: np.ndarray, vectors: np.ndarray, listeners: np.ndarray, sound_prior: float
) -> np.ndarray:
    """Return factors (n, d) moved towards what vectors (n, v) predict, the more the fewer listeners.

    The map is a ridge regression over the played tracks, each weighted by listeners / (listeners + prior).
    """
    if not sound_prior or not listeners.any():
        return factors
    share = listeners / (listeners + sound_prior)
    weighted = vectors * share[:, None]
    system = weighted.T @ vectors + _SOUND_RIDGE * np.eye(vectors.shape[1])
    predicted = vectors @ np.linalg.solve(system, weighted.T @ factors)
    return np.asarray(share[:, None] * factors + (1 - share[:, None]) * predicted, dtype=np.float32)


def _solve(confidences: csr_array, factors: np.ndarray, regularization: float) -> np.ndarray:
    """Return the factors (rows, d) of every row of confidences; of rows of similar length at once."""
    dimensions = factors.shape[1]
    solved = np.zeros((confidences.shape[0], dimensions), dtype=np.float32)
    constant = constant_part(factors, regularization)
    sizes = np.diff(confidences.indptr)
    for rows in _blocks(sizes, dimensions):
        columns = np.arange(sizes[rows].max())
        is_filled = columns < sizes[rows][:, None]
        positions = np.where(is_filled, confidences.indptr[rows][:, None] + columns, 0)
        values = np.where(is_filled, confidences.data[positions], np.float32(0))
        block = factors[confidences.indices[positions]]
        solved[rows] = _solve_block(block, values, constant)
    return solved


def _blocks(sizes: np.ndarray, dimensions: int) -> Iterator[np.ndarray]:
    """Yield the rows that have entries, those of similar size at once and few enough for memory."""
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    start = 0
    while start < len(order):
        smallest = sizes[order[start]]
        n_similar = int(np.searchsorted(sizes[order], max(8, smallest + smallest // 2), side="right")) - start
        largest = sizes[order[start + n_similar - 1]]
        n_rows = max(1, min(n_similar, int(_BLOCK_VALUES // (dimensions * (2 * largest + dimensions)))))
        yield order[start : start + n_rows]
        start += n_rows
