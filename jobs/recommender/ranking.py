"""Rank the tracks of an item catalog for a user's profile; used by batch, stream and player alike.

All vectors are float32 of unit length, so a dot product is a cosine, -1 to 1. There is no clock and no random
source: the same profile and the same catalog give the same list.

The steps, with five tracks A to E of which the user likes A and has skipped B (indices 0 to 4):

1. `_query_profile`: A becomes a seed with weight 1, B a skipped track; A is excluded, as the track played
last. 2. `_candidate_indices`: the nearest neighbours and similar items of A, and the most popular tracks; say
[0, 2, 3, 4]. 3. `_score`: content, collaborative and popularity score of each, less a penalty for sounding
like B; say
   [1.0, 0.4, 0.7, 0.6].
4. `_diversify`: without A, and not more than two tracks of an artist in ten: D, E, C, or [3, 4, 2].
5. `_explore`: every tenth item is replaced by a track of a cluster that the user does not play.
"""

import hashlib
from collections.abc import Collection, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jobs.recommender import profiles
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import Profile, ProfileTrack
from jobs.recommender.recommendations import RecommendationList, RecommendedItem

# Length of a list.
LIST_LENGTH = 30

# Seed tracks taken from the short-term and from the long-term weights of a profile, each.
_N_SEEDS = 10

# Decayed weights closer to 0 than this make neither a seed nor a skipped track.
_MIN_WEIGHT = 0.05

# At most two tracks of an artist among any ten in a row.
_MAX_PER_ARTIST = 2
_ARTIST_WINDOW = 10

# Every tenth item is exploration, chosen from this many tracks.
_EXPLORE_EVERY = 10
_EXPLORATION_POOL = 20

# The score of a track just played recovers by half of what it lacks per two days.
_REPEAT_HALF_LIFE_S = 2 * 86_400.0

# Weight of the similarity to skipped tracks.
_SKIP_PENALTY = 0.3


def recommendation_list(catalog: ItemCatalog, profile: Profile) -> RecommendationList:
    """Return the list of a profile as it is stored."""
    return RecommendationList(
        user_id=profile.user_id,
        model_version=catalog.model_version,
        as_of=profile.at,
        offsets=profile.offsets,
        items=recommend(catalog, profile),
    )


def default_list(
    catalog: ItemCatalog, count: int = LIST_LENGTH, excluded: Set[int] = frozenset()
) -> list[RecommendedItem]:
    """Return the items for a user without plays.

    From every large cluster in turn, without the excluded indices.
    """
    chosen = _diversify(catalog, catalog.cold_start_order, count, excluded)
    return [
        RecommendedItem(rank, str(catalog.ids[index]), 0.0, "a place to start")
        for rank, index in enumerate(chosen, start=1)
    ]


def recommend(
    catalog: ItemCatalog,
    profile: Profile,
    *,
    count: int = LIST_LENGTH,
    exclude: Collection[str] = (),
) -> list[RecommendedItem]:
    """Return up to `count` items for a profile, best first, without the track ids in `exclude`.

    The list has neither the track played last nor a disliked one, no recording twice, and at most two tracks
    of an artist in ten. Recently played tracks are ranked lower, and one item in ten is exploration. A
    profile without a track of the catalog gets the default list.
    """
    query = _query_profile(catalog, profile)
    excluded = {catalog.index_of[track_id] for track_id in exclude if track_id in catalog.index_of}
    excluded |= query.excluded
    if not query.seeds.size:
        return default_list(catalog, count, excluded)
    candidates = _score(catalog, query)
    best_first = np.lexsort((catalog.id_rank[candidates.indices], -np.round(candidates.scores, 9)))
    n_exploration = count // _EXPLORE_EVERY
    chosen = _diversify(catalog, candidates.indices[best_first], count - n_exploration, excluded)
    # `indices` are sorted, so searchsorted finds the position of each chosen track.
    positions = np.searchsorted(candidates.indices, chosen)
    reasons = _reasons(catalog, profile, query, candidates, positions)
    scores = candidates.scores[positions].tolist()
    ranked = [_Ranked(*values) for values in zip(chosen, scores, reasons, strict=True)]
    _explore(catalog, profile, ranked, excluded | set(query.seeds.tolist()), count)
    return [
        RecommendedItem(rank, str(catalog.ids[item.track]), round(item.score, 6), item.reason)
        for rank, item in enumerate(ranked, start=1)
    ]


class _Ranked(NamedTuple):
    """A track chosen for a list, `track` is its index."""

    track: int
    score: float
    reason: str


@dataclass(frozen=True)
class _QueryProfile:
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
class _Candidates:
    """Candidates: their indices (c,), sorted, and scores (c,).

    Per seed their content and collaborative scores (s, c).
    """

    indices: np.ndarray
    scores: np.ndarray
    content: np.ndarray
    collaborative: np.ndarray


def _query_profile(catalog: ItemCatalog, profile: Profile) -> _QueryProfile:
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
    return _QueryProfile(
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
    """Return the ten largest weights (p,) as shares of their sum, and 0 for all others; ties go to the
    smaller index.

    Only weights above the minimum count. Example: of [0.3, -0.2, 0.6, 0.1, 0.01] at most three are seeds by
    two of `_N_SEEDS`: [0.333, 0, 0.667, 0, 0].
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


def _score(catalog: ItemCatalog, query: _QueryProfile) -> _Candidates:
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
    return _Candidates(indices, scores, content, collaborative)


def _collaborative_scores(catalog: ItemCatalog, query: _QueryProfile, indices: np.ndarray) -> np.ndarray:
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


def _lower_recently_played(scores: np.ndarray, indices: np.ndarray, query: _QueryProfile) -> None:
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


def _diversify(catalog: ItemCatalog, order: np.ndarray, count: int, excluded: Set[int]) -> list[int]:
    """Return the first `count` indices of the order that the rules allow.

    No excluded track, no recording twice, at most two tracks of an artist in ten. A track that comes too
    early for its artist waits, and is chosen as soon as enough others have been. Example: with A1, A2, A3,
    B1, ... of the artists A, B and others, A3 waits until ten tracks after A1.
    """
    artists = catalog.artist_codes
    recordings = catalog.recording_codes
    taken = {recordings[index] for index in excluded}
    chosen: list[int] = []
    waiting: list[int] = []
    has_grown = False  # whether a track was chosen since the waiting ones were last tried
    for index in order.tolist():
        if len(chosen) == count:
            break
        if index in excluded or recordings[index] in taken:
            continue
        n_before = len(chosen)
        for candidate in [*waiting, index] if has_grown else [index]:
            if len(chosen) == count or recordings[candidate] in taken:
                continue
            if not _has_artist_quota(artists, chosen, candidate):
                continue
            chosen.append(candidate)
            taken.add(recordings[candidate])
        has_grown = len(chosen) > n_before
        waiting.append(index)
        if has_grown:
            waiting = [candidate for candidate in waiting if recordings[candidate] not in taken]
    return chosen


def _has_artist_quota(artists: list[int], chosen: list[int], candidate: int) -> bool:
    """Return whether another track of the candidate's artist may follow the chosen ones.

    Unknown artists always may.
    """
    artist = artists[candidate]
    if artist < 0:
        return True
    recent = chosen[-(_ARTIST_WINDOW - 1) :]
    return sum(artists[index] == artist for index in recent) < _MAX_PER_ARTIST


def _explore(
    catalog: ItemCatalog, profile: Profile, ranked: list[_Ranked], known: set[int], count: int
) -> None:
    """Insert a track of an unfamiliar cluster at every tenth place; user and newest play decide which one."""
    places = range(_EXPLORE_EVERY - 1, count, _EXPLORE_EVERY)
    pool = _exploration_candidates(catalog, known | {item.track for item in ranked}, len(places))
    recordings = catalog.recording_codes
    for place in places:
        if place > len(ranked) or not pool:
            return
        seed = hashlib.sha256(f"{profile.user_id} {profile.at} {place}".encode()).digest()
        choice = int.from_bytes(seed[:4], "big") % min(len(pool), _EXPLORATION_POOL)
        index = pool.pop(choice)
        if recordings[index] not in {recordings[item.track] for item in ranked}:
            ranked.insert(place, _Ranked(index, 0.0, "something else, to see whether you like it"))


def _exploration_candidates(catalog: ItemCatalog, taken: set[int], n_places: int) -> list[int]:
    """Return tracks of clusters with no taken track, or, if there is no such cluster, of all clusters."""
    indices, clusters = catalog.exploration_pool
    is_familiar = np.zeros(int(catalog.clusters.max(initial=0)) + 1, dtype=bool)
    is_familiar[catalog.clusters[list(taken)]] = True
    unfamiliar = indices[~is_familiar[clusters]]
    pool = unfamiliar if unfamiliar.size else indices
    # The taken ones are left out below, so this many are enough for every place.
    pool = pool[: _EXPLORATION_POOL + n_places + len(taken)]
    return [index for index in pool.tolist() if index not in taken]


def _reasons(
    catalog: ItemCatalog,
    profile: Profile,
    query: _QueryProfile,
    candidates: _Candidates,
    positions: np.ndarray,
) -> list[str]:
    """Return in words, for the candidates at these positions, the seed that adds most to their score."""
    content = candidates.content[:, positions]
    collaborative = candidates.collaborative[:, positions]
    strongest = (content + collaborative).argmax(axis=0)
    columns = np.arange(len(positions))
    tracks = {track.track_id: track for track in profile.tracks}
    seed_titles = [str(catalog.titles[seed]) for seed in query.seeds]
    seed_histories = [_history(tracks[str(catalog.ids[seed])]) for seed in query.seeds]
    without_seed = "much played here" if catalog.plays.any() else "further away from what you play"
    reasons = []
    by_candidate = zip(
        strongest.tolist(), content[strongest, columns], collaborative[strongest, columns], strict=True
    )
    for seed, by_content, by_plays in by_candidate:
        if by_content + by_plays <= 0:
            reasons.append(without_seed)
        elif by_plays > by_content:
            reasons.append(f"played by who plays {seed_titles[seed]}, {seed_histories[seed]}")
        else:
            reasons.append(f"sounds like {seed_titles[seed]}, {seed_histories[seed]}")
    return reasons


def _history(track: ProfileTrack) -> str:
    """Return in words what the user did with a track."""
    if track.liked:
        return "which you like"
    if track.finished:
        times = {1: "once", 2: "twice"}.get(track.finished, f"{track.finished} times")
        return f"which you finished {times}"
    return "which you played"
