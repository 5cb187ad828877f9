"""Score tracks for a profile: seeds from its decayed weights, candidates near them, their scores.

The steps before the rules; `ranking.py` has an example of five tracks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from jobs.recommender import implicit_als, profiles
from jobs.recommender.item_catalog import ItemCatalog, RankingWeights
from jobs.recommender.profiles import Profile, ProfileTrack

# Seed tracks taken from the short-term and from the long-term weights of a profile, each.
_N_SEEDS = 10

# Tracks of the best collaborative scores that become candidates, of similar items and of factors each.
_N_COLLABORATIVE = 200

# Users whose factors are compared with the tracks at once: 4 MB.
_QUERIES_PER_PRODUCT = 32

# A like counts as so many plays.
_PLAYS_PER_LIKE = 3

# Decayed weights closer to 0 than this make neither a seed nor a skipped track.
_MIN_WEIGHT = 0.05

# The score of a track just played recovers by half of what it lacks per two days.
_REPEAT_HALF_LIFE_S = 2 * 86_400.0

# Weight of the similarity to skipped tracks.
_SKIP_PENALTY = 0.3


@dataclass(frozen=True)
class QueryProfile:
    """What a profile asks for, as indices of the catalog.

    Attributes
    ----------
    seeds : (s,) the tracks whose neighbours are candidates
    weights : (s,) the seeds' weights; their sum is 1
    skipped : (t,) tracks whose sound counts against a candidate
    excluded : disliked tracks, and the track played last
    played : (p,) all tracks of the profile
    recovered : (p,) how much of its score each of them has regained since it was played, 0 to 1
    liked : (l,) tracks that were finished or liked: the whole profile, not only the seeds
    confidences : (l,) log(1 + plays) of each of them, more for recent plays (`RankingWeights.recency`)
    """

    seeds: np.ndarray
    weights: np.ndarray
    skipped: np.ndarray
    excluded: set[int]
    played: np.ndarray
    recovered: np.ndarray
    liked: np.ndarray
    confidences: np.ndarray


class _Entries(NamedTuple):
    """Similar items of liked tracks in turn: the track's row, the index, the score."""

    rows: np.ndarray
    indices: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Signals:
    """What co-listening says of every track for a query.

    Attributes
    ----------
    similar : (n,) the sum over the profile of each track's similarity times confidence; (0,) if not asked
    entries : the similar items of all liked tracks (`_similar_entries`)
    user : (d,) the user's factors, or None
    best : the indices of the best tracks by each of the two
    """

    similar: np.ndarray
    entries: _Entries
    user: np.ndarray | None
    best: list[np.ndarray]


@dataclass(frozen=True)
class Candidates:
    """Candidates (c) of a query.

    Attributes
    ----------
    indices : (c,) sorted
    content : (s, c) the content score of each seed; (0, c) if sound is not asked
    parts : (4, c) the scores by content, similar items, factors and popularity, each 0 to 1, unweighted
    penalty : (c,) what is taken off for sounding like a skipped track
    """

    indices: np.ndarray
    content: np.ndarray
    parts: np.ndarray
    penalty: np.ndarray


class Scored(NamedTuple):
    """Candidates with their scores (c,), and what gave them."""

    candidates: Candidates
    scores: np.ndarray
    weights: RankingWeights
    signals: Signals


def query_profile(catalog: ItemCatalog, profile: Profile) -> QueryProfile:
    """Return the query of a profile; a profile without tracks of the catalog has no seeds."""
    tracks: list[ProfileTrack] = []
    played_indices: list[int] = []
    for track in profile.tracks:
        index = catalog.index_of.get(track.track_id)
        if index is not None:
            tracks.append(track)
            played_indices.append(index)
    played = np.array(played_indices, dtype=int)
    ages_s = _ages_s(profile, tracks)
    liked = np.array([track.liked is True for track in tracks], dtype=float)
    disliked = np.array([track.liked is False for track in tracks], dtype=bool)

    short_term = np.array([track.short_term for track in tracks], dtype=float)
    short_term = short_term * _half_life_weights(ages_s, profiles.SHORT_HALF_LIFE.total_seconds()) + liked
    long_term = np.array([track.long_term for track in tracks], dtype=float)
    long_term = long_term * _half_life_weights(ages_s, profiles.LONG_HALF_LIFE.total_seconds()) + liked
    weights = _top_seeds(short_term, played) + _top_seeds(long_term, played)
    # The square root keeps a few tracks that are played all the time from making up nearly the whole list.
    weights = np.sqrt(np.where(disliked, 0.0, weights))
    is_seed = weights > 0

    confidences = _confidences(tracks, ages_s, catalog.weights.recency)
    lowest = np.lexsort((played, short_term))[:_N_SEEDS]
    excluded = set(played[disliked].tolist())
    if tracks:
        last_played = np.lexsort((-played, ages_s))[0]
        excluded.add(int(played[last_played]))
    return QueryProfile(
        seeds=played[is_seed],
        weights=weights[is_seed] / (weights.sum() or 1.0),
        skipped=played[lowest[short_term[lowest] < -_MIN_WEIGHT]],
        excluded=excluded,
        played=played,
        recovered=1 - _half_life_weights(ages_s, _REPEAT_HALF_LIFE_S),
        liked=played[confidences > 0],
        confidences=confidences[confidences > 0],
    )


def _confidences(tracks: list[ProfileTrack], ages_s: np.ndarray, recency: float) -> np.ndarray:
    """Return for each track (p,) how sure its plays make that the user likes it; 0 for disliked ones."""
    plays = np.array(
        [track.finished + _PLAYS_PER_LIKE * (track.liked is True) for track in tracks], dtype=float
    )
    disliked = np.array([track.liked is False for track in tracks], dtype=bool)
    recent = _half_life_weights(ages_s, profiles.SHORT_HALF_LIFE.total_seconds())
    recent = (recent + _half_life_weights(ages_s, profiles.LONG_HALF_LIFE.total_seconds())) / 2
    return np.where(disliked, 0.0, np.log1p(plays) * (1 + recency * recent))


def _ages_s(profile: Profile, tracks: list[ProfileTrack]) -> np.ndarray:
    """Return the seconds (p,) from each track's newest play to the profile's newest play."""
    if profile.at is None:
        return np.zeros(len(tracks))
    return np.array([max((profile.at - track.at).total_seconds(), 0.0) for track in tracks])


def _half_life_weights(ages_s: np.ndarray, half_life_s: float) -> np.ndarray:
    """Return what is left of 1 after each age; 0.5 after one half-life."""
    return np.asarray(0.5 ** (ages_s / half_life_s))


def _top_seeds(weights: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the ten largest weights (p,) as shares of their sum, 0 for others; ties by smaller index.

    Only weights above the minimum count. Example: of [0.3, -0.2, 0.6, 0.1, 0.01] the two largest become
    [0.333, 0, 0.667, 0, 0], if `_N_SEEDS` is 2.
    """
    largest = np.lexsort((indices, -weights))[:_N_SEEDS]
    largest = largest[weights[largest] > _MIN_WEIGHT]
    shares = np.zeros(len(weights))
    shares[largest] = weights[largest] / weights[largest].sum()
    return shares


def _candidate_indices(catalog: ItemCatalog, seeds: list[int], best: list[np.ndarray]) -> np.ndarray:
    """Return the neighbours of the seeds, the best tracks by collaborative scores, and the most popular ones.

    (c,), sorted, without repeats.
    """
    is_candidate = np.zeros(len(catalog.ids), dtype=bool)
    for source in (catalog.most_popular, *best, *map(catalog.nearest, seeds)):
        is_candidate[source] = True
    return np.flatnonzero(is_candidate)


def score(catalog: ItemCatalog, query: QueryProfile, found: Signals) -> Scored:
    """Return the candidates for a query, scored by the catalog's ranking weights.

    Sound counts if co-listening finds nothing, as for a profile of tracks that nobody else played.
    """
    weights = catalog.weights
    if not weights.content and not any(best.size for best in found.best):
        weights = replace(weights, content=1.0)
    candidates = find_candidates(catalog, query, found, by_sound=weights.content > 0)
    scores = weigh(candidates, weights)
    _lower_recently_played(scores, candidates.indices, query)
    return Scored(candidates, scores, weights, found)


def signals(
    catalog: ItemCatalog,
    queries: Sequence[QueryProfile],
    users: Sequence[np.ndarray | None] | None = None,
) -> Iterator[Signals]:
    """Yield for each query what co-listening says of every track; only what the ranking weights ask for.

    The factors of several users are compared with the tracks in one product. A product's last bits depend on
    how many there are: they decide only which track is the 200th by factors, since scores are computed again.
    `users` are the users' factors where they are known already.
    """
    if users is None:
        users = [_user_factors(catalog, query) for query in queries]
    for start in range(0, len(queries), _QUERIES_PER_PRODUCT):
        block = slice(start, start + _QUERIES_PER_PRODUCT)
        best_by_factors = _best_by_factors(catalog, users[block])
        for query, user, best in zip(queries[block], users[block], best_by_factors, strict=True):
            entries = _similar_entries(catalog, query)
            similar = _similar_item_scores(catalog, query, entries)
            positive = np.flatnonzero(similar)
            yield Signals(similar, entries, user, [positive[_best(similar[positive])], best])


def _best_by_factors(catalog: ItemCatalog, users: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Return the best tracks of each user's factors, indices; none for a user without factors."""
    known = [user for user in users if user is not None]
    if not known:
        return [np.zeros(0, dtype=int) for _ in users]
    products = iter(np.stack(known) @ catalog.compared_factors.T)
    return [
        np.zeros(0, dtype=int) if user is None else catalog.factor_tracks[_best(next(products))]
        for user in users
    ]


def find_candidates(
    catalog: ItemCatalog, query: QueryProfile, found: Signals, *, by_sound: bool
) -> Candidates:
    """Return the candidates for a query with the parts of their scores; content scores only `by_sound`."""
    seeds = query.seeds if by_sound else query.seeds[:0]
    seed_weights = query.weights[: len(seeds)]
    indices = _candidate_indices(catalog, seeds.tolist(), found.best)
    is_new = np.ones(len(catalog.ids), dtype=bool)
    is_new[query.played] = False
    is_new = is_new[indices]
    vectors = catalog.vectors[indices]
    cosines = np.maximum(catalog.vectors[seeds] @ vectors.T, 0)
    content = seed_weights[:, None] * cosines**2
    parts = np.zeros((4, len(indices)))
    parts[0] = content.sum(axis=0)
    if found.similar.size:
        parts[1] = _scale(found.similar[indices], is_new)
    if found.user is not None:
        assert catalog.factors is not None
        parts[2] = _scale(np.einsum("cd,d->c", catalog.factors[indices], found.user), is_new)
    parts[3] = catalog.popularity[indices]
    penalty = np.zeros(len(indices))
    if query.skipped.size:
        similarity = np.maximum(catalog.vectors[query.skipped] @ vectors.T, 0).max(axis=0)
        penalty = _SKIP_PENALTY * similarity**2
    return Candidates(indices, content, parts, penalty)


def weigh(candidates: Candidates, weights: RankingWeights) -> np.ndarray:
    """Return the scores (c,) of candidates: the weighted sum of their parts less the penalty."""
    return np.asarray(weights.of_parts() @ candidates.parts - candidates.penalty)


def _similar_item_scores(catalog: ItemCatalog, query: QueryProfile, entries: _Entries) -> np.ndarray:
    """Return the sum (n,) over the profile of each track's similarity times confidence; (0,) if not asked.

    Example: track A with confidence 2 has the similar items [3, 4] with the scores [0.9, 0.5]: the sums are
    [0, 0, 0, 1.8, 1.0].
    """
    if not catalog.weights.collaborative or not catalog.similar_items.nnz:
        return np.zeros(0)
    values = query.confidences[entries.rows] * entries.scores
    return np.bincount(entries.indices, values, minlength=len(catalog.ids))


def _similar_entries(catalog: ItemCatalog, query: QueryProfile) -> _Entries:
    """Return the similar items of all liked tracks; none if the ranking weights do not ask.

    Example: of two liked tracks the second has the similar items [3, 4]: ([1, 1], [3, 4], [0.9, 0.5]).
    """
    if not catalog.weights.collaborative or not catalog.similar_items.nnz:
        return _Entries(np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0))
    similar = catalog.similar_items[query.liked]
    rows = np.repeat(np.arange(len(query.liked)), np.diff(similar.indptr))
    return _Entries(rows, similar.indices, similar.data)


def _user_factors(catalog: ItemCatalog, query: QueryProfile) -> np.ndarray | None:
    """Return the factors (d,) of a profile, float32, or None if they are not asked or do not exist."""
    if not catalog.weights.factors or catalog.factors is None or not query.liked.size:
        return None
    factors = catalog.factors[query.liked]
    return implicit_als.fold_in(factors, query.confidences, catalog.fold_in_constant).astype(np.float32)


def _best(scores: np.ndarray) -> np.ndarray:
    """Return the positions (at most 200 of n) of the largest scores (n,), of those above 0.

    Of many scores the largest of each group are compared first: the 200 largest scores are in the 200 groups
    with the largest maxima.
    """
    n_groups = 5 * _N_COLLABORATIVE
    n_rows = len(scores) // n_groups
    if n_rows < 4:
        positions = np.arange(len(scores))
    else:
        grid = scores[: n_rows * n_groups].reshape(n_rows, n_groups)
        groups = np.argpartition(-grid.max(axis=0), _N_COLLABORATIVE - 1)[:_N_COLLABORATIVE]
        chosen = (groups + n_groups * np.arange(n_rows)[:, None]).ravel()
        positions = np.concatenate([chosen, np.arange(n_rows * n_groups, len(scores))])
        scores = scores[positions]
    if len(scores) > _N_COLLABORATIVE:
        largest = np.argpartition(-scores, _N_COLLABORATIVE - 1)[:_N_COLLABORATIVE]
        positions, scores = positions[largest], scores[largest]
    return positions[scores > 0]


def _scale(scores: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Return scores (c,) from 0 to 1, so that those of two systems can be added.

    New tracks are divided by the largest score of a new track, played ones by twice the largest of a played
    one: a profile explains its own tracks best, and would otherwise be recommended to itself.
    """
    largest_new = scores[is_new].max(initial=0.0)
    largest_played = 2 * scores[~is_new].max(initial=0.0)
    divisors = np.where(is_new, largest_new, largest_played)
    return np.maximum(scores, 0) / np.where(divisors > 0, divisors, 1.0)


def shares_of_tracks(
    catalog: ItemCatalog, query: QueryProfile, entries: _Entries, candidates: np.ndarray
) -> np.ndarray:
    """Return how much each liked track adds (l, c) to the collaborative score of these candidates (c,).

    By similar items their similarity; by factors the part of the fold-in that stems from the track, which the
    products of the tracks' factors give up to the profile's own term.
    """
    shares = np.zeros((len(query.liked), len(candidates)))
    if len(entries.indices):
        position_of = np.full(len(catalog.ids), -1, dtype=np.int32)
        position_of[candidates] = np.arange(len(candidates))
        positions = position_of[entries.indices]
        is_candidate = positions >= 0
        shares[entries.rows[is_candidate], positions[is_candidate]] = entries.scores[is_candidate]
    if catalog.weights.factors and catalog.factors is not None and len(query.liked):
        products = (
            catalog.factors[query.liked]
            @ (catalog.factors[candidates].astype(float) @ catalog.fold_in_constant[1]).T
        )
        shares += np.maximum(products, 0)
    return np.asarray(query.confidences[:, None] * shares)


def _lower_recently_played(scores: np.ndarray, indices: np.ndarray, query: QueryProfile) -> None:
    """Multiply the positive scores of played candidates by how far they have recovered, in place.

    Example: candidates [0, 2, 3, 4], played tracks [0, 1]. searchsorted gives the positions [0, 1]; the
    candidate at position 0 is the played track 0, the one at position 1 is 2 and not 1: only the first score
    changes.
    """
    positions = np.searchsorted(indices, query.played)
    positions = np.minimum(positions, len(indices) - 1)
    is_candidate = indices[positions] == query.played
    positions = positions[is_candidate]
    factors = np.where(scores[positions] > 0, query.recovered[is_candidate], 1.0)
    scores[positions] *= factors
