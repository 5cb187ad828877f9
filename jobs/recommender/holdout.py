"""The holdout of an evaluation.

Users with their profile before a temporal split, and the tracks they played after it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from jobs.plays.events import PlayEvent
from jobs.recommender import profiles

# Users of an evaluation, sampled evenly.
EVALUATION_USERS = 500

# Events that say that a user wanted the track.
POSITIVE_EVENTS = ("finished", "liked")


@dataclass(frozen=True)
class Holdout:
    """Users (u) of a holdout, in one order.

    Attributes
    ----------
    profiles : profile of each user as of the split
    before : indices of the tracks that each user met before the split
    after : indices of the tracks that each user met, and finished or liked, only after it
    """

    profiles: list[profiles.Profile]
    before: list[set[int]]
    after: list[set[int]]


@dataclass
class _UserTracks:
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)


def build_holdout(
    index_of: Mapping[str, int],
    before: Iterable[PlayEvent],
    after: Iterable[PlayEvent],
    max_users: int = EVALUATION_USERS,
) -> Holdout:
    """Return the holdout of at most `max_users` users with plays before the split and a new track after.

    `index_of` maps the ids of the tracks that can be recommended to their indices; other tracks do not count.
    """
    before = list(before)
    tracks: dict[str, _UserTracks] = {}
    for play in before:
        if play.track_id in index_of:
            tracks.setdefault(play.user_id, _UserTracks()).before.add(index_of[play.track_id])
    for play in after:
        if play.event in POSITIVE_EVENTS and play.track_id in index_of:
            tracks.setdefault(play.user_id, _UserTracks()).after.add(index_of[play.track_id])
    users = _sample_users(tracks, max_users)
    user_profiles = {user: profiles.new_profile(user) for user in users}
    for play in before:
        if play.user_id in user_profiles:
            profiles.add_play(user_profiles[play.user_id], play)
    return Holdout(
        profiles=list(user_profiles.values()),
        before=[tracks[user].before for user in users],
        after=[tracks[user].after - tracks[user].before for user in users],
    )


def _sample_users(tracks: Mapping[str, _UserTracks], max_users: int) -> list[str]:
    users = sorted(user for user, met in tracks.items() if met.before and met.after - met.before)
    step = max(1, len(users) // max_users)
    return users[::step][:max_users]


def positive_counts(index_of: Mapping[str, int], plays: Iterable[PlayEvent]) -> dict[tuple[str, int], int]:
    """Return for each pair of user and track index how often the user finished or liked the track."""
    return Counter(
        (play.user_id, index_of[play.track_id])
        for play in plays
        if play.event in POSITIVE_EVENTS and play.track_id in index_of
    )


def listener_counts(index_of: Mapping[str, int], plays: Iterable[PlayEvent]) -> np.ndarray:
    """Return how many users finished or liked each track, (tracks,)."""
    indices = [index for _, index in positive_counts(index_of, plays)]
    return np.bincount(np.array(indices, dtype=int), minlength=len(index_of))
