"""A listener's mixes of a day: lists that each have a theme, from the shared ranking.

A mix is `ranking.recommend` for a part of the profile: the tracks of one cluster, those of the last week. The
day decides which of the candidates are left out, so that a mix is another one each day and the same all day.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from jobs.recommender import ranking
from jobs.recommender.item_catalog import ItemCatalog
from jobs.recommender.profiles import Profile, ProfileTrack
from jobs.recommender.scoring import QueryProfile, query_profile

# Tracks of a mix, and the fewest that are one.
LENGTH, MIN_LENGTH = 30, 5

# Mixes of clusters, and the cosine of two centroids from which on the clusters are alike: they share one mix.
_MAX_CLUSTER_MIXES, _ALIKE = 6, 0.8

# One in so many candidates is left out for a day.
_LEFT_OUT_ONE_IN = 3

# "More of this week", "Rediscover": tracks liked or finished so often, and not played for so long.
_WEEK, _LONG_AGO, _OFTEN = timedelta(days=7), timedelta(days=60), 3


@dataclass(frozen=True)
class Mix:
    """One mix: `kind` is "cluster", "week", "rediscover" or "new"."""

    kind: str
    track_ids: list[str]


def cluster_mixes(catalog: ItemCatalog, profile: Profile, *, day: date) -> list[Mix]:
    """Return a mix for each of at most six clusters, those that the listener plays most first.

    Clusters that the listener has not played come last, the largest first. No track is in two mixes.
    """
    query = query_profile(catalog, profile)
    centroids = catalog.centroids
    mixes: list[Mix] = []
    taken: set[str] = set()
    is_covered = np.zeros(len(centroids), dtype=bool)
    for cluster in _cluster_order(catalog, query):
        if len(mixes) == _MAX_CLUSTER_MIXES:
            break
        if is_covered[cluster]:
            continue
        is_alike = centroids @ centroids[cluster] > _ALIKE
        found = _tracks_of_clusters(catalog, profile, np.flatnonzero(is_alike), exclude=taken)
        track_ids = _of_day(found, profile.user_id, day)
        if len(track_ids) >= MIN_LENGTH:
            mixes.append(Mix("cluster", track_ids))
            taken |= set(track_ids)
            is_covered |= is_alike
    return mixes


def week_mix(catalog: ItemCatalog, profile: Profile, *, now: datetime) -> Mix | None:
    """Return tracks like those of the last seven days, without these; None without plays in that time."""
    recent = [track for track in profile.tracks if now - track.at <= _WEEK]
    if not any(_is_positive(track) for track in recent):
        return None
    part = replace(profile, tracks=[*recent, *_disliked(profile)])
    found = _candidates(catalog, part, exclude={track.track_id for track in recent})
    return _mix("week", _of_day(found, profile.user_id, now.date()))


def rediscover_mix(catalog: ItemCatalog, profile: Profile, *, now: datetime) -> Mix | None:
    """Return tracks that were liked or finished three times, and not played for 60 days; None for a few."""
    old = [
        track.track_id
        for track in profile.tracks
        if track.liked is not False
        and (track.liked or track.finished >= _OFTEN)
        and now - track.at >= _LONG_AGO
        and track.track_id in catalog.index_of
    ]
    old.sort(key=lambda track_id: _random_key(profile.user_id, now.date(), track_id))
    return _mix("rediscover", _by_rules(catalog, old))


def new_mix(catalog: ItemCatalog, profile: Profile, *, new_ids: Sequence[str], now: datetime) -> Mix | None:
    """Return those of `new_ids` that sound most like what the listener plays; None for a few."""
    known = {track.track_id for track in profile.tracks if _is_positive(track) or track.liked is False}
    new = [track_id for track_id in new_ids if track_id in catalog.index_of and track_id not in known]
    query = query_profile(catalog, profile)
    new.sort(key=lambda track_id: _random_key(profile.user_id, now.date(), track_id))
    if query.seeds.size and new:
        rows = [catalog.index_of[track_id] for track_id in new]
        cosines = np.maximum(catalog.vectors[query.seeds] @ catalog.vectors[rows].T, 0)
        order = np.argsort(-(query.weights @ cosines**2), kind="stable")
        new = [new[place] for place in order]
    return _mix("new", _by_rules(catalog, new))


def _cluster_order(catalog: ItemCatalog, query: QueryProfile) -> list[int]:
    """Return the clusters, those that a listener plays most first, then the largest."""
    n_clusters = len(catalog.centroids)
    played = np.bincount(catalog.clusters[query.liked], query.confidences, minlength=n_clusters)
    sizes = np.bincount(catalog.clusters, minlength=n_clusters)
    return [int(cluster) for cluster in np.lexsort((-sizes, -played)) if sizes[cluster]]


def _tracks_of_clusters(
    catalog: ItemCatalog, profile: Profile, clusters: np.ndarray, *, exclude: Collection[str]
) -> list[str]:
    """Return tracks of these clusters for what the listener plays of them, or the first of a default list."""
    is_of_clusters = np.isin(catalog.clusters, clusters)
    index_of = catalog.index_of
    tracks = [
        track
        for track in profile.tracks
        if track.track_id in index_of and is_of_clusters[index_of[track.track_id]]
    ]
    if any(_is_positive(track) for track in tracks):
        found = _candidates(catalog, replace(profile, tracks=tracks), exclude=exclude)
        found = [track_id for track_id in found if is_of_clusters[index_of[track_id]]]
        # A list leaves out what was played just now; a mix may hold it, at its end.
        own = [track.track_id for track in tracks if _is_positive(track)]
        return [*found, *(track_id for track_id in own if track_id not in {*found, *exclude})]
    excluded = {index_of[track_id] for track_id in exclude if track_id in index_of}
    excluded |= {index_of[track.track_id] for track in tracks if track.liked is False}
    order = catalog.cold_start_order
    chosen = ranking.diversify(catalog, order[is_of_clusters[order]], 2 * LENGTH, excluded)
    return [str(catalog.ids[index]) for index in chosen]


def _candidates(catalog: ItemCatalog, part: Profile, *, exclude: Collection[str]) -> list[str]:
    items = ranking.recommend(catalog, part, count=2 * LENGTH, exclude=exclude, explore=False)
    return [item.track_id for item in items]


def _of_day(track_ids: list[str], user_id: str, day: date) -> list[str]:
    """Return the tracks of a mix: some of the candidates are left out, others each day."""
    chosen = [each for each in track_ids if _random_key(user_id, day, each) % _LEFT_OUT_ONE_IN]
    return chosen[:LENGTH] if len(chosen) >= MIN_LENGTH else track_ids[:LENGTH]


def _by_rules(catalog: ItemCatalog, track_ids: Sequence[str]) -> list[str]:
    order = np.array([catalog.index_of[track_id] for track_id in track_ids], dtype=int)
    return [str(catalog.ids[index]) for index in ranking.diversify(catalog, order, LENGTH)]


def _mix(kind: str, track_ids: list[str]) -> Mix | None:
    return Mix(kind, track_ids) if len(track_ids) >= MIN_LENGTH else None


def _is_positive(track: ProfileTrack) -> bool:
    return track.liked is not False and (track.liked is True or track.finished > 0)


def _disliked(profile: Profile) -> list[ProfileTrack]:
    return [track for track in profile.tracks if track.liked is False]


def _random_key(user_id: str, day: date, track_id: str) -> int:
    """Return a pseudo-random number that depends on listener, day and track alone."""
    return int.from_bytes(hashlib.blake2b(f"{user_id} {day} {track_id}".encode(), digest_size=4).digest())
