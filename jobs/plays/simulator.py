"""Listeners that do not exist, for tests and figures: sessions with tastes, times of day, skips. Seeded; no clock inside.

A listener likes some groups of tracks (genres, or clusters), each with a share, and within a group some tracks more
than others (a Zipf law over an order of the listener's scene). An evening person listens in the evening. What is not of
the taste is skipped early, most of the time; what is liked very much is now and then told.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

# Groups that a listener likes, listeners of one scene (they prefer the same tracks of a group), tracks of a session.
_TASTES, _SCENES, _SESSION = 3, 4, 12

# How often a listener hears something outside the taste, and skips it; and skips what is inside.
_P_OFF_TASTE, _P_SKIP_OFF_TASTE, _P_SKIP = 0.2, 0.8, 0.1

# Of the tracks heard to their end, so many are told to be liked; of the skipped ones disliked.
_P_LIKE, _P_DISLIKE = 0.1, 0.1

# How steeply a scene prefers its first tracks.
_ZIPF = 1.1


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
) -> Iterator[dict[str, Any]]:
    """Yield some `events` play events of `users` listeners over `days`, in the order of time.

    `groups` names the group of each of `ids`; the same arguments give the same events.
    """
    listeners = [
        _SimulatedUser(f"listener-{number:06d}", seed, number, list(groups)) for number in range(users)
    ]
    rng = np.random.default_rng([seed, 0])
    per_session = _SESSION * 2
    count = max(1, -(-events // per_session))
    who = rng.integers(users, size=count)
    which_day = rng.uniform(0, days, size=count)
    made: list[dict[str, Any]] = []
    for number, (user, day) in enumerate(zip(who.tolist(), which_day.tolist(), strict=True)):
        listener = listeners[user]
        hour = (listener.hour + rng.normal(0, 1.5)) % 24
        start = begin + timedelta(days=int(day), hours=hour)
        made += listener.session(f"{seed}-{number}", start, ids, durations, rng)
    made.sort(key=lambda event: (event["played_at"], event["event_id"]))
    yield from made[:events]


class _SimulatedUser:
    """One listener: which tracks with which probability, and when."""

    def __init__(self, user_id: str, seed: int, number: int, groups: list[Any]) -> None:
        rng = np.random.default_rng([seed, 1, number])
        self.user_id, self.hour = user_id, float(rng.choice([8, 13, 20, 22]))
        names = sorted(set(groups), key=str)
        liked = rng.choice(len(names), size=min(_TASTES, len(names)), replace=False)
        shares = rng.dirichlet(np.full(len(liked), 2.0))
        # Who is of one scene has the same favourites in each group.
        scene = np.random.default_rng([seed, 2, int(rng.integers(_SCENES))])
        rank = scene.permutation(len(groups))
        self.chances = np.zeros(len(groups))
        for group, share in zip(liked, shares, strict=True):
            members = np.flatnonzero(np.array([name == names[group] for name in groups]))
            ordered = members[np.argsort(rank[members])]
            weights = 1 / np.arange(1, len(ordered) + 1) ** _ZIPF
            self.chances[ordered] = share * weights / weights.sum()

    def session(
        self,
        session_id: str,
        start: datetime,
        ids: Sequence[str],
        durations: Sequence[float | None],
        rng: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of one sitting."""
        at, number = start, 0
        for _ in range(_SESSION):
            astray = rng.random() < _P_OFF_TASTE
            track = int(rng.integers(len(ids))) if astray else int(rng.choice(len(ids), p=self.chances))
            duration = float(durations[track] or 180.0)
            skips = rng.random() < (_P_SKIP_OFF_TASTE if astray and not self.chances[track] else _P_SKIP)
            position = duration * float(rng.uniform(0.02, 0.3)) if skips else duration
            ending = "skipped" if skips else "finished"
            happened = [("started", 0.0), (ending, position)]
            if rng.random() < (_P_DISLIKE if skips else _P_LIKE):
                happened.append(("disliked" if skips else "liked", position))
            for event, place in happened:
                yield {
                    "event_id": f"{session_id}-{number}",
                    "user_id": self.user_id,
                    "track_id": str(ids[track]),
                    "event": event,
                    "position_s": round(place, 3),
                    "duration_s": round(duration, 3),
                    "played_at": at + timedelta(seconds=place),
                    "session_id": session_id,
                }
                number += 1
            at += timedelta(seconds=position + 1)
