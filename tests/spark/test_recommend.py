"""What goes together, of plays whose answer is known; and a hybrid that foretells more than what it is compared with."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs import foretell, ranking, simulate
from jobs.embedding import unit
from jobs.recommend import foretold, together
from jobs.tables import PLAYS

NOW = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


def plays(*sessions, event="finished"):
    rows = []
    for number, (user, *tracks) in enumerate(sessions):
        for place, track in enumerate(tracks):
            row = dict.fromkeys(PLAYS.names) | {
                "event_id": f"{number}-{place}-{event}",
                "user_id": user,
                "event": event,
            }
            rows.append(row | {"track_id": track, "played_at": NOW, "session_id": f"s{number}", "offset": place})
    return rows


def test_what_is_played_in_one_session_goes_together(spark):
    rows = plays(("ann", "a", "b", "c"), ("ben", "a", "b"), ("eve", "a", "d"), ("eve", "a", "b"), ("eve", "e"))
    rows += plays(("ann", "a", "z"), ("ben", "a", "z"), event="skipped")
    found = {row["track_id"]: row for row in together(spark.createDataFrame(rows, PLAYS.spark_schema())).collect()}
    assert {track: row["listeners"] for track, row in found.items()} == {"a": 3, "b": 3, "c": 1, "d": 1, "e": 1}
    # a in four sittings, b in three, both in three of them: (3 - 1) / root(4 * 3). What happened once may be chance.
    assert found["a"]["others"] == ["b"] and found["a"]["strengths"] == [pytest.approx(2 / np.sqrt(12))]
    assert found["b"]["others"] == ["a"] and found["e"]["others"] == found["c"]["others"] == []


def test_the_hybrid_foretells_more_than_popularity_and_als(spark):
    groups, each = 12, 40
    rng = np.random.default_rng(5)
    genres = np.arange(groups * each) % groups
    ids = [f"{number:04d}" for number in range(groups * each)]
    catalogue = ranking.Catalogue(
        model_version="1",
        ids=np.array(ids),
        titles=np.array(ids),
        artists=np.array(ids),
        recordings=np.array(ids),
        vectors=unit(np.eye(groups)[genres] + 0.15 * rng.standard_normal((len(ids), groups))).astype(np.float32),
        clusters=genres,
        plays=np.zeros(len(ids), dtype=int),
    )
    made = simulate.plays(ids, genres.tolist(), [30.0] * len(ids), users=60, events=9_000, seed=1, begin=NOW)
    blend, figures = foretold(spark, catalogue, *foretell.split(list(made)))
    recall = {name: of["plays_recall_at_10"] for name, of in figures.items()}
    assert recall["hybrid"] > max(recall["popularity"], recall["als"])
    assert figures["hybrid"]["plays_ndcg_at_10"] > max(figures[n]["plays_ndcg_at_10"] for n in ("popularity", "als"))
    assert blend.together > 0 and recall["sound"] > recall["popularity"]


def test_the_split_is_by_time():
    rows = [{"played_at": NOW + timedelta(minutes=n), "event_id": str(n)} for n in (3, 1, 2, 0, 4)]
    before, after = foretell.split(rows)
    assert [r["event_id"] for r in before] == ["0", "1", "2", "3"] and [r["event_id"] for r in after] == ["4"]
