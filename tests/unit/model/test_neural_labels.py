"""Folds by artist, and labels from the plays before the temporal split."""

from datetime import UTC, datetime, timedelta

from jobs.lake.storage import Lake
from jobs.model import neural_labels
from jobs.model.neural_labels import TEST, VALIDATION, TrackLabels, cv_fold
from jobs.plays import splits
from jobs.plays.events import PlayEvent
from tests import synthetic_features


def test_artist_has_one_fold_and_folds_have_their_shares():
    folds = [cv_fold(f"artist {i}") for i in range(1000)]
    assert cv_fold("artist 1") == folds[1]
    assert 150 < folds.count(TEST) < 250 and 60 < folds.count(VALIDATION) < 140


def test_labels_of_plays_are_sessions_before_the_split(tmp_path):
    """Forty plays, then ten more; a quarter of them from a player that sends no session."""
    lake = Lake(tmp_path)
    synthetic_features.write(lake)
    begin = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
    plays = [
        PlayEvent(
            event_id=f"{n:02d}",
            user_id="u",
            track_id=f"{n % 40:03d}",
            event=("finished", "liked")[n % 2],
            played_at=begin + timedelta(minutes=n),
            session_id="later" if n >= 40 else "s" if n % 4 else None,
        )
        for n in range(50)
    ]
    before, _ = splits.temporal_split(plays)
    ids = [f"{n:03d}" for n in range(40)]
    assert neural_labels.track_labels(lake, ids, before) == {
        f"{n:03d}": TrackLabels(cv_fold(f"artist {n}"), ("s" if n % 4 else "u 2026-11-01",))
        for n in range(40)
    }
