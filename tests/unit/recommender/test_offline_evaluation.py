"""Metrics of all systems on a holdout: the first evening, and lists from scores."""

from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.plays import splits
from jobs.plays.events import PlayEvent
from jobs.recommender import offline_evaluation
from jobs.recommender.holdout import build_holdout
from jobs.recommender.item_catalog import ItemCatalog

N_TRACKS = 40
BEGIN = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def test_without_positive_plays_only_content_is_evaluated():
    """Plays are there, and none of them finished or liked a track before the split."""
    ids = np.array([f"{number:02d}" for number in range(N_TRACKS)])
    groups = np.arange(N_TRACKS) % 4
    catalog = ItemCatalog(
        model_version="1",
        ids=ids,
        titles=ids,
        artists=ids,
        recordings=ids,
        vectors=np.eye(4, dtype=np.float32)[groups],
        clusters=groups,
        plays=np.zeros(N_TRACKS, dtype=int),
    )
    events = [(0, "started"), (4, "started"), (8, "started"), (12, "started"), (16, "finished")]
    plays = [
        PlayEvent(
            event_id=f"{number:02d}",
            user_id="u",
            track_id=ids[track],
            event=event,
            played_at=BEGIN + timedelta(minutes=number),
            duration_s=30.0,
        )
        for number, (track, event) in enumerate(events)
    ]
    before, after = splits.temporal_split(plays)
    holdout = build_holdout(catalog.index_of, before, after)
    # ALS has nothing to learn, so no Spark is needed.
    metrics = offline_evaluation.evaluate_systems(catalog, before, holdout, None)
    assert list(metrics) == ["hybrid", "content", "collaborative", "als", "popularity"]
    assert metrics["content"]["next_play_recall_at_10"] == 1
    assert metrics["popularity"]["next_play_recall_at_10"] == 0


def test_top_k_leaves_out_known_tracks():
    shared = np.array([3.0, 1.0, 2.0])
    ranked = offline_evaluation.top_k(shared, [{0}, set()])
    assert ranked[0].tolist() == [2, 1] + [-1] * 8 and ranked[1].tolist() == [0, 2, 1] + [-1] * 7
    per_user = np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    assert offline_evaluation.top_k(per_user, [set(), {2}])[:, 0].tolist() == [0, 1]
