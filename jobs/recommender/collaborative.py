"""Item similarities: how much playing one track predicts another, learned from plays and vectors.

The users' rows and the tracks' vectors are stacked, and the stack is reduced to its strongest directions.
With the interactions X (users, n), unit vectors V (n, d) and s plays per track,

    G = X'X + content_weight * s * VV' = E diag(w) E'
    W = E diag(max(0, 1 - shrinkage * mean(w) / w)) E'

W[i, j] is how much playing i predicts j: a linear autoencoder, as EASE (Steck 2019), whose weak directions,
which are mostly chance, are shrunk. A track without plays still has the similarities of its sound. The scores
are W**power, scaled to 0 to 1: a higher power lets a few strong similarities outweigh many weak ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import MiniBatchKMeans

from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import clusters_to_search
from jobs.recommender.item_catalog import SimilarItems

# Similar items per track.
N_NEIGHBOURS = 50

# Of BM25, whose similarities fall more slowly.
N_BM25_NEIGHBOURS = 100

# Saturation by plays and damping by popularity, as in Robertson and Zaragoza 2009.
_BM25_K1, _BM25_B = 1.2, 0.2

# Strongest directions, at most; up to `_MAX_DENSE_TRACKS` all are computed and the others dropped.
_MAX_DIRECTIONS = 128
_MAX_DENSE_TRACKS = 1_000

# A user with more tracks counts as if there were this many: it may be a machine, or the loudspeaker of a
# shop.
_MAX_USER_ITEMS = 500

# Tracks whose similarities are computed at once: 10 MB for 10,000 tracks.
_BLOCK = 256

# Up to this many tracks every pair is compared. Of more, each track is compared with the tracks of the
# clusters of directions nearest to its own (20 times `_SEARCHED_NEIGHBOURS`, about 5,000) and with the
# `_N_STRONG` tracks that have the largest factors, whose similarities are high with any track.
_MAX_EXACT_TRACKS = 10_000
_SEARCHED_NEIGHBOURS = 250
_N_STRONG = 1_000

# Factors and similarities below this are zero.
_MIN_SIMILARITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class CollaborativeConfig:
    """Configuration of the item similarities.

    Attributes
    ----------
    content_weight
        How much the vectors count beside the plays.
    shrinkage
        How much is removed as chance.
    power
        Exponent of the similarities.
    model
        `autoencoder` (W above) or `bm25`: the neighbourhood of plays alone (`bm25_similarities`).
    """

    model: str = "autoencoder"
    content_weight: float = 1.0
    shrinkage: float = 1.0
    power: float = 2.0


def interaction_matrix(users: np.ndarray, tracks: np.ndarray, n_tracks: int) -> csr_array:
    """Return the interactions (users, n_tracks): 1 for every pair, however often it is given.

    `users` (p,) are any values, `tracks` (p,) indices. Rows with more than `_MAX_USER_ITEMS` tracks are
    scaled down to the squared length of a row with that many.
    """
    names, rows = np.unique(users, return_inverse=True)
    ones = np.ones(len(tracks), dtype=np.float32)
    matrix = csr_array((ones, (rows, tracks)), shape=(len(names), n_tracks))
    matrix.sum_duplicates()
    sizes = np.diff(matrix.indptr)
    values = np.sqrt(np.minimum(1.0, _MAX_USER_ITEMS / np.maximum(sizes, 1)))
    matrix.data = np.repeat(values, sizes).astype(np.float32)
    return matrix


def confidence_matrix(users: np.ndarray, tracks: np.ndarray, counts: np.ndarray, n_tracks: int) -> csr_array:
    """Return log(1 + count) of each pair of user and track (users, n_tracks); pairs are distinct."""
    names, rows = np.unique(users, return_inverse=True)
    values = np.log1p(counts).astype(np.float32)
    return csr_array((values, (rows, tracks)), shape=(len(names), n_tracks))


def bm25_similarities(confidences: csr_array) -> dict[int, SimilarItems]:
    """Return the similar items of each track by BM25 of confidences (users, n), scores scaled to 0 to 1.

    A user is a term of a track: it weighs more with more plays, less if the user plays everything, and a
    popular track is damped a little. The similarity is the product of two tracks' weights.
    """
    if not confidences.nnz:
        return {}
    weights = _bm25_weights(confidences)
    by_user = csr_array(weights.T)
    n_tracks = weights.shape[0]
    similar: dict[int, SimilarItems] = {}
    for start in range(0, n_tracks, _BLOCK):
        products = csr_array(weights[start : start + _BLOCK] @ by_user)
        products.sort_indices()
        for row in range(products.shape[0]):
            entries = slice(products.indptr[row], products.indptr[row + 1])
            indices, scores = products.indices[entries], products.data[entries]
            is_other = (indices != start + row) & (scores > _MIN_SIMILARITY)
            indices, scores = indices[is_other], scores[is_other]
            best = np.lexsort((indices, -scores))[:N_BM25_NEIGHBOURS]
            if best.size:
                similar[start + row] = SimilarItems(indices[best], scores[best])
    largest = max((float(items.scores[0]) for items in similar.values()), default=1.0)
    return {
        index: SimilarItems(items.indices, (items.scores / largest).astype(np.float32))
        for index, items in similar.items()
    }


def _bm25_weights(confidences: csr_array) -> csr_array:
    """Return the BM25 weights (n, users) of the users of each track."""
    by_track = csr_array(confidences.T, dtype=np.float64)
    lengths = np.asarray(by_track.sum(axis=1)).ravel()
    lengths = 1 - _BM25_B + _BM25_B * lengths / max(lengths.mean(), 1e-9)
    sizes = np.bincount(by_track.indices, minlength=by_track.shape[1])
    # Not below 0 for a user who plays nearly every track.
    idf = np.log1p(by_track.shape[0] / (1 + sizes))
    lengths_of_entries = np.repeat(lengths, np.diff(by_track.indptr))
    saturated = by_track.data * (_BM25_K1 + 1) / (_BM25_K1 * lengths_of_entries + by_track.data)
    by_track.data = saturated * idf[by_track.indices]
    return by_track


def factorize(interactions: csr_array, vectors: np.ndarray, config: CollaborativeConfig) -> np.ndarray:
    """Return item factors F (n, k) with W = FF', of interactions (users, n) and unit vectors (n, d).

    K is 0 without plays.
    """
    n_tracks = interactions.shape[1]
    if not interactions.nnz:
        return np.zeros((n_tracks, 0), dtype=np.float32)
    n_played = int((np.bincount(interactions.indices, minlength=n_tracks) > 0).sum())
    plays_per_track = interactions.data.sum() / n_played
    weight = config.content_weight * plays_per_track
    mean_eigenvalue = plays_per_track * (1 + config.content_weight)
    if n_tracks <= _MAX_DENSE_TRACKS:
        eigenvalues, directions = _all_directions(interactions, vectors, weight)
    else:
        eigenvalues, directions = _strongest_directions(interactions, vectors.astype(float), weight)
    remaining = np.maximum(0.0, 1.0 - config.shrinkage * mean_eigenvalue / np.maximum(eigenvalues, 1e-9))
    factors = directions * np.sqrt(remaining)
    return np.asarray(factors[:, remaining > 0], dtype=np.float32)


def _all_directions(
    interactions: csr_array, vectors: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues (k,) and eigenvectors (n, k) of G, computed as a matrix."""
    gram = (interactions.T @ interactions).toarray().astype(float)
    gram += weight * (vectors @ vectors.T).astype(float)
    eigenvalues, directions = np.linalg.eigh(gram)
    n_directions = min(_MAX_DIRECTIONS, len(gram))
    return eigenvalues[-n_directions:], directions[:, -n_directions:]


def _strongest_directions(
    interactions: csr_array, vectors: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of G that is never stored: only its products with a vector are computed (Lanczos)."""
    n_tracks = len(vectors)

    def multiply(x: np.ndarray) -> np.ndarray:
        by_plays = np.asarray(interactions.T @ (interactions @ x))
        return by_plays + weight * (vectors @ (vectors.T @ x))

    gram = LinearOperator((n_tracks, n_tracks), matvec=multiply, dtype=np.float64)
    # A fixed start vector: the same plays give the same similarities.
    eigenvalues, directions = eigsh(gram, k=min(_MAX_DIRECTIONS, n_tracks), v0=np.ones(n_tracks), tol=1e-3)
    return eigenvalues, directions


def similar_items(
    interactions: csr_array, confidences: csr_array, vectors: np.ndarray, config: CollaborativeConfig
) -> dict[int, SimilarItems]:
    """Return the similar items of each track by the configuration's model."""
    if config.model == "bm25":
        return bm25_similarities(confidences)
    return item_similarities(factorize(interactions, vectors, config), config)


def item_similarities(factors: np.ndarray, config: CollaborativeConfig) -> dict[int, SimilarItems]:
    """Return the similar items of each track by index, of factors (n, k); tracks without any are left out."""
    strongest = dict(_strongest(factors))
    largest = max((float(similar.scores[0]) for similar in strongest.values()), default=1.0)
    scaled = {}
    for index, similar in strongest.items():
        scores = ((similar.scores / largest) ** config.power).astype(np.float32)
        scaled[index] = SimilarItems(similar.indices, scores)
    return scaled


def _strongest(factors: np.ndarray) -> Iterator[tuple[int, SimilarItems]]:
    """Yield for each track index its similar items, with unscaled scores."""
    for queries, candidates in _compared(factors):
        candidate_factors = factors[candidates]
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            products = factors[block] @ candidate_factors.T
            products[block[:, None] == candidates[None, :]] = 0.0  # a track is not its own neighbour
            n_neighbours = min(N_NEIGHBOURS, len(candidates))
            best = np.argpartition(-products, n_neighbours - 1, axis=1)[:, :n_neighbours]
            for query, scores, columns in zip(block.tolist(), products, best, strict=True):
                # Best first; ties by index.
                ordered = columns[np.lexsort((candidates[columns], -scores[columns]))]
                ordered = ordered[scores[ordered] > _MIN_SIMILARITY]
                if ordered.size:
                    yield query, SimilarItems(candidates[ordered], scores[ordered])


def _compared(factors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield query tracks and the candidates that they are compared with, as indices.

    All with all if there are few.
    """
    if len(factors) <= _MAX_EXACT_TRACKS:
        indices = np.arange(len(factors))
        yield indices, indices
    else:
        yield from _compared_by_cluster(factors)


def _compared_by_cluster(factors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the tracks of each cluster of directions and their candidates; the work grows linearly.

    A similarity is a product of two rows of factors, so it is high if their directions are near or the rows
    are long (Yan et al. 2018 range the norms in the same way for maximum inner product search). K-Means over
    the directions finds the first kind, sorting by length the second.
    """
    lengths = np.linalg.norm(factors, axis=1)
    nonzero = np.flatnonzero(lengths > _MIN_SIMILARITY)
    if not nonzero.size:
        return
    directions = l2_normalize(factors[nonzero])
    n_clusters = min(max(1, round(len(nonzero) ** 0.5)), len(nonzero))
    model = MiniBatchKMeans(n_clusters, random_state=0, n_init=1, batch_size=4_096).fit(directions)
    by_cluster = nonzero[np.argsort(model.labels_, kind="stable")]
    sizes = np.bincount(model.labels_, minlength=n_clusters)
    members = np.split(by_cluster, np.cumsum(sizes)[:-1])
    strong = nonzero[np.argsort(-lengths[nonzero], kind="stable")[:_N_STRONG]]
    centroids = l2_normalize(model.cluster_centers_)
    searched = clusters_to_search(centroids, sizes, n_neighbours=_SEARCHED_NEIGHBOURS)
    for queries, clusters in zip(members, searched, strict=True):
        near = np.concatenate([members[cluster] for cluster in clusters])
        yield queries, np.union1d(near, strong)
