"""The first evening: plays are there, and none of them was finished or liked before the split."""

from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.plays import splits
from jobs.recommender import item_catalog, offline_evaluation

TRACKS = 40


def test_where_nothing_was_heard_yet_the_sound_is_judged_alone():
    ids = np.array([f"{number:02d}" for number in range(TRACKS)])
    groups, nobody = np.arange(TRACKS) % 4, np.zeros(TRACKS, dtype=int)
    vectors = np.eye(4, dtype=np.float32)[groups]
    catalogue = item_catalog.ItemCatalog(
        "1", ids, ids, ids, ids, vectors=vectors, clusters=groups, plays=nobody
    )
    begin = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
    plays = [
        {"event_id": f"{n:02d}", "user_id": "u", "track_id": ids[track], "event": event, "position_s": None}
        | {"played_at": begin + timedelta(minutes=n), "session_id": None, "duration_s": 30.0}
        for n, (track, event) in enumerate([*((n, "started") for n in (0, 4, 8, 12)), (16, "finished")])
    ]
    before, after = splits.temporal_split(plays)
    question = offline_evaluation.build_holdout(catalogue.index_of, before, after)
    figures = offline_evaluation.evaluate_systems(
        catalogue, before, question, None
    )  # Spark has nothing to learn
    assert figures["sound"]["plays_recall_at_10"] == 1 > figures["popularity"]["plays_recall_at_10"] == 0
