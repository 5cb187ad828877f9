"""The temporal split of plays: what a model may learn from, and what it is evaluated on.

Plays only; no model, no Spark.
"""

import hashlib
from collections.abc import Sequence

from jobs.plays.events import PlayEvent

# Share of all plays, in order of time, that is the training part; the rest is the holdout.
TRAIN_SHARE = 0.8

# Ranking weights are chosen on an earlier split, within the training part, so that the holdout stays unseen.
TUNING_SPLITS = (0.8,)

# Folds of pairs of user and track.
N_FOLDS = 5

# The newest plays that are used for tuning and evaluation, as Python objects.
MAX_PLAYS = 500_000


def temporal_split(
    plays: Sequence[PlayEvent], train_share: float = TRAIN_SHARE
) -> tuple[list[PlayEvent], list[PlayEvent]]:
    """Return the plays before and after the split, each in order of time; ties are ordered by event_id."""
    ordered = sorted(plays, key=lambda play: (play.played_at, play.event_id))
    split_at = int(len(ordered) * train_share)
    return ordered[:split_at], ordered[split_at:]


def has_times(plays: Sequence[PlayEvent]) -> bool:
    """Return whether the plays have more than one time: some histories are counts without dates."""
    return len({play.played_at for play in plays}) > 1


def pair_split(plays: Sequence[PlayEvent], fold: int = 0) -> tuple[list[PlayEvent], list[PlayEvent]]:
    """Return the plays split by user and track: all plays of a pair on one side, by a hash of the two.

    The pairs are in five folds; those of `fold` are the second part, about a fifth.
    """
    before: list[PlayEvent] = []
    after: list[PlayEvent] = []
    for play in plays:
        digest = hashlib.blake2b(f"{play.user_id}\n{play.track_id}".encode(), digest_size=4).digest()
        is_before = int.from_bytes(digest) % N_FOLDS != fold
        (before if is_before else after).append(play)
    return before, after
