"""Likes and history in the lake."""

import pytest

from serving.db.database import Database
from serving.db.feedback import FeedbackStore


@pytest.fixture
def listeners(tmp_path):
    ledger = Database(tmp_path)
    yield FeedbackStore(ledger)
    ledger.close()


def test_likes_are_told_once_and_again_when_they_change(listeners):
    listeners.rate("anna", "1", True)
    listeners.rate("anna", "2", False)
    waiting = listeners.pending()
    assert {(row["_id"], row["liked"]) for row in waiting} == {("anna:1", True), ("anna:2", False)}
    listeners.rate("anna", "1", None)  # while MongoDB was being told
    listeners.mark_synced(waiting)
    assert [(row["_id"], row["liked"]) for row in listeners.pending()] == [("anna:1", None)]
    assert listeners.ratings("anna") == {"2": False} and listeners.ratings("bert") == {}
    listeners.mark_all_pending()
    assert len(listeners.pending()) == 2


def play(event_id, event, second, track="1", name="anna"):
    at = f"2026-11-21T10:00:{second:02d}+00:00"
    return {
        **{"event_id": event_id, "user_id": name, "track_id": track, "event": event},
        **{"position_s": float(second), "played_at": at},
    }


def test_history_says_what_became_of_each_start(listeners):
    for event in (
        play("a", "started", 1),
        play("b", "finished", 5),
        play("c", "started", 6, "2"),
        play("a", "started", 1),
    ):
        listeners.record_play(event)
    rows = listeners.history("anna", most=10)
    assert [(row["track_id"], row["event"]) for row in rows] == [("2", "started"), ("1", "finished")]
    assert listeners.history("bert", most=10) == []
    assert listeners.play_counts("anna") == {"1": 1}
