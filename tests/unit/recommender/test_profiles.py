"""What plays make of a profile: weights, fading, the order of arrival, repetitions."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.recommender import profiles

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def play(event, track="t", *, after=timedelta(), position=None, duration=30.0):
    return {
        "event": event,
        "track_id": track,
        "played_at": NOW + after,
        "position_s": position,
        "duration_s": duration,
    }


def profile(*plays):
    made = profiles.new_profile("u")
    for offset, each in enumerate(plays):
        assert profiles.apply(made, each, "plays-0", offset)
    return made


def test_what_is_liked_counts_more_than_what_is_finished_and_so_on():
    skipped = [profiles.event_weight(play("skipped", position=p)) for p in (2.0, 20.0, 29.0)]
    assert skipped[0] < 0 == skipped[1] < skipped[2]
    order = [profiles.event_weight(play(event)) for event in ("disliked", "started", "finished", "liked")]
    assert order == sorted(order) and order[0] < skipped[0]
    assert profiles.event_weight(play("skipped", position=None)) < 0  # nobody says how far: nothing was heard


def test_weights_halve_with_their_half_lives():
    made = profile(play("finished"))
    track = made["tracks"][0]
    later = NOW + profiles.SHORT_HALF_LIFE
    assert profiles.decayed(track["weight"], track["at"], later, profiles.SHORT_HALF_LIFE) == pytest.approx(
        0.5
    )
    assert profiles.decayed(
        track["long"], track["at"], NOW + 2 * profiles.LONG_HALF_LIFE, profiles.LONG_HALF_LIFE
    ) == pytest.approx(0.25)


def test_a_late_play_counts_what_it_would_have_counted_in_time():
    early, late = play("finished"), play("liked", after=timedelta(hours=5))
    in_time, out_of_order = profile(early, late)["tracks"][0], profile(late, early)["tracks"][0]
    assert in_time["at"] == out_of_order["at"] == NOW + timedelta(hours=5)
    for name in ("weight", "long"):
        assert in_time[name] == pytest.approx(out_of_order[name])
    assert in_time["weight"] == pytest.approx(3 + 0.5 ** (5 / 6))


def test_what_was_said_last_of_a_track_holds_whatever_came_last():
    liked, disliked = play("liked"), play("disliked", after=timedelta(minutes=1))
    assert profile(liked, disliked)["tracks"][0]["liked"] is False
    assert profile(disliked, liked)["tracks"][0]["liked"] is False


@pytest.mark.parametrize("before", [["liked"], ["disliked"], ["liked", "disliked", "liked"]])
def test_what_is_taken_back_is_as_if_it_had_never_been_said(before):
    said = [play(event, after=timedelta(minutes=number)) for number, event in enumerate([*before, "unrated"])]
    heard = play("finished", after=timedelta(hours=1))
    expected = profile(heard)["tracks"][0]
    for plays in ([*said, heard], [*reversed(said), heard], [heard, *said]):
        track = profile(*plays)["tracks"][0]
        assert track["liked"] is None and track["felt_at"] == said[-1]["played_at"]
        for name in ("weight", "long"):
            assert track[name] == pytest.approx(expected[name])
        (told,) = profiles.feedback(profile(*plays), "t")
        assert told["liked"] is None and told["at"] == track["felt_at"]  # MongoDB is told so too


def test_only_the_last_of_what_was_said_weighs():
    changed = profile(play("disliked"), play("liked", after=timedelta(minutes=5)))["tracks"][0]
    assert changed["liked"] and changed["weight"] == pytest.approx(
        profile(play("liked"))["tracks"][0]["weight"]
    )


def test_a_document_gives_the_profile_back_also_one_of_before_and_of_nobody():
    made = profile(play("finished"), play("liked", "s"), play("skipped", "r", position=1.0))
    document = profiles.to_document(made)
    assert document["tracks"]["track_id"] == ["t", "s", "r"] and document["tracks"]["liked"] == [
        None,
        True,
        None,
    ]
    assert profiles.from_document(document) == made == profiles.from_document(made)
    nobody = profiles.new_profile("u")
    assert profiles.from_document(profiles.to_document(nobody)) == nobody


def test_an_offset_is_applied_once():
    made = profile(play("finished"), play("finished", "s"))
    before = repr(made)
    assert not profiles.apply(made, play("finished"), "plays-0", 0)
    assert not profiles.apply(made, play("finished"), "plays-0", 1)
    assert repr(made) == before
    assert profiles.apply(made, play("finished"), "plays-1", 0)


def test_a_profile_does_not_grow_and_keeps_what_is_liked():
    plays = [play("liked", "liked")]
    plays += [
        play("finished", f"t{n:03d}", after=timedelta(minutes=n)) for n in range(profiles.MAX_TRACKS + 50)
    ]
    made = profile(*plays)
    held = {track["track_id"] for track in made["tracks"]}
    assert len(held) == profiles.MAX_TRACKS
    assert {"liked", f"t{profiles.MAX_TRACKS + 49:03d}"} <= held and "t000" not in held
