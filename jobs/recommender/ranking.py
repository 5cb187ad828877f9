"""Rank the tracks of an item catalog for a user's profile; used by batch, stream and player alike.

All vectors are float32 of unit length, so a dot product is a cosine, -1 to 1. There is no clock and no random
source: the same profile and the same catalog give the same list.

The steps, with five tracks A to E (indices 0 to 4) of which the user has skipped B and then liked A:

1. `query_profile`: A is a seed with weight 1, B a skipped track; A is excluded as the track played last.
2. `score` takes the candidates: the nearest neighbours and similar items of A, and the most popular tracks;
   say [0, 2, 3, 4].
3. `score` adds up the content, collaborative and popularity score of each, less a penalty for sounding like
   B; say [1.0, 0.4, 0.7, 0.6].
4. `diversify`: without A, no recording twice, at most two tracks of an artist in ten: D, E, C, or [3, 4, 2].
5. `_explore`: every tenth item from rank 15 is a track of a cluster that the user does not play.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np

from jobs.recommender import scoring
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import Profile, ProfileTrack
from jobs.recommender.recommendations import RecommendationList, RecommendedItem
from jobs.recommender.scoring import QueryProfile, Scored, Signals, query_profile, score

# Length of a list.
LIST_LENGTH = 30

# At most two tracks of an artist among any ten in a row.
_MAX_PER_ARTIST = 2
_ARTIST_WINDOW = 10

# Every tenth item from the fifteenth on is exploration, chosen from this many tracks. The first ten are what
# a user most likely wants.
_EXPLORE_FIRST = 14
_EXPLORE_EVERY = 10
_EXPLORATION_POOL = 20


def recommendation_lists(
    catalog: ItemCatalog, user_profiles: Sequence[Profile]
) -> Iterator[RecommendationList]:
    """Yield the lists of profiles as they are stored; several at once take less time than one by one."""
    queries = [query_profile(catalog, profile) for profile in user_profiles]
    found = scoring.signals(catalog, queries)
    for profile, query, signals in zip(user_profiles, queries, found, strict=True):
        yield RecommendationList(
            user_id=profile.user_id,
            model_version=catalog.model_version,
            as_of=profile.at,
            offsets=profile.offsets,
            items=_rank(catalog, profile, query, signals, LIST_LENGTH, query.excluded),
        )


def recommendation_list(catalog: ItemCatalog, profile: Profile) -> RecommendationList:
    """Return the list of a profile as it is stored."""
    return next(recommendation_lists(catalog, [profile]))


def default_list(
    catalog: ItemCatalog, count: int = LIST_LENGTH, excluded: Set[int] = frozenset()
) -> list[RecommendedItem]:
    """Return the items for a user without plays.

    From every large cluster in turn, without the excluded indices.
    """
    chosen = diversify(catalog, catalog.cold_start_order, count, excluded)
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
    explore: bool = True,
) -> list[RecommendedItem]:
    """Return up to `count` items for a profile, best first, without the track ids in `exclude`.

    The list has neither the track played last nor a disliked one, no recording twice, and at most two tracks
    of an artist in ten. Recently played tracks are ranked lower, and the items of rank 15, 25, ... are
    exploration unless `explore` is False. A profile without a track of the catalog gets the default list.
    """
    query = query_profile(catalog, profile)
    excluded = {catalog.index_of[track_id] for track_id in exclude if track_id in catalog.index_of}
    signals = next(scoring.signals(catalog, [query]))
    return _rank(catalog, profile, query, signals, count, excluded | query.excluded, explore=explore)


def _rank(
    catalog: ItemCatalog,
    profile: Profile,
    query: QueryProfile,
    signals: Signals,
    count: int,
    excluded: set[int],
    *,
    explore: bool = True,
) -> list[RecommendedItem]:
    """Return the items of `recommend`, given what co-listening says."""
    if not query.seeds.size:
        return default_list(catalog, count, excluded)
    scored = score(catalog, query, signals)
    candidates = scored.candidates
    best_first = np.lexsort((catalog.id_rank[candidates.indices], -np.round(scored.scores, 6)))
    n_exploration = len(range(_EXPLORE_FIRST, count, _EXPLORE_EVERY)) if explore else 0
    chosen = diversify(catalog, candidates.indices[best_first], count - n_exploration, excluded)
    # `indices` are sorted, so searchsorted finds the position of each chosen track.
    positions = np.searchsorted(candidates.indices, chosen)
    reasons = _reasons(catalog, profile, query, scored, positions)
    scores = scored.scores[positions].tolist()
    ranked = [_Ranked(*values) for values in zip(chosen, scores, reasons, strict=True)]
    if explore:
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


def diversify(
    catalog: ItemCatalog, order: np.ndarray, count: int, excluded: Set[int] = frozenset()
) -> list[int]:
    """Return the first `count` indices of the order that the rules allow.

    No excluded track, no recording twice, at most two tracks of an artist in ten. A track that comes too
    early for its artist waits, and is chosen as soon as enough others have been. Example: with A1, A2, A3,
    B1, ... of the artists A, B and others, A3 waits until ten tracks after A1. Where there are too few
    artists for that, the list is filled with the tracks that wait.
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
    for candidate in waiting:
        if len(chosen) < count and recordings[candidate] not in taken:
            chosen.append(candidate)
            taken.add(recordings[candidate])
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
    """Insert a track of an unfamiliar cluster at ranks 15, 25, ...; user and newest play decide which one."""
    places = range(_EXPLORE_FIRST, count, _EXPLORE_EVERY)
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
    # The taken ones are left out below, so this many are enough for every place.
    n_enough = _EXPLORATION_POOL + n_places + len(taken)
    unfamiliar = indices[: 8 * n_enough][~is_familiar[clusters[: 8 * n_enough]]]
    if len(unfamiliar) < n_enough:
        unfamiliar = indices[~is_familiar[clusters]]
    pool = (unfamiliar if unfamiliar.size else indices)[:n_enough]
    return [index for index in pool.tolist() if index not in taken]


def _reasons(
    catalog: ItemCatalog,
    profile: Profile,
    query: QueryProfile,
    scored: Scored,
    positions: np.ndarray,
) -> list[str]:
    """Return in words, for the candidates at these positions, the seed that adds most to their score."""
    candidates, by_part = scored.candidates, scored.weights.of_parts()
    by_content = by_part[0] * candidates.content[:, positions].max(axis=0, initial=0.0)
    by_plays = by_part[1:3] @ candidates.parts[1:3, positions]
    strongest = candidates.content[:, positions].argmax(axis=0) if by_content.any() else []
    likeliest = _likeliest(catalog, query, scored.signals, candidates.indices[positions])
    tracks = {track.track_id: track for track in profile.tracks}
    without_seed = "much played here" if catalog.plays.any() else "further away from what you play"

    def describe(index: int) -> str:
        return f"{catalog.titles[index]}, {_history(tracks[str(catalog.ids[index])])}"

    reasons = []
    for column in range(len(positions)):
        if by_plays[column] > by_content[column] and likeliest[column] >= 0:
            reasons.append(f"played by who plays {describe(likeliest[column])}")
        elif by_content[column] <= 0:
            reasons.append(without_seed)
        else:
            reasons.append(f"sounds like {describe(int(query.seeds[strongest[column]]))}")
    return reasons


def _likeliest(catalog: ItemCatalog, query: QueryProfile, signals: Signals, indices: np.ndarray) -> list[int]:
    """Return for each candidate (c,) the liked track that adds most to its collaborative score, else -1."""
    if not query.liked.size:
        return [-1] * len(indices)
    shares = scoring.shares_of_tracks(catalog, query, signals.entries, indices)
    return np.where(shares.max(axis=0) > 0, query.liked[shares.argmax(axis=0)], -1).tolist()


def _history(track: ProfileTrack) -> str:
    """Return in words what the user did with a track."""
    if track.liked:
        return "which you like"
    if track.finished:
        times = {1: "once", 2: "twice"}.get(track.finished, f"{track.finished} times")
        return f"which you finished {times}"
    return "which you played"
