"""Similar items of each track, learned from plays: a BM25 neighbourhood, EASE, or both.

They are chosen as a sparse matrix W (n, n) of scores, 0 to 1; the entries of a row are ordered, the most
similar track first. W[i, j] is how much playing i predicts j.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.sparse import csr_array, vstack

# Similar items per track.
N_NEIGHBOURS = 100

# The products of two tracks of one user grow with the square of the user's tracks: of a longer history the
# most played tracks count.
MAX_USER_ITEMS = 500

# EASE has a matrix of this many of the most played tracks at most: 144 MB, and as much for its inverse.
# Where there are fewer users (and dimensions of the vectors) than tracks, its matrix is one of users, and
# more tracks are possible.
MAX_EASE_ITEMS = 6_000
MAX_EASE_ITEMS_BY_USERS = 20_000

# Tracks whose similarities are computed at once: 20 MB for 20,000 tracks.
_BLOCK = 256

# Similarities below this are zero.
_MIN_SIMILARITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class CollaborativeConfig:
    """Configuration of the similar items.

    Attributes
    ----------
    model
        `bm25`, `ease` or `bm25+ease`.
    saturation, length_damping
        k1 and b of BM25 (Robertson and Zaragoza 2009): how far repeated plays count, and how far popular
        tracks are damped.
    ease_regularization
        Added to the diagonal of EASE.
    content_weight
        How much the vectors count in EASE, as rows below the plays; above 0 a track without plays has similar
        items too.
    """

    model: str = "bm25"
    saturation: float = 3.0
    length_damping: float = 0.2
    ease_regularization: float = 200.0
    content_weight: float = 0.0


# Some columns of a symmetric matrix (n, n).
_Columns = Callable[[slice], np.ndarray]


class _Neighbours(NamedTuple):
    """Unordered similarities of one track: to the tracks with these indices."""

    track: int
    indices: np.ndarray
    scores: np.ndarray


def confidence_matrix(users: np.ndarray, tracks: np.ndarray, counts: np.ndarray, n_tracks: int) -> csr_array:
    """Return log(1 + count) of each pair of user and track (users, n_tracks); pairs are distinct."""
    names, rows = np.unique(users, return_inverse=True)
    values = np.log1p(counts).astype(np.float32)
    return csr_array((values, (rows, tracks)), shape=(len(names), n_tracks))


def similar_items(confidences: csr_array, vectors: np.ndarray, config: CollaborativeConfig) -> csr_array:
    """Return the similar items W (n, n) by the configuration's model.

    Parameters
    ----------
    confidences : (users, n)
        `confidence_matrix`.
    vectors : (n, d)
        Unit vectors.
    """
    n_tracks = confidences.shape[1]
    if not confidences.nnz:
        return csr_array((n_tracks, n_tracks), dtype=np.float32)
    capped = most_played(confidences, MAX_USER_ITEMS)
    found = []
    if "bm25" in config.model:
        found.append(_ordered(n_tracks, _bm25(capped, config)))
    if "ease" in config.model:
        found.append(_ordered(n_tracks, _ease(capped, vectors, config)))
    if len(found) == 1:
        return found[0]
    return _ordered(n_tracks, _sums(*found))


def most_played(confidences: csr_array, count: int) -> csr_array:
    """Return confidences with at most `count` tracks a user: the most played ones, ties by a hash."""
    sizes = np.diff(confidences.indptr)
    if sizes.max(initial=0) <= count:
        return confidences
    tie_breaks = (confidences.indices.astype(np.uint32) * np.uint32(2_654_435_761)).astype(np.uint32)
    users = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((tie_breaks, -confidences.data, users))
    place = np.arange(len(order)) - np.repeat(confidences.indptr[:-1], sizes)
    chosen = np.sort(order[place < count])
    return csr_array(
        (confidences.data[chosen], (users[chosen], confidences.indices[chosen])), shape=confidences.shape
    )


def _bm25(confidences: csr_array, config: CollaborativeConfig) -> Iterator[_Neighbours]:
    """Yield BM25 similarities: products of two tracks' weights.

    A user is a term of a track: it weighs more with more plays, and less if the user plays everything.
    """
    weights = _bm25_weights(confidences, config)
    by_user = csr_array(weights.T)
    for start in range(0, weights.shape[0], _BLOCK):
        products = csr_array(weights[start : start + _BLOCK] @ by_user)
        for row in range(products.shape[0]):
            entries = slice(products.indptr[row], products.indptr[row + 1])
            yield _Neighbours(start + row, products.indices[entries], products.data[entries])


def _bm25_weights(confidences: csr_array, config: CollaborativeConfig) -> csr_array:
    """Return the BM25 weights (n, users) of the users of each track."""
    by_track = csr_array(confidences.T, dtype=np.float64)
    lengths = np.asarray(by_track.sum(axis=1)).ravel()
    damping = config.length_damping
    lengths = 1 - damping + damping * lengths / max(lengths.mean(), 1e-9)
    sizes = np.bincount(by_track.indices, minlength=by_track.shape[1])
    # Not below 0 for a user who plays nearly every track.
    idf = np.log1p(by_track.shape[0] / (1 + sizes))
    lengths_of_entries = np.repeat(lengths, np.diff(by_track.indptr))
    saturated = by_track.data * (config.saturation + 1)
    saturated /= config.saturation * lengths_of_entries + by_track.data
    by_track.data = saturated * idf[by_track.indices]
    return by_track


def _ease(confidences: csr_array, vectors: np.ndarray, config: CollaborativeConfig) -> Iterator[_Neighbours]:
    """Yield the weights of EASE (Steck 2019): the linear autoencoder of the plays without its diagonal.

    With the rows X (plays as 0 and 1, and below them the vectors' dimensions) and P = (X'X + r I)^-1,

        B[i, j] = -P[i, j] / P[j, j],    r P = I - X'(XX' + r I)^-1 X    (Woodbury).

    The smaller of the two systems is solved.
    """
    n_users = np.bincount(confidences.indices, minlength=confidences.shape[1])
    rows = csr_array((np.ones(confidences.nnz), confidences.indices, confidences.indptr), confidences.shape)
    if config.content_weight:
        plays_per_track = confidences.nnz / max(1, (n_users > 0).sum())
        scale = np.sqrt(config.content_weight * plays_per_track)
        rows = csr_array(vstack([rows, csr_array(scale * vectors.T.astype(float))]))
    by_users = rows.shape[0] <= MAX_EASE_ITEMS
    tracks = _ease_tracks(n_users, config, MAX_EASE_ITEMS_BY_USERS if by_users else MAX_EASE_ITEMS)
    rows = csr_array(rows[:, tracks].astype(np.float32))
    inverse = _inverse_by_users if rows.shape[0] < len(tracks) else _inverse_by_tracks
    diagonal, columns = inverse(rows, config.ease_regularization)
    for start in range(0, len(tracks), _BLOCK):
        weights = -columns(slice(start, start + _BLOCK)).T / diagonal
        for row, values in enumerate(weights, start=start):
            positive = np.flatnonzero(values > 0)
            yield _Neighbours(int(tracks[row]), tracks[positive], values[positive])


def _ease_tracks(n_users: np.ndarray, config: CollaborativeConfig, max_tracks: int) -> np.ndarray:
    """Return the most played tracks, sorted; of two or more users, or without plays too if vectors count."""
    most = np.argsort(-n_users, kind="stable")[:max_tracks]
    return np.sort(most if config.content_weight else most[n_users[most] > 1])


def _inverse_by_users(rows: csr_array, regularization: float) -> tuple[np.ndarray, _Columns]:
    """Return the diagonal (n,) of r P and a function for some of its columns, by the system of rows."""
    system = (rows @ rows.T).toarray().astype(np.float64)
    system[np.diag_indices_from(system)] += regularization
    inverse = linalg.inv(system, overwrite_a=True).astype(np.float32)
    by_track = csr_array(rows.T)
    by_row = csr_array(rows).tocsc()

    def explained(chosen: slice) -> tuple[np.ndarray, np.ndarray]:
        dense = by_row[:, chosen].toarray()
        return dense, inverse @ dense

    def columns(chosen: slice) -> np.ndarray:
        block = -(by_track @ explained(chosen)[1])
        numbers = np.arange(block.shape[1])
        block[chosen.start + numbers, numbers] += 1
        return np.asarray(block)

    starts = range(0, rows.shape[1], _BLOCK)
    diagonal = [1 - np.einsum("rb,rb->b", *explained(slice(start, start + _BLOCK))) for start in starts]
    return np.concatenate(diagonal), columns


def _inverse_by_tracks(rows: csr_array, regularization: float) -> tuple[np.ndarray, _Columns]:
    """Return the same by the system of tracks."""
    system = (rows.T @ rows).toarray()
    system[np.diag_indices_from(system)] += regularization
    inverse = regularization * linalg.inv(system, overwrite_a=True)
    return np.diag(inverse), lambda chosen: inverse[:, chosen]


def _sums(first: csr_array, second: csr_array) -> Iterator[_Neighbours]:
    """Yield the sums of two models' similarities, each divided by the sum of all of its own."""
    least = _MIN_SIMILARITY
    total = csr_array(first / max(first.sum(), least) + second / max(second.sum(), least))
    for track in range(total.shape[0]):
        entries = slice(total.indptr[track], total.indptr[track + 1])
        yield _Neighbours(track, total.indices[entries], total.data[entries])


def _ordered(n_tracks: int, found: Iterator[_Neighbours]) -> csr_array:
    """Return the `N_NEIGHBOURS` most similar items of each track, ties by index, over the largest score.

    A track is not its own neighbour.
    """
    rows, indices, scores = [], [], []
    for neighbours in found:
        is_other = (neighbours.indices != neighbours.track) & (neighbours.scores > 0)
        candidates, values = neighbours.indices[is_other], neighbours.scores[is_other]
        if len(values) > 4 * N_NEIGHBOURS:
            # Ties at the last place are all sorted below.
            least = np.partition(values, -N_NEIGHBOURS)[-N_NEIGHBOURS]
            candidates, values = candidates[values >= least], values[values >= least]
        best = np.lexsort((candidates, -values))[:N_NEIGHBOURS]
        rows.append(np.full(len(best), neighbours.track))
        indices.append(candidates[best])
        scores.append(values[best])
    track_rows = np.concatenate([*rows, np.zeros(0, dtype=int)])
    sizes = np.bincount(track_rows, minlength=n_tracks)
    by_track = np.argsort(track_rows, kind="stable")
    values = np.concatenate([*scores, np.zeros(0)])[by_track]
    values = (values / values.max(initial=_MIN_SIMILARITY)).astype(np.float32)
    columns = np.concatenate([*indices, np.zeros(0, dtype=int)])[by_track].astype(np.int32)
    return csr_array((values, columns, np.concatenate([[0], np.cumsum(sizes)])), shape=(n_tracks, n_tracks))
