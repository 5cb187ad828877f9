"""Score tracks for a profile: seeds from its decayed weights, candidates near them, their scores.

The steps before the rules; `ranking.py` has an example of five tracks.
"""

from dataclasses import dataclass

import numpy as np

from jobs.recommender import profiles
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import Profile, ProfileTrack

# Seed tracks taken from the short-term and from the long-term weights of a profile, each.
_N_SEEDS = 10

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
    """

    seeds: np.ndarray
    weights: np.ndarray
    skipped: np.ndarray
    excluded: set[int]
    played: np.ndarray
    recovered: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """Candidates: their indices (c,), sorted, and scores (c,).

    Per seed their content and collaborative scores (s, c).
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
    )


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


def _candidate_indices(catalog: ItemCatalog, seeds: list[int]) -> np.ndarray:
    """Return the neighbours and similar items of the seeds and the most popular tracks.

    (c,), sorted, without repeats.
    """
    sources = [catalog.nearest(seed) for seed in seeds]
    sources += [catalog.similar_items[seed][0] for seed in seeds if seed in catalog.similar_items]
    sources.append(catalog.most_popular)
    return np.unique(np.concatenate(sources)).astype(int)


def score(catalog: ItemCatalog, query: QueryProfile) -> Candidates:
    """Return the candidates for a query with their scores by the catalog's ranking weights."""
    seeds = query.seeds.tolist()
    indices = _candidate_indices(catalog, seeds)
    vectors = catalog.vectors[indices]
    cosines = np.maximum(catalog.vectors[query.seeds] @ vectors.T, 0)
    content = catalog.weights.content * (query.weights[:, None] * cosines**2)
    collaborative = catalog.weights.collaborative * _collaborative_scores(catalog, query, indices)
    popularity = catalog.weights.popularity * catalog.popularity[indices]
    scores = content.sum(axis=0) + collaborative.sum(axis=0) + popularity
    if query.skipped.size:
        similarity = np.maximum(catalog.vectors[query.skipped] @ vectors.T, 0).max(axis=0)
        scores -= _SKIP_PENALTY * similarity**2
    _lower_recently_played(scores, indices, query)
    return Candidates(indices, scores, content, collaborative)


def _collaborative_scores(catalog: ItemCatalog, query: QueryProfile, indices: np.ndarray) -> np.ndarray:
    """Return the collaborative score (s, c) that each seed gives each candidate, before the ranking weight.

    Example: seed A has the similar items [3, 4] with the scores [0.9, 0.5], and the candidates are [0, 2, 3,
    4]. Since they are sorted, searchsorted finds 3 and 4 in the columns 2 and 3: the row is [0, 0, 0.9, 0.5]
    times A's weight.
    """
    scores = np.zeros((len(query.seeds), len(indices)))
    for row, seed in enumerate(query.seeds.tolist()):
        if seed in catalog.similar_items:
            similar_indices, similarities = catalog.similar_items[seed]
            columns = np.searchsorted(indices, similar_indices)
            scores[row, columns] = query.weights[row] * similarities
    return scores


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
