"""Mixes over a planted catalog: track n is of cluster n % 5 and of artist n // 10."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from jobs.recommender import mixes, profiles
from tests.unit.recommender.conftest import NOW, make_event

DAY = NOW.date()


@pytest.fixture
def listener():
    """Finished tracks of clusters 3 (twice each) and 1; one track of cluster 1 is disliked."""
    profile = profiles.new_profile("anna")
    for track_id in ("003", "013", "023", "003", "013", "023", "001", "011"):
        profiles.add_play(profile, make_event("finished", track_id))
    profiles.add_play(profile, make_event("disliked", "021"))
    return profile


def clusters_of(mix):
    return {int(track_id) % 5 for track_id in mix.track_ids}


def test_cluster_mixes_begin_with_what_is_played_most(catalog, listener):
    found = mixes.cluster_mixes(catalog, listener, day=DAY)
    assert [clusters_of(mix) for mix in found[:2]] == [{3}, {1}]
    assert len(found) == 5  # the clusters without plays follow
    everything = [track_id for mix in found for track_id in mix.track_ids]
    assert len(everything) == len(set(everything)) and "021" not in everything
    assert all(len(mix.track_ids) >= mixes.MIN_LENGTH for mix in found)


def test_mixes_differ_by_day_and_stay_the_same_all_day(catalog, listener):
    today = mixes.cluster_mixes(catalog, listener, day=DAY)
    assert today == mixes.cluster_mixes(catalog, listener, day=DAY)
    assert today[0] != mixes.cluster_mixes(catalog, listener, day=date(2026, 11, 22))[0]


def test_listener_without_plays_has_a_mix_of_each_cluster(catalog):
    found = mixes.cluster_mixes(catalog, profiles.new_profile("new"), day=DAY)
    assert [len(clusters_of(mix)) for mix in found] == [1] * 5


def test_like_clusters_make_one_mix(catalog, listener):
    halves = catalog.clusters + 5 * ((catalog.clusters == 3) & ([int(i) % 2 for i in catalog.ids] == 1))
    found = mixes.cluster_mixes(replace(catalog, clusters=halves), listener, day=DAY)
    assert [clusters_of(mix) for mix in found].count({3}) == 1


def test_week_mix_has_neither_what_was_played_nor_older_tastes(catalog):
    profile = profiles.new_profile("anna")
    for days, track_id in ((30, "001"), (30, "011"), (2, "003"), (2, "013")):
        profiles.add_play(profile, make_event("finished", track_id, after=timedelta(days=-days)))
    mix = mixes.week_mix(catalog, profile, now=NOW)
    assert mix and clusters_of(replace(mix, track_ids=mix.track_ids[:5])) == {3}
    assert not {"003", "013"} & set(mix.track_ids)
    assert mixes.week_mix(catalog, profile, now=NOW + timedelta(days=6)) is None


def test_rediscover_has_favourites_that_were_not_played_for_long(catalog):
    profile = profiles.new_profile("anna")
    old = [f"0{number}0" for number in range(8)]
    for track_id in old:
        profiles.add_play(profile, make_event("liked", track_id, after=-timedelta(days=90)))
    for track_id in ("091", "092"):  # finished once, long ago
        profiles.add_play(profile, make_event("finished", track_id, after=-timedelta(days=90)))
    profiles.add_play(profile, make_event("started", old[0]))  # just now
    profiles.add_play(profile, make_event("disliked", old[1], after=-timedelta(days=80)))
    mix = mixes.rediscover_mix(catalog, profile, now=NOW)
    assert mix and sorted(mix.track_ids) == old[2:]


def test_new_mix_is_of_new_tracks_the_likeliest_first(catalog, listener):
    new_ids = [f"{number:03d}" for number in range(50, 100)] + ["gone", "003"]
    mix = mixes.new_mix(catalog, listener, new_ids=new_ids, now=NOW)
    assert mix and set(mix.track_ids) <= set(new_ids) - {"gone", "003"}
    assert clusters_of(replace(mix, track_ids=mix.track_ids[:6])) == {3}
    assert mixes.new_mix(catalog, listener, new_ids=new_ids[:4], now=NOW) is None
