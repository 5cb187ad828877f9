"""Likes and history in the accounts database."""

import pytest

from serving.db.database import Database
from serving.db.feedback import FeedbackStore


@pytest.fixture
def feedback(tmp_path):
    database = Database(tmp_path)
    yield FeedbackStore(database)
    database.close()


def test_rating_is_pending_until_synced_and_again_after_a_change(feedback):
    feedback.rate("anna", "1", True)
    feedback.rate("anna", "2", False)
    waiting = feedback.pending()
    assert {(row["_id"], row["liked"]) for row in waiting} == {("anna:1", True), ("anna:2", False)}
    feedback.rate("anna", "1", None)  # while MongoDB was being updated
    feedback.mark_synced(waiting)
    assert [(row["_id"], row["liked"]) for row in feedback.pending()] == [("anna:1", None)]
    assert feedback.ratings("anna") == {"2": False} and feedback.ratings("bert") == {}
    feedback.mark_all_pending()
    assert len(feedback.pending()) == 2


def play(event_id, event, second, track="1", name="anna"):
    at = f"2026-11-21T10:00:{second:02d}+00:00"
    return {
        **{"event_id": event_id, "user_id": name, "track_id": track, "event": event},
        **{"position_s": float(second), "played_at": at},
    }


def test_history_has_how_each_start_ended(feedback):
    for event in (
        play("a", "started", 1),
        play("b", "finished", 5),
        play("c", "started", 6, "2"),
        play("a", "started", 1),
    ):
        feedback.record_play(event)
    rows = feedback.history("anna", limit=10)
    assert [(row["track_id"], row["event"]) for row in rows] == [("2", "started"), ("1", "finished")]
    assert feedback.history("bert", limit=10) == []
    assert feedback.play_counts("anna") == {"1": 1}


def test_block_is_undone_by_unblock(feedback):
    feedback.block("anna", "Ada")
    assert feedback.blocked("anna") == ["Ada"] and feedback.blocked("bert") == []
    feedback.unblock("anna", "Ada")
    assert feedback.blocked("anna") == []


def test_history_is_pruned_to_its_latest_plays(feedback, monkeypatch):
    monkeypatch.setattr("serving.db.feedback._MAX_HISTORY", 10)
    for number in range(100):
        at = f"2026-11-21T10:{number // 60:02d}:{number % 60:02d}+00:00"
        feedback.record_play({**play(f"e{number:03d}", "finished", 0, str(number)), "played_at": at})
    # The hundredth row prunes: the tenth newest and what is newer stays.
    assert [row["track_id"] for row in feedback.history("anna", limit=500)] == [
        str(number) for number in range(99, 88, -1)
    ]
