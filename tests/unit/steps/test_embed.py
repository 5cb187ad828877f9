"""Training labels from plays: those before the temporal split, so that `evaluate` has unseen ones."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from jobs.cli import parse
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import neural, training_data
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


@pytest.mark.parametrize(
    ("version", "n_embedded", "recipe"),
    [
        ("fma518+2", 4, "musicnn"),
        ("fma518+2", 2, "musicnn"),
        ("fma518+2", 1, "timbre"),
        ("fma518+1", 4, "timbre"),
    ],
)
def test_default_recipe_is_what_most_tracks_have(tmp_path, version, n_embedded, recipe):
    lake = Lake(tmp_path)
    tracks = [{"track_id": str(number), "content_hash": "h"} for number in range(4)]
    features = [{**track, "feature_version": version} for track in tracks]
    for row in features[:n_embedded]:
        row["musicnn_001"] = 0.25
    for table, rows in ((TRACKS, tracks), (FEATURES, features)):
        lake.commit_arrow(table, pa.Table.from_pylist(rows, schema=table.arrow_schema()).to_batches())
    assert embed.default_recipe(lake, training_data.training_set(lake, None)) == recipe
