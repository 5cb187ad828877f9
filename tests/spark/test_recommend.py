"""What goes together, of plays whose answer is known; and a hybrid that foretells more than what it is compared with."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.lake.schemas import PLAYS
from jobs.model.embedding import l2_normalize
from jobs.plays import simulator, splits
from jobs.plays.events import PlayEvent
from jobs.recommender import collaborative, item_catalog, offline_evaluation
from jobs.steps import recommend

NOW = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def plays(*heard, event="finished"):
    rows = []
    for number, (user, *tracks) in enumerate(heard):
        for place, track in enumerate(tracks):
            row = dict.fromkeys(PLAYS.names) | {"event_id": f"{number}-{place}-{event}", "user_id": user}
            rows.append(row | {"event": event, "track_id": track, "played_at": NOW, "offset": place})
    return rows


def catalogue(groups: int, each: int, noise: float) -> item_catalog.ItemCatalog:
    """Tracks of groups that lie around one axis each; group n's are n, n + groups, ..."""
    count = groups * each
    genres, ids = np.arange(count) % groups, np.array([f"{number:04d}" for number in range(count)])
    random = np.random.default_rng(5).standard_normal((count, groups))
    return item_catalog.ItemCatalog(
        model_version="1",
        ids=ids,
        titles=ids,
        artists=ids,
        recordings=ids,
        vectors=l2_normalize(np.eye(groups)[genres] + noise * random).astype(np.float32),
        clusters=genres,
        plays=np.zeros(count, dtype=int),
    )


def test_who_has_heard_what_counts_once_and_only_what_was_heard_or_liked(spark):
    rows = plays(("ann", "0000", "0000", "0001"), ("ben", "0000"), ("ann", "0001"))
    rows += plays(("ann", "0002"), event="skipped") + plays(("eve", "0002"), event="liked")
    pairs = recommend.interactions(spark.createDataFrame(rows, PLAYS.spark_schema())).toArrow()
    assert sorted(map(tuple, (row.values() for row in pairs.to_pylist()))) == [
        ("ann", "0000"),
        ("ann", "0001"),
        ("ben", "0000"),
        ("eve", "0002"),
    ]
    tracks = catalogue(3, 2, 0.1)
    found = {
        row["track_id"]: row
        for row in recommend.item_similarity_rows(
            tracks, pairs, collaborative.CollaborativeConfig(content_weight=0.0)
        ).to_pylist()
    }
    assert {track: row["listeners"] for track, row in found.items()} == {"0000": 2, "0001": 1, "0002": 1}
    assert found["0000"]["neighbours"] == ["0001"] and found["0002"]["neighbours"] == []


@pytest.fixture(scope="module")
def figures(spark):
    """What each system foretells of simulated listeners: of many tracks, and of few; two seeds each."""
    worlds = (catalogue(12, 20, 0.15), 40, 5_000), (catalogue(8, 8, 0.15), 40, 3_000)
    found = []
    for tracks, users, events in worlds:
        for seed in (1, 2):
            made = simulator.simulate_plays(
                tracks.ids.tolist(),
                tracks.clusters.tolist(),
                [30.0] * len(tracks.ids),
                users=users,
                events=events,
                seed=seed,
                begin=NOW,
            )
            before, after = splits.temporal_split(list(made))
            found.append(
                offline_evaluation.evaluate_systems(
                    tracks, before, offline_evaluation.build_holdout(tracks.index_of, before, after), spark
                )
            )
    return found


@pytest.mark.parametrize("system", ["content", "als", "popularity"])
def test_the_hybrid_foretells_clearly_more_than(figures, system):
    for metric in ("next_play_recall_at_10", "next_play_ndcg_at_10"):
        hybrid, other = (np.mean([of[name][metric] for of in figures]) for name in ("hybrid", system))
        assert hybrid > 1.03 * other, (metric, hybrid, other)


def test_the_split_is_by_time():
    rows = [
        PlayEvent(
            event_id=str(n),
            user_id="u",
            track_id="t",
            event="finished",
            played_at=NOW + timedelta(minutes=n),
        )
        for n in (3, 1, 2, 0, 4)
    ]
    before, after = splits.temporal_split(rows)
    assert [r.event_id for r in before] == ["0", "1", "2", "3"] and [r.event_id for r in after] == ["4"]
