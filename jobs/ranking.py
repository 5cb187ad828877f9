"""What to play next, and the nearest of many vectors through K-Means as the index; shared by batch, stream and serving.

All vectors are float32 of unit length, so a dot product is a cosine in -1..1; 1 is the same sound. No clock and no
chance: the same profile over the same catalogue gives the same list.
"""

import hashlib
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
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
    def popularity(self) -> np.ndarray:
        """How well known each track is, 0..1."""
        known = np.log1p(self.plays.astype(float))
        return np.asarray(known / max(known.max(initial=0.0), 1e-9))

    @cached_property
    def start(self) -> np.ndarray:
        """Track numbers for who has played nothing: one cluster after the other, the largest first, the best known first.

        Where nothing is known of popularity, the track nearest to its cluster's centre comes first.
        """
        sizes = np.bincount(self.clusters)
        central = np.einsum("nd,nd->n", self.vectors, self.index.centroids[self.clusters])
        inside = np.lexsort((self.ids, -np.round(central, 5), -self.plays))
        turn = np.zeros(len(self.ids), dtype=int)
        seen = np.zeros(len(sizes), dtype=int)
        for number in inside:
            turn[number], seen[self.clusters[number]] = seen[self.clusters[number]], seen[self.clusters[number]] + 1
        return np.lexsort((self.clusters, -sizes[self.clusters], turn))


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
    numbers, scores, parts = _scored(catalogue, taste)
    order = numbers[np.lexsort((catalogue.ids[numbers], -np.round(scores, 9)))]
    chosen = _by_rules(catalogue, order, count - count // _EXPLORE_EVERY, forbidden)
    places = {number: place for place, number in enumerate(numbers.tolist())}
    items = [
        (n, float(scores[places[n]]), _reason(catalogue, profile, taste, *(part[:, places[n]] for part in parts)))
        for n in chosen
    ]
    _explore(catalogue, profile, items, chosen, forbidden | set(taste.numbers.tolist()), count)
    return [_item(catalogue, rank, *item) for rank, item in enumerate(items, start=1)]


@dataclass(frozen=True)
class _Taste:
    """The tracks of a profile that ask (s,), with their weights (s,), their sum 1; the skipped ones (t,); what never comes."""

    numbers: np.ndarray
    weights: np.ndarray
    skipped: np.ndarray
    never: set[int]
    heard: dict[int, datetime]


def _taste(catalogue: Catalogue, profile: profiles.Profile) -> _Taste:
    now = profile["at"]
    known = [(catalogue.places[t["track_id"]], t) for t in profile["tracks"] if t["track_id"] in catalogue.places]
    short = {n: profiles.faded(t["weight"], t["at"], now, profiles.SHORT) + bool(t["liked"]) for n, t in known}
    long = {n: profiles.faded(t["long"], t["at"], now, profiles.LONG) + bool(t["liked"]) for n, t in known}
    weights: dict[int, float] = {}
    for term in (short, long):
        best = sorted((n for n in term if term[n] > 0.05), key=lambda n: (-term[n], n))[:_SEEDS]
        whole = sum(term[n] for n in best)
        for n in best:
            weights[n] = weights.get(n, 0.0) + term[n] / whole
    never = {n for n, t in known if t["liked"] is False}
    if known:
        never.add(max(known, key=lambda pair: (pair[1]["at"], pair[0]))[0])  # the one playing
    weights = {n: w for n, w in weights.items() if n not in {m for m, t in known if t["liked"] is False}}
    skipped = sorted((n for n in short if short[n] < -0.05), key=lambda n: (short[n], n))[:_SEEDS]
    total = sum(weights.values()) or 1.0
    return _Taste(
        np.array(list(weights), dtype=int),
        np.array(list(weights.values())) / total,
        np.array(skipped, dtype=int),
        never,
        {n: t["at"] for n, t in known},
    )


def _scored(catalogue: Catalogue, taste: _Taste) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return candidates (c,), their scores (c,), and what each track that asks gives them: by sound, by co-listening (s, c)."""
    found = [catalogue.index.search(catalogue.vectors[n], count=_PER_SEED)[0] for n in taste.numbers]
    found += [catalogue.together[n][0] for n in taste.numbers.tolist() if n in catalogue.together]
    found.append(np.argsort(-catalogue.plays, kind="stable")[:_PER_SEED])
    numbers = np.unique(np.concatenate(found)).astype(int)
    vectors = catalogue.vectors[numbers]
    sound = taste.weights[:, None] * np.maximum(catalogue.vectors[taste.numbers] @ vectors.T, 0) ** 2
    together = np.zeros(sound.shape)
    places = np.full(len(catalogue.ids), -1)
    places[numbers] = np.arange(len(numbers))
    for row, number in enumerate(taste.numbers.tolist()):
        if number in catalogue.together:
            others, strengths = catalogue.together[number]
            together[row, places[others]] = taste.weights[row] * strengths
    blend = catalogue.blend
    scores = (
        blend.sound * sound.sum(0) + blend.together * together.sum(0) + blend.popular * catalogue.popularity[numbers]
    )
    if taste.skipped.size:
        scores -= _AVERSION * np.maximum(catalogue.vectors[taste.skipped] @ vectors.T, 0).max(axis=0) ** 2
    now = max(taste.heard.values())
    for number, at in taste.heard.items():
        if places[number] >= 0:
            scores[places[number]] *= 1 - 0.5 ** ((now - at) / _REPEAT) if scores[places[number]] > 0 else 1.0
    return numbers, scores, (blend.sound * sound, blend.together * together)


def _by_rules(catalogue: Catalogue, order: np.ndarray, count: int, forbidden: Set[int]) -> list[int]:
    """Return the first `count` of the order that the rules allow; an artist who had to wait comes in later."""
    chosen: list[int] = []
    recordings = {catalogue.recordings[n] for n in forbidden}
    waiting: list[int] = []
    for number in order.tolist():
        if len(chosen) == count:
            break
        if number in forbidden or catalogue.recordings[number] in recordings:
            continue
        for late in [*waiting, number]:
            if len(chosen) < count and _is_allowed(catalogue, chosen, late):
                chosen.append(late)
                recordings.add(catalogue.recordings[late])
        waiting = [n for n in [*waiting, number] if catalogue.recordings[n] not in recordings]
    return chosen


def _is_allowed(catalogue: Catalogue, chosen: list[int], number: int) -> bool:
    artist, last = catalogue.artists[number], chosen[-9:]
    fresh = catalogue.recordings[number] not in {catalogue.recordings[n] for n in chosen}
    return fresh and (not artist or sum(catalogue.artists[n] == artist for n in last) < _PER_ARTIST)


def _explore(
    catalogue: Catalogue,
    profile: profiles.Profile,
    items: list[tuple[int, float, str]],
    chosen: list[int],
    known: set[int],
    count: int,
) -> None:
    """Put a track of another cluster at every tenth place; which one follows from who asks and when."""
    near = {catalogue.clusters[n] for n in known} | {catalogue.clusters[n] for n in chosen}
    taken = known | set(chosen)
    elsewhere = [n for n in catalogue.start.tolist() if n not in taken]
    elsewhere = [n for n in elsewhere if catalogue.clusters[n] not in near] or elsewhere
    for place in range(_EXPLORE_EVERY - 1, count, _EXPLORE_EVERY):
        if place > len(items) or not elsewhere:
            return
        seed = hashlib.sha256(f"{profile['_id']} {profile['at']} {place}".encode()).digest()
        number = elsewhere.pop(int.from_bytes(seed[:4], "big") % min(len(elsewhere), 20))
        if catalogue.recordings[number] in {catalogue.recordings[n] for n, _, _ in items}:
            continue
        items.insert(place, (number, 0.0, "something else, to see whether you like it"))


def _reason(
    catalogue: Catalogue, profile: profiles.Profile, taste: _Taste, sound: np.ndarray, together: np.ndarray
) -> str:
    """Say in words what speaks most for a candidate, given what each track that asks gives it (s,)."""
    best = int(np.argmax(sound + together))
    if sound[best] + together[best] <= 0:
        return "much played here" if catalogue.plays.any() else "further away from what you play"
    number = int(taste.numbers[best])
    track = next(t for t in profile["tracks"] if t["track_id"] == catalogue.ids[number])
    if track["liked"]:
        did = "which you like"
    elif track["finished"]:
        times = {1: "once", 2: "twice"}.get(track["finished"], f"{track['finished']} times")
        did = f"which you finished {times}"
    else:
        did = "which you played"
    title = catalogue.titles[number]
    return f"played by who plays {title}, {did}" if together[best] > sound[best] else f"sounds like {title}, {did}"


def _item(catalogue: Catalogue, rank: int, number: int, score: float, reason: str) -> dict[str, Any]:
    return {"rank": rank, "track_id": str(catalogue.ids[number]), "score": round(score, 6), "reason": reason}
