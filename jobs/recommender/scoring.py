"""Score tracks for a profile: seeds from its decayed weights, candidates near them, their scores.

The steps before the rules; `ranking.py` has an example of five tracks.
"""

from dataclasses import dataclass

import numpy as np

from jobs.recommender import implicit_als, profiles
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import Profile, ProfileTrack

# Seed tracks taken from the short-term and from the long-term weights of a profile, each.
_N_SEEDS = 10

# Tracks of the best collaborative scores that become candidates, of similar items and of factors each.
_N_COLLABORATIVE = 200

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


@dataclass(frozen=True)
class Candidates:
    """Candidates: their indices (c,), sorted, and scores (c,).

    Per seed their content scores (s, c), and their collaborative scores (c,).
    """

    indices: np.ndarray
    scores: np.ndarray
    content: np.ndarray
    collaborative: np.ndarray


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
    sources = [catalog.nearest(seed) for seed in seeds]
    sources.append(catalog.most_popular)
    return np.unique(np.concatenate([*sources, *best])).astype(int)


def score(catalog: ItemCatalog, query: QueryProfile) -> Candidates:
    """Return the candidates for a query with their scores by the catalog's ranking weights."""
    by_similar_items = _similar_item_scores(catalog, query)
    user = _user_factors(catalog, query)
    best = [_best(by_similar_items, np.arange(len(by_similar_items)))]
    if user is not None:
        best.append(_best(catalog.compared_factors @ user, catalog.factor_tracks))
    indices = _candidate_indices(catalog, query.seeds.tolist(), best)
    is_new = np.isin(indices, query.played, invert=True)
    collaborative = np.zeros(len(indices))
    if by_similar_items.size:
        collaborative += catalog.weights.collaborative * _scale(by_similar_items[indices], is_new)
    if user is not None:
        assert catalog.factors is not None
        products = np.einsum("cd,d->c", catalog.factors[indices], user)
        collaborative += catalog.weights.factors * _scale(products, is_new)
    vectors = catalog.vectors[indices]
    cosines = np.maximum(catalog.vectors[query.seeds] @ vectors.T, 0)
    content = catalog.weights.content * (query.weights[:, None] * cosines**2)
    scores = content.sum(axis=0) + collaborative + catalog.weights.popularity * catalog.popularity[indices]
    if query.skipped.size:
        similarity = np.maximum(catalog.vectors[query.skipped] @ vectors.T, 0).max(axis=0)
        scores -= _SKIP_PENALTY * similarity**2
    _lower_recently_played(scores, indices, query)
    return Candidates(indices, scores, content, collaborative)


def _similar_item_scores(catalog: ItemCatalog, query: QueryProfile) -> np.ndarray:
    """Return the sum (n,) over the profile of each track's similarity times confidence; (0,) if not asked.

    Example: track A with confidence 2 has the similar items [3, 4] with the scores [0.9, 0.5]: the sums are
    [0, 0, 0, 1.8, 1.0].
    """
    if not catalog.weights.collaborative or not catalog.similar_items:
        return np.zeros(0)
    rows, indices, scores = _similar_entries(catalog, query)
    return np.bincount(indices, query.confidences[rows] * scores, minlength=len(catalog.ids))


def _similar_entries(catalog: ItemCatalog, query: QueryProfile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the similar items of all liked tracks in turn: the track's row, the index, the score.

    Example: of two liked tracks the second has the similar items [3, 4]: ([1, 1], [3, 4], [0.9, 0.5]).
    """
    found = [
        (row, catalog.similar_items[track])
        for row, track in enumerate(query.liked.tolist())
        if track in catalog.similar_items
    ]
    if not found:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0)
    sizes = [len(similar.indices) for _, similar in found]
    rows = np.repeat([row for row, _ in found], sizes)
    indices = np.concatenate([similar.indices for _, similar in found])
    return rows, indices, np.concatenate([similar.scores for _, similar in found])


def _user_factors(catalog: ItemCatalog, query: QueryProfile) -> np.ndarray | None:
    """Return the factors (d,) of a profile, float32, or None if they are not asked or do not exist."""
    if not catalog.weights.factors or catalog.factors is None or not query.liked.size:
        return None
    factors = catalog.factors[query.liked].astype(float)
    return implicit_als.fold_in(factors, query.confidences, catalog.fold_in_constant).astype(np.float32)


def _best(scores: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the indices (at most 200 of n) of the largest scores (n,), of those above 0."""
    if len(scores) > _N_COLLABORATIVE:
        largest = np.argpartition(-scores, _N_COLLABORATIVE - 1)[:_N_COLLABORATIVE]
    else:
        largest = np.arange(len(scores))
    return indices[largest[scores[largest] > 0]]


def _scale(scores: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Return scores (c,) from 0 to 1, so that those of two systems can be added.

    New tracks are divided by the largest score of a new track, played ones by twice the largest of a played
    one: a profile explains its own tracks best, and would otherwise be recommended to itself.
    """
    largest_new = scores[is_new].max(initial=0.0)
    largest_played = 2 * scores[~is_new].max(initial=0.0)
    divisors = np.where(is_new, largest_new, largest_played)
    return np.maximum(scores, 0) / np.where(divisors > 0, divisors, 1.0)


def shares_of_tracks(catalog: ItemCatalog, query: QueryProfile, candidates: np.ndarray) -> np.ndarray:
    """Return how much each liked track adds (l, c) to the collaborative score of these candidates (c,).

    By similar items their similarity; by factors the part of the fold-in that stems from the track, which the
    products of the tracks' factors give up to the profile's own term.
    """
    shares = np.zeros((len(query.liked), len(candidates)))
    if catalog.weights.collaborative and len(candidates):
        rows, indices, scores = _similar_entries(catalog, query)
        position_of = np.full(len(catalog.ids), -1)
        position_of[candidates] = np.arange(len(candidates))
        positions = position_of[indices]
        is_candidate = positions >= 0
        shares[rows[is_candidate], positions[is_candidate]] = scores[is_candidate]
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
