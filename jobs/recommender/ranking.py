"""What to play next: a list for a listener's profile, each item with its reason; shared by batch, stream and serving.

All vectors are float32 of unit length, so a dot product is a cosine in -1..1; 1 is the same sound. No clock and no
chance: the same profile over the same catalogue gives the same list.
"""

import hashlib
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from jobs.recommender import profiles
from jobs.recommender.item_catalog import ItemCatalog

# Items of a list, and tracks of a profile that ask (of the short and of the long term each).
LIST_LENGTH, _N_SEEDS = 30, 10

# Of one artist at most so many in ten; every so many-th item is from elsewhere.
_MAX_PER_ARTIST, _EXPLORE_EVERY = 2, 10

# Of so many tracks from elsewhere exploring takes one.
_EXPLORATION_POOL = 20

# A track just heard comes back to half its score after so long.
_REPEAT_HALF_LIFE = timedelta(days=2)

# What a skipped track takes from what sounds like it.
_SKIP_PENALTY = 0.3


def default_list(
    catalogue: ItemCatalog, count: int = LIST_LENGTH, forbidden: Set[int] = frozenset()
) -> list[dict[str, Any]]:
    """Return the items for somebody who has played nothing: diverse, from every large cluster, no forbidden number."""
    chosen = _diversify(catalogue, catalogue.cold_start_order, count, forbidden)
    return [
        _item(catalogue, rank, number, 0.0, "a place to start") for rank, number in enumerate(chosen, start=1)
    ]


def recommend(
    catalogue: ItemCatalog,
    profile: profiles.Profile,
    *,
    count: int = LIST_LENGTH,
    exclude: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return up to `count` items (rank from 1, track_id, score, reason) for a profile, best first.

    Never the track playing, one disliked, or one of `exclude`; no recording twice; at most two of an artist in ten; what
    was heard of late is pushed down; one in ten is from elsewhere. Without a track that is known it is the curated list.
    """
    taste = _query_profile(catalogue, profile)
    forbidden = {catalogue.index_of[i] for i in exclude if i in catalogue.index_of} | taste.excluded
    if not taste.numbers.size:
        return default_list(catalogue, count, forbidden)
    numbers, scores, by_sound, by_plays = _score(catalogue, taste)
    best_first = np.lexsort((catalogue.id_rank[numbers], -np.round(scores, 9)))
    chosen = _diversify(catalogue, numbers[best_first], count - count // _EXPLORE_EVERY, forbidden)
    places = np.searchsorted(numbers, chosen)
    reasons = _reasons(catalogue, profile, taste, by_sound[:, places], by_plays[:, places])
    items = list(zip(chosen, scores[places].tolist(), reasons, strict=True))
    _explore(catalogue, profile, items, forbidden | set(taste.numbers.tolist()), count)
    return [_item(catalogue, rank, *item) for rank, item in enumerate(items, start=1)]


@dataclass(frozen=True)
class _QueryProfile:
    """The tracks of a profile that ask (s,), with their weights (s,), their sum 1; the skipped ones (t,); what never comes;
    and all that were heard (h,), with how much of the score of what was just heard is left (h,)."""

    numbers: np.ndarray
    weights: np.ndarray
    skipped: np.ndarray
    excluded: set[int]
    played: np.ndarray
    fresh: np.ndarray


def _query_profile(catalogue: ItemCatalog, profile: profiles.Profile) -> _QueryProfile:
    known = [
        (number, t)
        for t in profile["tracks"]
        if (number := catalogue.index_of.get(t["track_id"])) is not None
    ]
    numbers = np.array([number for number, _ in known], dtype=int)
    ages = np.array([max((profile["at"] - t["at"]).total_seconds(), 0.0) for _, t in known])
    liked = np.array([bool(t["liked"]) for _, t in known], dtype=float)
    disliked = np.array([t["liked"] is False for _, t in known], dtype=bool)
    weights = np.zeros(len(known))
    for name, half_life in (("weight", profiles.SHORT_HALF_LIFE), ("long", profiles.LONG_HALF_LIFE)):
        term = np.array([t[name] for _, t in known]) * 0.5 ** (ages / half_life.total_seconds()) + liked
        best = np.lexsort((numbers, -term))[:_N_SEEDS]
        best = best[term[best] > 0.05]
        weights[best] += term[best] / term[best].sum()
        if name == "weight":
            worst = np.lexsort((numbers, term))[:_N_SEEDS]
            skipped = numbers[worst[term[worst] < -0.05]]
    # The few that are played all the time would ask for nearly the whole list.
    weights = np.sqrt(np.where(disliked, 0.0, weights))
    never = set(numbers[disliked].tolist())
    if known:
        never.add(int(numbers[np.lexsort((-numbers, ages))[0]]))  # the one playing
    asking = np.flatnonzero(weights)
    return _QueryProfile(
        numbers[asking],
        weights[asking] / (weights.sum() or 1.0),
        skipped,
        never,
        numbers,
        1 - 0.5 ** (ages / _REPEAT_HALF_LIFE.total_seconds()),
    )


def _score(
    catalogue: ItemCatalog, taste: _QueryProfile
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return candidates (c,) in order, their scores (c,), what each track that asks gives them by sound and by plays (s, c)."""
    asking = taste.numbers.tolist()
    found = [catalogue.nearest(number) for number in asking]
    found += [catalogue.similar_items[number][0] for number in asking if number in catalogue.similar_items]
    found.append(catalogue.most_popular)
    numbers = np.unique(np.concatenate(found)).astype(int)
    vectors = catalogue.vectors[numbers]
    sound = taste.weights[:, None] * np.maximum(catalogue.vectors[taste.numbers] @ vectors.T, 0) ** 2
    together = np.zeros(sound.shape)
    for row, number in enumerate(asking):
        if number in catalogue.similar_items:
            others, strengths = catalogue.similar_items[number]
            together[row, np.searchsorted(numbers, others)] = taste.weights[row] * strengths
    blend = catalogue.weights
    sound, together = blend.content * sound, blend.collaborative * together
    scores = sound.sum(0) + together.sum(0) + blend.popularity * catalogue.popularity[numbers]
    if taste.skipped.size:
        scores -= _SKIP_PENALTY * np.maximum(catalogue.vectors[taste.skipped] @ vectors.T, 0).max(axis=0) ** 2
    places = np.searchsorted(numbers, taste.played)
    there = numbers[np.minimum(places, len(numbers) - 1)] == taste.played
    heard = places[there]
    scores[heard] *= np.where(scores[heard] > 0, taste.fresh[there], 1.0)
    return numbers, scores, sound, together


def _diversify(catalogue: ItemCatalog, order: np.ndarray, count: int, forbidden: Set[int]) -> list[int]:
    """Return the first `count` of the order that the rules allow; an artist who had to wait comes in later."""
    artists, recordings = catalogue.artist_codes, catalogue.recording_codes
    taken = {recordings[number] for number in forbidden}
    chosen: list[int] = []
    waiting: list[int] = []
    moved = False  # whether what waits could be allowed now: something was chosen since it was looked at
    for number in order.tolist():
        if len(chosen) == count:
            break
        if number in forbidden or recordings[number] in taken:
            continue
        looked_at, before = [*waiting, number] if moved else [number], len(chosen)
        for late in looked_at:
            last = chosen[-9:]
            many = artists[late] >= 0 and sum(artists[n] == artists[late] for n in last) >= _MAX_PER_ARTIST
            if len(chosen) < count and recordings[late] not in taken and not many:
                chosen.append(late)
                taken.add(recordings[late])
        moved = len(chosen) > before
        waiting.append(number)
        if moved:
            waiting = [n for n in waiting if recordings[n] not in taken]
    return chosen


def _explore(
    catalogue: ItemCatalog,
    profile: profiles.Profile,
    items: list[tuple[int, float, str]],
    known: set[int],
    count: int,
) -> None:
    """Put a track of another cluster at every tenth place; which one follows from who asks and when."""
    places = range(_EXPLORE_EVERY - 1, count, _EXPLORE_EVERY)
    taken = known | {number for number, _, _ in items}
    numbers, clusters = catalogue.exploration_pool
    near = np.zeros(int(catalogue.clusters.max(initial=0)) + 1, dtype=bool)
    near[catalogue.clusters[list(taken)]] = True
    far = numbers[~near[clusters]]
    pool = far if far.size else numbers
    pool = pool[: _EXPLORATION_POOL + len(places) + len(taken)]
    elsewhere = [number for number in pool.tolist() if number not in taken]
    recordings = catalogue.recording_codes
    for place in places:
        if place > len(items) or not elsewhere:
            return
        seed = hashlib.sha256(f"{profile['_id']} {profile['at']} {place}".encode()).digest()
        number = elsewhere.pop(int.from_bytes(seed[:4], "big") % min(len(elsewhere), _EXPLORATION_POOL))
        if recordings[number] not in {recordings[n] for n, _, _ in items}:
            items.insert(place, (number, 0.0, "something else, to see whether you like it"))


def _reasons(
    catalogue: ItemCatalog,
    profile: profiles.Profile,
    taste: _QueryProfile,
    by_sound: np.ndarray,
    by_plays: np.ndarray,
) -> list[str]:
    """Say in words what speaks most for each candidate, given what each track that asks gives it (s, c)."""
    most = (by_sound + by_plays).argmax(axis=0)
    tracks = {t["track_id"]: t for t in profile["tracks"]}
    asking = [(str(catalogue.titles[n]), _what_you_did(tracks[str(catalogue.ids[n])])) for n in taste.numbers]
    nothing = "much played here" if catalogue.plays.any() else "further away from what you play"
    columns = np.arange(len(most))
    reasons = []
    for best, sound, plays in zip(
        most.tolist(), by_sound[most, columns], by_plays[most, columns], strict=True
    ):
        title, did = asking[best]
        how = f"played by who plays {title}, {did}" if plays > sound else f"sounds like {title}, {did}"
        reasons.append(how if sound + plays > 0 else nothing)
    return reasons


def _what_you_did(track: Mapping[str, Any]) -> str:
    if track["liked"]:
        return "which you like"
    if track["finished"]:
        times = {1: "once", 2: "twice"}.get(track["finished"], f"{track['finished']} times")
        return f"which you finished {times}"
    return "which you played"


def _item(catalogue: ItemCatalog, rank: int, number: int, score: float, reason: str) -> dict[str, Any]:
    return {"rank": rank, "track_id": str(catalogue.ids[number]), "score": round(score, 6), "reason": reason}
