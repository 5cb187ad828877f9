"""Who is in a holdout, and which tracks count."""

from dataclasses import replace
from datetime import timedelta

from jobs.recommender import holdout
from tests.unit.recommender.conftest import NOW, make_event

INDEX_OF = {"a": 0, "b": 1, "c": 2}


def play(user_id, event, track_id, minute=0):
    return replace(make_event(event, track_id, after=timedelta(minutes=minute)), user_id=user_id)


def test_holdout_has_users_with_a_new_positive_track():
    before = [play("ann", "started", "a"), play("ben", "finished", "b"), play("eve", "finished", "x")]
    after = [
        play("ann", "liked", "b"),
        play("ann", "finished", "a"),
        play("ann", "skipped", "c"),
        play("ben", "finished", "b"),
        play("eve", "finished", "a"),
        play("new", "finished", "a"),
    ]
    found = holdout.build_holdout(INDEX_OF, before, after)
    assert [profile.user_id for profile in found.profiles] == ["ann"]
    assert found.before == [{0}] and found.after == [{1}]
    assert [track.track_id for track in found.profiles[0].tracks] == ["a"] and found.profiles[0].at == NOW


def test_holdout_samples_users_evenly():
    users = [f"u{number}" for number in range(6)]
    before = [play(user, "finished", "a") for user in users]
    after = [play(user, "finished", "b") for user in users]
    found = holdout.build_holdout(INDEX_OF, before, after, max_users=3)
    assert [profile.user_id for profile in found.profiles] == ["u0", "u2", "u4"]


def test_listeners_are_counted_once_per_track():
    plays = [play("ann", "finished", "a"), play("ann", "liked", "a"), play("ben", "finished", "a")]
    plays += [play("ben", "started", "b"), play("ben", "finished", "unknown")]
    assert holdout.listener_counts(INDEX_OF, plays).tolist() == [2, 0, 0]
    assert holdout.listener_counts(INDEX_OF, []).tolist() == [0, 0, 0]
