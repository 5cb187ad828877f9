"""Simulated users, for tests and benchmarks: sessions with tastes, times of day and skips.

Seeded; no clock inside. A user likes some groups of tracks (genres or clusters), each with a share, and
within a group some tracks more than others: a Zipf law over an order that all users of one scene share. A
user has a usual hour. Tracks outside the taste are mostly skipped early; tracks that a user finishes are
liked now and then.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from jobs.plays.events import EventType, PlayEvent

# Groups that a user likes; scenes, whose users prefer the same tracks of a group; tracks in a session.
_N_TASTES = 3
_N_SCENES = 4
_SESSION_TRACKS = 12

# Probability that a track is from anywhere, that such a track is skipped, and that one of the taste is.
_P_OFF_TASTE = 0.2
_P_SKIP_OFF_TASTE = 0.8
_P_SKIP = 0.1

# Probability that a finished track is liked, and a skipped one disliked.
_P_LIKE = 0.1
_P_DISLIKE = 0.1

# Exponent of the Zipf law: how steeply a scene prefers its first tracks.
_ZIPF = 1.1

# Hours of the day, one of which is a user's usual one, and the standard deviation around it.
_USUAL_HOURS = (8, 13, 20, 22)
_HOUR_DEVIATION = 1.5


def simulate_plays(
    ids: Sequence[str],
    groups: Sequence[Any],
    durations: Sequence[float | None],
    *,
    users: int,
    events: int,
    seed: int,
    begin: datetime,
    days: float = 14.0,
) -> Iterator[PlayEvent]:
    """Yield about `events` play events of `users` simulated users over `days`, in order of time.

    `groups` and `durations` (seconds) belong to `ids`. The same arguments give the same events.
    """
    simulated = [
        _SimulatedUser(f"listener-{number:06d}", seed, number, list(groups)) for number in range(users)
    ]
    rng = np.random.default_rng([seed, 0])
    events_per_session = _SESSION_TRACKS * 2
    sessions = max(1, -(-events // events_per_session))
    user_of_session = rng.integers(users, size=sessions)
    day_of_session = rng.uniform(0, days, size=sessions)
    plays: list[PlayEvent] = []
    for number, (user, day) in enumerate(zip(user_of_session.tolist(), day_of_session.tolist(), strict=True)):
        hour = (simulated[user].hour + rng.normal(0, _HOUR_DEVIATION)) % 24
        start = begin + timedelta(days=int(day), hours=hour)
        plays += simulated[user].session(f"{seed}-{number}", start, ids, durations, rng)
    plays.sort(key=lambda play: (play.played_at, play.event_id))
    yield from plays[:events]


class _SimulatedUser:
    """A user's usual hour, and the probability of each track."""

    def __init__(self, user_id: str, seed: int, number: int, groups: list[Any]) -> None:
        rng = np.random.default_rng([seed, 1, number])
        self.user_id = user_id
        self.hour = float(rng.choice(_USUAL_HOURS))
        names = sorted(set(groups), key=str)
        liked = rng.choice(len(names), size=min(_N_TASTES, len(names)), replace=False)
        shares = rng.dirichlet(np.full(len(liked), 2.0))
        # Users of one scene have the same favorites in each group.
        scene = np.random.default_rng([seed, 2, int(rng.integers(_N_SCENES))])
        rank = scene.permutation(len(groups))
        self.probabilities = np.zeros(len(groups))
        for group, share in zip(liked, shares, strict=True):
            members = np.flatnonzero(np.array([name == names[group] for name in groups]))
            ordered = members[np.argsort(rank[members])]
            weights = 1 / np.arange(1, len(ordered) + 1) ** _ZIPF
            self.probabilities[ordered] = share * weights / weights.sum()

    def session(
        self,
        session_id: str,
        start: datetime,
        ids: Sequence[str],
        durations: Sequence[float | None],
        rng: Any,
    ) -> Iterator[PlayEvent]:
        """Yield the events of one session."""
        track_start = start
        number = 0
        for _ in range(_SESSION_TRACKS):
            is_off_taste = rng.random() < _P_OFF_TASTE
            track = (
                int(rng.integers(len(ids)))
                if is_off_taste
                else int(rng.choice(len(ids), p=self.probabilities))
            )
            duration = float(durations[track] or 180.0)
            is_unwanted = is_off_taste and not self.probabilities[track]
            is_skipped = rng.random() < (_P_SKIP_OFF_TASTE if is_unwanted else _P_SKIP)
            end = duration * float(rng.uniform(0.02, 0.3)) if is_skipped else duration
            happened: list[tuple[EventType, float]] = [("started", 0.0)]
            happened.append(("skipped" if is_skipped else "finished", end))
            if rng.random() < (_P_DISLIKE if is_skipped else _P_LIKE):
                happened.append(("disliked" if is_skipped else "liked", end))
            for event, position in happened:
                yield PlayEvent(
                    event_id=f"{session_id}-{number}",
                    user_id=self.user_id,
                    track_id=str(ids[track]),
                    event=event,
                    position_s=round(position, 3),
                    duration_s=round(duration, 3),
                    played_at=track_start + timedelta(seconds=position),
                    session_id=session_id,
                )
                number += 1
            track_start += timedelta(seconds=end + 1)
