"""Labels and cross-validation folds that the `neural` recipe is trained with.

Tracks of one artist are in one fold: a fifth of the artists is held out for `evaluate`, a tenth decides when
to stop. The plays that `evaluate` holds out are not trained on either.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.errors import InputError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.plays.events import PlayEvent

# Labelled tracks without which nothing can be trained.
MIN_TRACKS = 20

# Folds of `cv_fold`.
TRAIN = "train"
VALIDATION = "validation"
TEST = "test"


@dataclass(frozen=True)
class TrackLabels:
    """A track's cross-validation fold, and its sorted labels.

    Two tracks that share one are positives of each other.
    """

    fold: str
    names: tuple[str, ...]


def track_labels(
    lake: Lake, track_ids: Iterable[str], plays: Iterable[PlayEvent] | None = None
) -> dict[str, TrackLabels]:
    """Return the labels of every track that has any: its genre, or with `plays` its sessions.

    A session counts where the track was finished or liked; if the player does not send sessions, it is the
    user's day. Raises InputError if too few tracks have labels.
    """
    names = _genre_names(lake) if plays is None else _session_names(plays)
    folds = cv_folds(lake)
    labels = {}
    for track_id in sorted(set(track_ids)):
        if track_id in names and track_id in folds:
            labels[track_id] = TrackLabels(folds[track_id], tuple(sorted(names[track_id])))
    if len(labels) < MIN_TRACKS:
        kind = "genre" if plays is None else "plays"
        raise InputError(
            f"--recipe neural: expected {kind} of at least {MIN_TRACKS} tracks to train on, "
            f"found {len(labels)}"
        )
    return labels


def _genre_names(lake: Lake) -> dict[str, set[str]]:
    rows = lake.iter_rows(TRACKS, "track_id", "genre")
    return {row["track_id"]: {row["genre"]} for row in rows if row["genre"]}


def _session_names(plays: Iterable[PlayEvent]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for play in plays:
        if play.event in ("finished", "liked"):
            session = play.session_id or f"{play.user_id} {play.played_at:%Y-%m-%d}"
            names.setdefault(play.track_id, set()).add(session)
    return names


def cv_folds(lake: Lake) -> dict[str, str]:
    """Return the fold of every track of TRACKS: by its artist, or by its id where no artist is known."""
    rows = lake.iter_rows(TRACKS, "track_id", "artist")
    return {row["track_id"]: cv_fold(row["artist"] or row["track_id"]) for row in rows}


def cv_fold(artist: str) -> str:
    """Return the fold of an artist's tracks: TEST (a fifth of the artists), VALIDATION (a tenth) or TRAIN."""
    number = hashlib.sha256(artist.encode()).digest()[0] % 10
    if number < 2:
        return TEST
    return VALIDATION if number == 2 else TRAIN
