"""Training labels from plays: those before the temporal split, so that `evaluate` has unseen ones."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.cli import parse
from jobs.lake.storage import Lake
from jobs.model import neural
from jobs.model.neural_labels import TrackLabels, cv_fold
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay, PlayEvent
from jobs.steps import embed
from tests import synthetic_features


def test_network_is_trained_on_plays_before_the_split(tmp_path, monkeypatch):
    """Forty plays, then ten more; a quarter of them from a player that sends no session."""
    lake = Lake(tmp_path)
    synthetic_features.write(lake)
    begin = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
    plays = []
    for n in range(50):
        play = PlayEvent(
            event_id=f"{n:02d}",
            user_id="u",
            track_id=f"{n % 40:03d}",
            event=("finished", "liked")[n % 2],
            played_at=begin + timedelta(minutes=n),
            session_id="later" if n >= 40 else "s" if n % 4 else None,
        )
        plays.append(LoggedPlay(play, "o", n))
    play_log.play_table(lake).append("0", play_log.to_arrow(plays))
    play_log.compact(lake)
    trained_labels = {}

    def interrupted_train(projected, ids, labels, config):
        trained_labels.update(labels)
        raise KeyboardInterrupt

    monkeypatch.setattr(neural, "train", interrupted_train)
    with pytest.raises(KeyboardInterrupt):
        embed.main(
            parse(["embed", "--recipe", "neural", "--neural-labels", "plays", "--lake", str(tmp_path)])
        )
    assert trained_labels == {
        f"{n:03d}": TrackLabels(cv_fold(f"artist {n}"), ("s" if n % 4 else "u 2026-11-01",))
        for n in range(40)
    }
