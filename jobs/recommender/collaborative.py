"""What goes together: from who has heard what, and from how the tracks sound, for each track the others that belong to it.

Listeners' rows and the tracks' vectors are stacked, and the stack is reduced to its strongest directions: with u listeners
X (u, n), unit vectors V (n, d) and s plays a track,

    G = X'X + sound * s * VV' = E diag(w) E',   W = E diag(max(0, 1 - shrink * mean(w) / w)) E'

W[i, j] is how much hearing i speaks for j: a linear autoencoder (as EASE, Steck 2019) whose weak directions, chance in
most cases, are taken out softly. Without plays of its own a track still has what sounds like it. W**power, scaled
to 0..1, lets the few strong links outweigh many weak ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import MiniBatchKMeans

from jobs.model.embedding import l2_normalize
from jobs.model.nearest import nearest_clusters

# Of each track so many others are kept.
N_NEIGHBOURS = 50

# Directions kept at most, and tracks up to which all of them are computed.
_DIRECTIONS, _DENSE = 128, 1_000

# Who has heard more tracks than this counts as if it were so many: a machine, or a shop's loudspeaker.
_MAX_USER_ITEMS = 500

# Tracks whose links are computed at once: with 10,000 others 10 MB.
_BLOCK = 256

# Tracks up to which each is compared with all. Of more, each is compared with those of the clusters of directions nearest
# to its own, some 5,000, and with the ones whose links are strong with anybody.
_COMPARED, _WANTED, _STRONG = 10_000, 250, 1_000

ItemSimilarities = dict[int, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class CollaborativeConfig:
    """How much sound counts beside plays, how much is taken out as chance, how much strong links outweigh weak ones."""

    content_weight: float = 1.0
    shrinkage: float = 1.0
    power: float = 2.0


def interaction_matrix(users: np.ndarray, tracks: np.ndarray, count: int) -> csr_array:
    """Return who has heard what, (users, count), of pairs of user (any value) and track number; each pair counts once."""
    names, rows = np.unique(users, return_inverse=True)
    matrix = csr_array((np.ones(len(tracks), dtype=np.float32), (rows, tracks)), shape=(len(names), count))
    matrix.sum_duplicates()
    sizes = np.diff(matrix.indptr)
    matrix.data = np.repeat(np.sqrt(np.minimum(1.0, _MAX_USER_ITEMS / np.maximum(sizes, 1))), sizes).astype(
        np.float32
    )
    return matrix


def factorize(heard: csr_array, vectors: np.ndarray, recipe: CollaborativeConfig) -> np.ndarray:
    """Return F (n, k) with W = FF', of who has heard what (u, n) and unit vectors (n, d)."""
    count = heard.shape[1]
    if not heard.nnz:  # nothing to reduce: W is zero
        return np.zeros((count, 0), dtype=np.float32)
    known = int((np.bincount(heard.indices, minlength=count) > 0).sum())
    weight = recipe.content_weight * heard.data.sum() / known
    mean = heard.data.sum() / known * (1 + recipe.content_weight)
    kept = min(_DIRECTIONS, count)
    if count <= _DENSE:
        gram = (heard.T @ heard).toarray().astype(float) + weight * (vectors @ vectors.T).astype(float)
        values, directions = np.linalg.eigh(gram)
        values, directions = values[-kept:], directions[:, -kept:]
    else:
        vectors = vectors.astype(float)

        def times(x: np.ndarray) -> np.ndarray:
            return np.asarray(heard.T @ (heard @ x)) + weight * (vectors @ (vectors.T @ x))

        gram = LinearOperator((count, count), matvec=times, dtype=np.float64)
        # A start that is given: the same plays give the same links.
        values, directions = eigsh(gram, k=kept, v0=np.ones(count), tol=1e-3)
    left = np.maximum(0.0, 1.0 - recipe.shrinkage * mean / np.maximum(values, 1e-9))
    return np.asarray((directions * np.sqrt(left))[:, left > 0], dtype=np.float32)


def item_similarities(factors: np.ndarray, recipe: CollaborativeConfig) -> ItemSimilarities:
    """Return for each track number the others that belong to it most, with strengths 0..1, the strongest first."""
    found = dict(_strongest(factors))
    largest = max((float(strengths[0]) for _, strengths in found.values()), default=1.0)
    return {
        number: (others, ((strengths / largest) ** recipe.power).astype(np.float32))
        for number, (others, strengths) in found.items()
    }


def _strongest(factors: np.ndarray) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    numbers = np.arange(len(factors))
    for asking, others in _compared(factors) if len(factors) > _COMPARED else [(numbers, numbers)]:
        chosen = factors[others]
        for start in range(0, len(asking), _BLOCK):
            block = asking[start : start + _BLOCK]
            strengths = factors[block] @ chosen.T
            strengths[block[:, None] == others[None, :]] = 0.0
            wanted = min(N_NEIGHBOURS, len(others))
            best = np.argpartition(-strengths, wanted - 1, axis=1)[:, :wanted]
            for number, own, found in zip(block.tolist(), strengths, best, strict=True):
                order = found[np.lexsort((others[found], -own[found]))]
                order = order[own[order] > 1e-6]
                if order.size:
                    yield number, (others[order], own[order])


def _compared(factors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield tracks that are asked for together, and those that they are compared with: so many that the sum grows as n does.

    A link is a product of two rows, so it is strong where the directions are near or the rows long (norm-ranging, as Yan
    et al. 2018 do it for maximum inner products): K-Means over the directions finds the ones, sorting the others.
    """
    lengths = np.linalg.norm(factors, axis=1)
    known = np.flatnonzero(lengths > 1e-6)
    if not known.size:
        return
    directions = l2_normalize(factors[known])
    count = min(max(1, round(len(known) ** 0.5)), len(known))
    model = MiniBatchKMeans(count, random_state=0, n_init=1, batch_size=4_096).fit(directions)
    order = known[np.argsort(model.labels_, kind="stable")]
    sizes = np.bincount(model.labels_, minlength=count)
    members = np.split(order, np.cumsum(sizes)[:-1])
    strong = known[np.argsort(-lengths[known], kind="stable")[:_STRONG]]
    for own, near in zip(
        members, nearest_clusters(l2_normalize(model.cluster_centers_), sizes, wanted=_WANTED), strict=True
    ):
        yield own, np.union1d(np.concatenate([members[cluster] for cluster in near]), strong)
