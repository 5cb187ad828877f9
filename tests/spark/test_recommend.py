"""Interactions and item similarities of plays with a known answer.

And a hybrid that beats what it is compared with.
"""

from datetime import UTC, datetime

import numpy as np
import pytest

from jobs.lake.schemas import PLAYS
from jobs.model.embedding import l2_normalize
from jobs.plays import simulator, splits
from jobs.recommender import offline_evaluation, tuning
from jobs.recommender.collaborative import CollaborativeConfig
from jobs.recommender.holdout import build_holdout
from jobs.recommender.item_catalog import ItemCatalog
from jobs.steps import recommend

NOW = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def play_rows(*tracks_by_user, event="finished"):
    """Return rows of PLAYS: each argument is a user and the tracks of the user's events."""
    rows = []
    for number, (user, *tracks) in enumerate(tracks_by_user):
        for offset, track in enumerate(tracks):
            row = dict.fromkeys(PLAYS.names)
            row |= {"event_id": f"{number}-{offset}-{event}", "user_id": user, "track_id": track}
            row |= {"event": event, "played_at": NOW, "offset": offset}
            rows.append(row)
    return rows


def planted_catalog(n_groups: int, tracks_per_group: int, noise: float) -> ItemCatalog:
    """Return tracks of groups that lie around one axis each; group n's are n, n + n_groups, ..."""
    n_tracks = n_groups * tracks_per_group
    groups = np.arange(n_tracks) % n_groups
    ids = np.array([f"{number:04d}" for number in range(n_tracks)])
    random = np.random.default_rng(5).standard_normal((n_tracks, n_groups))
    return ItemCatalog(
        model_version="1",
        ids=ids,
        titles=ids,
        artists=ids,
        recordings=ids,
        vectors=l2_normalize(np.eye(n_groups)[groups] + noise * random).astype(np.float32),
        clusters=groups,
        plays=np.zeros(n_tracks, dtype=int),
    )


def test_interactions_are_finished_or_liked_with_their_plays(spark):
    rows = play_rows(("ann", "0000", "0000", "0001"), ("ben", "0000"), ("ann", "0001"))
    rows += play_rows(("ann", "0002"), event="skipped") + play_rows(("eve", "0002"), event="liked")
    pairs = recommend.interactions(spark.createDataFrame(rows, PLAYS.spark_schema())).toArrow()
    assert sorted(map(tuple, (row.values() for row in pairs.to_pylist()))) == [
        ("ann", "0000", 2),
        ("ann", "0001", 2),
        ("ben", "0000", 1),
        ("eve", "0002", 1),
    ]
    selected = tuning.SelectedWeights(config=CollaborativeConfig(), weights=tuning.DEFAULT_WEIGHTS)
    table = recommend.item_similarity_rows(planted_catalog(3, 2, 0.1), pairs, selected)
    by_track = {row["track_id"]: row for row in table.to_pylist()}
    listeners = {track_id: row["listeners"] for track_id, row in by_track.items()}
    assert listeners == {"0000": 2, "0001": 1, "0002": 1}
    assert by_track["0000"]["neighbours"] == ["0001"] and by_track["0002"]["neighbours"] == []
    assert {len(row["factors"]) for row in by_track.values()} == {3}  # as many as users


@pytest.fixture(scope="module")
def evaluations(spark):
    """Metrics of every system on simulated users: of many tracks, and of few; two seeds each."""
    evaluations = []
    for catalog, n_events in ((planted_catalog(12, 20, 0.15), 5_000), (planted_catalog(8, 8, 0.15), 3_000)):
        for seed in (1, 2):
            plays = simulator.simulate_plays(
                catalog.ids.tolist(),
                catalog.clusters.tolist(),
                [30.0] * len(catalog.ids),
                users=40,
                events=n_events,
                seed=seed,
                begin=NOW,
            )
            before, after = splits.temporal_split(list(plays))
            holdout = build_holdout(catalog.index_of, before, after)
            evaluations.append(offline_evaluation.evaluate_systems(catalog, before, holdout, spark))
    return evaluations


@pytest.mark.parametrize("system", ["content", "als", "popularity"])
@pytest.mark.parametrize("metric", ["next_play_recall_at_10", "next_play_ndcg_at_10"])
def test_hybrid_predicts_next_plays_better_than(evaluations, system, metric):
    hybrid = np.mean([metrics["hybrid"][metric] for metrics in evaluations])
    other = np.mean([metrics[system][metric] for metrics in evaluations])
    assert hybrid > 1.03 * other
