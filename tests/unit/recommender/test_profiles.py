"""How a profile follows from plays: weights, decay, order of arrival, duplicates."""

from datetime import timedelta

import pytest

from jobs.recommender import profiles
from tests.unit.recommender.conftest import NOW, make_event


def profile_of(*plays):
    profile = profiles.new_profile("u")
    for offset, play in enumerate(plays):
        assert profiles.apply(profile, play, "plays-0", offset)
    return profile


def track_of(*plays):
    return profile_of(*plays).tracks[0]


def test_like_counts_more_than_finish_and_so_on():
    skips = [
        profiles.event_weight(make_event("skipped", position_s=position)) for position in (2.0, 20.0, 29.0)
    ]
    assert skips[0] < 0 == skips[1] < skips[2]
    events = ("disliked", "started", "finished", "liked")
    weights = [profiles.event_weight(make_event(event)) for event in events]
    assert weights == sorted(weights) and weights[0] < skips[0]


def test_skip_without_position_counts_as_early():
    assert profiles.event_weight(make_event("skipped", position_s=None)) < 0


def test_weights_halve_with_their_half_lives():
    track = track_of(make_event("finished"))
    short = profiles.SHORT_HALF_LIFE
    assert profiles.decayed(track.short_term, track.at, NOW + short, short) == pytest.approx(0.5)
    long = profiles.LONG_HALF_LIFE
    assert profiles.decayed(track.long_term, track.at, NOW + 2 * long, long) == pytest.approx(0.25)


def test_late_play_counts_as_if_it_came_in_time():
    early, late = make_event("finished"), make_event("liked", after=timedelta(hours=5))
    in_time, out_of_order = track_of(early, late), track_of(late, early)
    assert in_time.at == out_of_order.at == NOW + timedelta(hours=5)
    assert in_time.short_term == pytest.approx(out_of_order.short_term)
    assert in_time.long_term == pytest.approx(out_of_order.long_term)
    assert in_time.short_term == pytest.approx(3 + 0.5 ** (5 / 6))


def test_newest_rating_holds_in_any_order_of_arrival():
    liked, disliked = make_event("liked"), make_event("disliked", after=timedelta(minutes=1))
    assert track_of(liked, disliked).liked is False
    assert track_of(disliked, liked).liked is False


@pytest.mark.parametrize("before", [["liked"], ["disliked"], ["liked", "disliked", "liked"]])
def test_taking_a_rating_back_removes_its_weight(before):
    ratings = [
        make_event(event, after=timedelta(minutes=number))
        for number, event in enumerate([*before, "unrated"])
    ]
    finished = make_event("finished", after=timedelta(hours=1))
    expected = track_of(finished)
    for plays in ([*ratings, finished], [*reversed(ratings), finished], [finished, *ratings]):
        track = track_of(*plays)
        assert track.liked is None and track.rated_at == ratings[-1].played_at
        assert track.short_term == pytest.approx(expected.short_term)
        assert track.long_term == pytest.approx(expected.long_term)
        (document,) = profiles.feedback(profile_of(*plays), "t")
        assert document["liked"] is None and document["at"] == track.rated_at


def test_only_the_newest_rating_weighs():
    changed = track_of(make_event("disliked"), make_event("liked", after=timedelta(minutes=5)))
    assert changed.liked
    assert changed.short_term == pytest.approx(track_of(make_event("liked")).short_term)


def test_document_gives_the_profile_back():
    profile = profile_of(
        make_event("finished"), make_event("liked", "s"), make_event("skipped", "r", position_s=1.0)
    )
    document = profiles.to_document(profile)
    assert document["tracks"]["track_id"] == ["t", "s", "r"]
    assert document["tracks"]["liked"] == [None, True, None]
    assert profiles.from_document(document) == profile


def test_empty_profile_has_a_document():
    empty = profiles.new_profile("u")
    assert profiles.from_document(profiles.to_document(empty)) == empty
    assert set(profiles.to_document(empty)["tracks"]) == set(
        profiles.to_document(profile_of(make_event("finished")))["tracks"]
    )


def test_offset_is_applied_once():
    profile = profile_of(make_event("finished"), make_event("finished", "s"))
    before = repr(profile)
    assert not profiles.apply(profile, make_event("finished"), "plays-0", 0)
    assert not profiles.apply(profile, make_event("finished"), "plays-0", 1)
    assert repr(profile) == before
    assert profiles.apply(profile, make_event("finished"), "plays-1", 0)


def test_profile_is_limited_and_keeps_rated_tracks():
    n_plays = profiles.MAX_TRACKS + 50
    plays = [make_event("liked", "liked")]
    plays += [
        make_event("finished", f"t{number:03d}", after=timedelta(minutes=number)) for number in range(n_plays)
    ]
    track_ids = {track.track_id for track in profile_of(*plays).tracks}
    assert profiles.MAX_TRACKS - profiles._DROPPED < len(track_ids) <= profiles.MAX_TRACKS
    assert {"liked", f"t{n_plays - 1:03d}"} <= track_ids and "t000" not in track_ids
