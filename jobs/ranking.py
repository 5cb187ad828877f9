"""What to play next, and the nearest of many vectors through K-Means as the index; shared by batch, stream and serving.

All vectors are float32 of unit length, so a dot product is a cosine in -1..1; 1 is the same sound. No clock and no
chance: the same profile over the same catalogue gives the same list.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from jobs import profiles
from jobs.index import Index

# Clusters are probed until they hold this many candidates for each neighbour wanted.
CANDIDATES_PER_NEIGHBOUR = 20

# Queries compared at once: 256 × 100,000 candidates are 100 MB of cosines.
_BLOCK = 256


def probes(centroids: np.ndarray, sizes: np.ndarray, *, wanted: int, least: int = 1) -> list[np.ndarray]:
    """Return for each cluster the clusters to search, nearest first, itself included.

    `centroids` (k, d), `sizes` (k,) tracks per cluster. Clusters are added by cosine of the centroids until they hold
    `wanted` times CANDIDATES_PER_NEIGHBOUR tracks, and there are `least` of them.
    """
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)  # itself first, also beside an equal centroid
    order = np.argsort(-cosines, axis=1, kind="stable")
    enough = np.cumsum(sizes[order], axis=1) >= wanted * CANDIDATES_PER_NEIGHBOUR
    counts = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, len(centroids))
    counts = np.maximum(counts, min(least, len(centroids)))
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def probed(centroids: np.ndarray, count: int) -> np.ndarray:
    """Return for each cluster which clusters a search from it looks at, bool (k, k): the `count` nearest by cosine."""
    cosines = centroids @ centroids.T
    np.fill_diagonal(cosines, 2.0)  # itself first, also beside an equal centroid
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(cosines.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def nearest(
    queries: np.ndarray, query_ids: np.ndarray, candidates: np.ndarray, candidate_ids: np.ndarray, *, count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return per query the ids and the cosines of its `count` nearest candidates, nearest first, exactly.

    `queries` (q, d), `candidates` (c, d). A query never finds its own id; equal cosines are ordered by id, so that two
    runs agree. Fewer are returned where there are fewer candidates.
    """
    order = np.argsort(candidate_ids, kind="stable")
    candidates, candidate_ids = candidates[order], candidate_ids[order]
    ids, scores = [], []
    for start in range(0, len(queries), _BLOCK):
        cosines = queries[start : start + _BLOCK] @ candidates.T
        cosines[query_ids[start : start + _BLOCK, None] == candidate_ids[None, :]] = -np.inf
        for row in cosines:
            best = _largest(row, count)
            ids.append(candidate_ids[best])
            scores.append(np.clip(row[best], -1, 1))
    return ids, scores


def _largest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the largest values, largest first, ties by position; -inf is never among them."""
    if count < len(row):
        # Everything at least as large as the count-th largest: ties at the edge are cut by position, not by chance.
        row_edge = np.partition(row, len(row) - count)[len(row) - count]
        positions = np.flatnonzero(row >= row_edge)
    else:
        positions = np.arange(len(row))
    positions = positions[np.isfinite(row[positions])]
    return positions[np.argsort(-row[positions], kind="stable")][:count]


# Items of a list, tracks of a profile that ask (of the short and of the long term each), and candidates for each of them.
LIST, _SEEDS, _PER_SEED = 30, 10, 60

# Of one artist at most so many in ten; every so many-th item is from elsewhere.
_PER_ARTIST, _EXPLORE_EVERY = 2, 10

# Tracks whose nearest are kept after they have been looked for: the same ones are played again. Some 10 MB.
_NEAREST_KEPT = 30_000

# Tracks of each cluster, the best known first, among which exploring looks; and of how many it takes one.
_EXPLORED_PER_CLUSTER, _EXPLORED = 40, 20

# A track just heard comes back to half its score after so long.
_REPEAT = timedelta(days=2)

# What a skipped track takes from what sounds like it.
_AVERSION = 0.3


@dataclass(frozen=True)
class Blend:
    """How much sound, co-listening and popularity count; `segue recommend` chooses it by what listeners played next."""

    sound: float = 1.0
    together: float = 0.0
    popular: float = 0.05


@dataclass(frozen=True)
class Catalogue:
    """What can be recommended, in one order: n tracks.

    `ids`, `titles`, `artists`, `recordings` (n,) text, `vectors` (n, d), `clusters` (n,), `plays` (n,) listeners of each.
    `together`: track number -> (track numbers, strengths 0..1) of what the same people play in the same sessions.
    """

    model_version: str
    ids: np.ndarray
    titles: np.ndarray
    artists: np.ndarray
    recordings: np.ndarray
    vectors: np.ndarray
    clusters: np.ndarray
    plays: np.ndarray
    together: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    blend: Blend = Blend()

    @cached_property
    def places(self) -> dict[str, int]:
        """Track id -> track number."""
        return {track_id: number for number, track_id in enumerate(self.ids.tolist())}

    @cached_property
    def index(self) -> Index:
        """The clusters as an index of the vectors; a tenth of them is searched, and never less than eight."""
        numbers = np.arange(len(self.ids))
        count = int(self.clusters.max(initial=-1)) + 1
        sums = np.zeros((count, self.vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, self.clusters, self.vectors)
        centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        return Index(numbers, self.vectors, centroids.astype(np.float32), probes=max(8, count // 10))

    @cached_property
    def nearest(self) -> Callable[[int], np.ndarray]:
        """Track number -> the numbers of what sounds most like it, itself first."""
        return lru_cache(_NEAREST_KEPT)(
            lambda number: self.index.search(self.vectors[number], count=_PER_SEED)[0].astype(np.int32)
        )

    @cached_property
    def id_order(self) -> np.ndarray:
        """Each track's place among the sorted ids (n,): comparing numbers is quick."""
        order = np.empty(len(self.ids), dtype=np.int32)
        order[np.argsort(self.ids, kind="stable")] = np.arange(len(self.ids), dtype=np.int32)
        return order

    @cached_property
    def artist_numbers(self) -> list[int]:
        """A number for each track's artist; below 0 where none is known."""
        names, numbers = np.unique(self.artists, return_inverse=True)
        return (numbers - int(bool(len(names)) and names[0] == "")).tolist()

    @cached_property
    def recording_numbers(self) -> list[int]:
        """A number for each track's recording."""
        return np.unique(self.recordings, return_inverse=True)[1].tolist()

    @cached_property
    def popularity(self) -> np.ndarray:
        """How well known each track is, 0..1."""
        known = np.log1p(self.plays.astype(float))
        return np.asarray(known / max(known.max(initial=0.0), 1e-9))

    @cached_property
    def best_known(self) -> np.ndarray:
        """The numbers of the tracks with the most listeners."""
        return np.argsort(-self.plays, kind="stable")[:_PER_SEED]

    @cached_property
    def start(self) -> np.ndarray:
        """Track numbers for who has played nothing: one cluster after the other, the largest first, the best known first.

        Where nothing is known of popularity, the track nearest to its cluster's centre comes first.
        """
        sizes = np.bincount(self.clusters)
        central = np.einsum("nd,nd->n", self.vectors, self.index.centroids[self.clusters])
        inside = np.lexsort((self.id_order, -np.round(central, 5), -self.plays, self.clusters))
        firsts = np.cumsum(sizes) - sizes
        turn = np.empty(len(self.ids), dtype=int)
        turn[inside] = np.arange(len(self.ids)) - firsts[self.clusters[inside]]
        return np.lexsort((self.clusters, -sizes[self.clusters], turn))

    @cached_property
    def elsewhere(self) -> tuple[np.ndarray, np.ndarray]:
        """The beginning of `start`, where exploring looks, and the clusters of it."""
        numbers = self.start[: _EXPLORED_PER_CLUSTER * (int(self.clusters.max(initial=0)) + 1)]
        return numbers, self.clusters[numbers]


def curated(catalogue: Catalogue, count: int = LIST, forbidden: Set[int] = frozenset()) -> list[dict[str, Any]]:
    """Return the items for somebody who has played nothing: diverse, from every large cluster, no forbidden number."""
    chosen = _by_rules(catalogue, catalogue.start, count, forbidden)
    return [_item(catalogue, rank, number, 0.0, "a place to start") for rank, number in enumerate(chosen, start=1)]


def recommend(
    catalogue: Catalogue, profile: profiles.Profile, *, count: int = LIST, exclude: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return up to `count` items (rank from 1, track_id, score, reason) for a profile, best first.

    Never the track playing, one disliked, or one of `exclude`; no recording twice; at most two of an artist in ten; what
    was heard of late is pushed down; one in ten is from elsewhere. Without a track that is known it is the curated list.
    """
    taste = _taste(catalogue, profile)
    forbidden = {catalogue.places[i] for i in exclude if i in catalogue.places} | taste.never
    if not taste.numbers.size:
        return curated(catalogue, count, forbidden)
    numbers, scores, by_sound, by_plays = _scored(catalogue, taste)
    best_first = np.lexsort((catalogue.id_order[numbers], -np.round(scores, 9)))
    chosen = _by_rules(catalogue, numbers[best_first], count - count // _EXPLORE_EVERY, forbidden)
    places = np.searchsorted(numbers, chosen)
    reasons = _reasons(catalogue, profile, taste, by_sound[:, places], by_plays[:, places])
    items = list(zip(chosen, scores[places].tolist(), reasons, strict=True))
    _explore(catalogue, profile, items, forbidden | set(taste.numbers.tolist()), count)
    return [_item(catalogue, rank, *item) for rank, item in enumerate(items, start=1)]


@dataclass(frozen=True)
class _Taste:
    """The tracks of a profile that ask (s,), with their weights (s,), their sum 1; the skipped ones (t,); what never comes;
    and all that were heard (h,), with how much of the score of what was just heard is left (h,)."""

    numbers: np.ndarray
    weights: np.ndarray
    skipped: np.ndarray
    never: set[int]
    heard: np.ndarray
    fresh: np.ndarray


def _taste(catalogue: Catalogue, profile: profiles.Profile) -> _Taste:
    known = [(number, t) for t in profile["tracks"] if (number := catalogue.places.get(t["track_id"])) is not None]
    numbers = np.array([number for number, _ in known], dtype=int)
    ages = np.array([max((profile["at"] - t["at"]).total_seconds(), 0.0) for _, t in known])
    liked = np.array([bool(t["liked"]) for _, t in known], dtype=float)
    disliked = np.array([t["liked"] is False for _, t in known], dtype=bool)
    weights = np.zeros(len(known))
    for name, half_life in (("weight", profiles.SHORT), ("long", profiles.LONG)):
        term = np.array([t[name] for _, t in known]) * 0.5 ** (ages / half_life.total_seconds()) + liked
        best = np.lexsort((numbers, -term))[:_SEEDS]
        best = best[term[best] > 0.05]
        weights[best] += term[best] / term[best].sum()
        if name == "weight":
            worst = np.lexsort((numbers, term))[:_SEEDS]
            skipped = numbers[worst[term[worst] < -0.05]]
    # The few that are played all the time would ask for nearly the whole list.
    weights = np.sqrt(np.where(disliked, 0.0, weights))
    never = set(numbers[disliked].tolist())
    if known:
        never.add(int(numbers[np.lexsort((-numbers, ages))[0]]))  # the one playing
    asking = np.flatnonzero(weights)
    return _Taste(
        numbers[asking],
        weights[asking] / (weights.sum() or 1.0),
        skipped,
        never,
        numbers,
        1 - 0.5 ** (ages / _REPEAT.total_seconds()),
    )


def _scored(catalogue: Catalogue, taste: _Taste) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return candidates (c,) in order, their scores (c,), what each track that asks gives them by sound and by plays (s, c)."""
    asking = taste.numbers.tolist()
    found = [catalogue.nearest(number) for number in asking]
    found += [catalogue.together[number][0] for number in asking if number in catalogue.together]
    found.append(catalogue.best_known)
    numbers = np.unique(np.concatenate(found)).astype(int)
    vectors = catalogue.vectors[numbers]
    sound = taste.weights[:, None] * np.maximum(catalogue.vectors[taste.numbers] @ vectors.T, 0) ** 2
    together = np.zeros(sound.shape)
    for row, number in enumerate(asking):
        if number in catalogue.together:
            others, strengths = catalogue.together[number]
            together[row, np.searchsorted(numbers, others)] = taste.weights[row] * strengths
    blend = catalogue.blend
    sound, together = blend.sound * sound, blend.together * together
    scores = sound.sum(0) + together.sum(0) + blend.popular * catalogue.popularity[numbers]
    if taste.skipped.size:
        scores -= _AVERSION * np.maximum(catalogue.vectors[taste.skipped] @ vectors.T, 0).max(axis=0) ** 2
    places = np.searchsorted(numbers, taste.heard)
    there = numbers[np.minimum(places, len(numbers) - 1)] == taste.heard
    heard = places[there]
    scores[heard] *= np.where(scores[heard] > 0, taste.fresh[there], 1.0)
    return numbers, scores, sound, together


def _by_rules(catalogue: Catalogue, order: np.ndarray, count: int, forbidden: Set[int]) -> list[int]:
    """Return the first `count` of the order that the rules allow; an artist who had to wait comes in later."""
    artists, recordings = catalogue.artist_numbers, catalogue.recording_numbers
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
            many = artists[late] >= 0 and sum(artists[n] == artists[late] for n in last) >= _PER_ARTIST
            if len(chosen) < count and recordings[late] not in taken and not many:
                chosen.append(late)
                taken.add(recordings[late])
        moved = len(chosen) > before
        waiting.append(number)
        if moved:
            waiting = [n for n in waiting if recordings[n] not in taken]
    return chosen


def _explore(
    catalogue: Catalogue, profile: profiles.Profile, items: list[tuple[int, float, str]], known: set[int], count: int
) -> None:
    """Put a track of another cluster at every tenth place; which one follows from who asks and when."""
    places = range(_EXPLORE_EVERY - 1, count, _EXPLORE_EVERY)
    taken = known | {number for number, _, _ in items}
    numbers, clusters = catalogue.elsewhere
    near = np.zeros(int(catalogue.clusters.max(initial=0)) + 1, dtype=bool)
    near[catalogue.clusters[list(taken)]] = True
    far = numbers[~near[clusters]]
    pool = far if far.size else numbers
    pool = pool[: _EXPLORED + len(places) + len(taken)]
    elsewhere = [number for number in pool.tolist() if number not in taken]
    recordings = catalogue.recording_numbers
    for place in places:
        if place > len(items) or not elsewhere:
            return
        seed = hashlib.sha256(f"{profile['_id']} {profile['at']} {place}".encode()).digest()
        number = elsewhere.pop(int.from_bytes(seed[:4], "big") % min(len(elsewhere), _EXPLORED))
        if recordings[number] not in {recordings[n] for n, _, _ in items}:
            items.insert(place, (number, 0.0, "something else, to see whether you like it"))


def _reasons(
    catalogue: Catalogue, profile: profiles.Profile, taste: _Taste, by_sound: np.ndarray, by_plays: np.ndarray
) -> list[str]:
    """Say in words what speaks most for each candidate, given what each track that asks gives it (s, c)."""
    most = (by_sound + by_plays).argmax(axis=0)
    tracks = {t["track_id"]: t for t in profile["tracks"]}
    asking = [(str(catalogue.titles[n]), _what_you_did(tracks[str(catalogue.ids[n])])) for n in taste.numbers]
    nothing = "much played here" if catalogue.plays.any() else "further away from what you play"
    columns = np.arange(len(most))
    reasons = []
    for best, sound, plays in zip(most.tolist(), by_sound[most, columns], by_plays[most, columns], strict=True):
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


def _item(catalogue: Catalogue, rank: int, number: int, score: float, reason: str) -> dict[str, Any]:
    return {"rank": rank, "track_id": str(catalogue.ids[number]), "score": round(score, 6), "reason": reason}
