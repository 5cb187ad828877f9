"""Recommendations over a planted item catalog: groups of tracks whose directions are far apart."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from jobs.audio.tags import UNKNOWN_ARTIST
from jobs.recommender import profiles, ranking
from jobs.recommender.item_catalog import RankingWeights
from tests.unit.recommender.conftest import make_event, to_matrix

N_GROUPS = 5


def ids_of(items):
    return [item.track_id for item in items]


def groups_of(items):
    return [int(item.track_id) % N_GROUPS for item in items]


def test_default_list_takes_every_group_in_turn(catalog):
    items = ranking.default_list(catalog, 10)
    assert sorted(groups_of(items)[:N_GROUPS]) == list(range(N_GROUPS))
    assert [item.rank for item in items] == list(range(1, 11))
    one_popular = replace(catalog, plays=np.where(np.arange(100) == 42, 9, 0))
    assert "042" in ids_of(ranking.default_list(one_popular, N_GROUPS))


def test_finished_track_recommends_its_group_with_reason(catalog, make_profile):
    profile = make_profile(("003", "finished"), ("003", "finished"), ("008", "started"))
    items = ranking.recommend(catalog, profile, count=9)
    assert set(groups_of(items)) == {3}
    assert items[0].reason == "sounds like title 3, which you finished twice"
    scores = [item.score for item in items]
    assert scores == sorted(scores, reverse=True)


def test_skip_lowers_its_group_and_like_raises_it(catalog, make_profile):
    profile = make_profile(("001", "finished"), ("002", "liked"), ("001", "skipped"))
    assert set(groups_of(ranking.recommend(catalog, profile, count=9))) == {2}


def test_disliked_playing_and_excluded_are_left_out(catalog, make_profile):
    profile = make_profile(("003", "finished"), ("008", "disliked"), ("013", "started"))
    items = ranking.recommend(catalog, profile, count=60, exclude={"018"})
    assert not {"008", "013", "018"} & set(ids_of(items))
    items = ranking.recommend(catalog, make_profile(("008", "disliked")), count=90)
    assert "008" not in ids_of(items)


def test_list_has_recording_once_and_artist_twice_in_ten(catalog, make_profile):
    recordings = catalog.recordings.copy()
    recordings[[8, 13, 18]] = "one"
    catalog = replace(catalog, recordings=recordings)
    items = ranking.recommend(catalog, make_profile(("003", "finished")), count=40)
    assert len({"008", "013", "018"} & set(ids_of(items))) == 1
    artists = [int(item.track_id) // 10 for item in items]
    for start in range(len(artists) - 9):
        assert max(np.bincount(artists[start : start + 10])) <= 2


def test_recently_played_tracks_are_ranked_lower(catalog, make_profile):
    plays = [(f"{number:03d}", "finished") for number in (3, 8, 13)]
    items = ranking.recommend(catalog, make_profile(*plays, ("018", "started")), count=15)
    assert not {"003", "008", "013"} & set(ids_of(items[:8]))


def test_one_item_in_ten_from_rank_15_is_exploration(catalog, make_profile):
    items = ranking.recommend(catalog, make_profile(("003", "finished")), count=30)
    explored = [item for item in items if item.reason.startswith("something else")]
    assert [item.rank for item in explored] == [15, 25] and 3 not in groups_of(explored)


def test_similar_items_lead_with_collaborative_weight(catalog, make_profile):
    similar_items = to_matrix({3: ([1, 2], [0.9, 0.8])}, 100)
    weights = RankingWeights(content=0.1, collaborative=1.0)
    profile = make_profile(("003", "finished"), ("099", "started"))
    items = ranking.recommend(catalog.with_weights(weights, similar_items), profile, count=5)
    assert ids_of(items[:2]) == ["001", "002"]
    assert items[0].reason == "played by who plays title 3, which you finished once"


def test_played_tracks_do_not_fill_their_own_list(catalog, make_profile):
    """The item factors explain a profile's own tracks best; after months they have recovered."""
    rng = np.random.default_rng(3)
    factors = (np.eye(5)[catalog.clusters] + 0.1 * rng.standard_normal((100, 5))).astype(np.float32)
    played = [f"{number:03d}" for number in range(3, 53, 5)]
    profile = make_profile(*[(track_id, "finished") for track_id in played])
    newest = make_event("started", "099", after=timedelta(days=90))
    profiles.add_play(profile, newest)
    weights = RankingWeights(content=0.0, factors=1.0, popularity=0.0, regularization=0.1)
    items = ranking.recommend(catalog.with_weights(weights, factors=factors), profile, count=10)
    assert not set(played) & set(ids_of(items[:5])) and set(groups_of(items[:5])) == {3}


def test_same_profile_gives_same_list_and_empty_the_default(catalog, make_profile):
    profile = make_profile(("003", "finished"), ("001", "liked"))
    assert ranking.recommend(catalog, profile) == ranking.recommend(catalog, profile)
    default = ranking.default_list(catalog, 7)
    assert ranking.recommend(catalog, profiles.new_profile("u"), count=7) == default
    assert ranking.recommend(catalog, make_profile(("gone", "finished")), count=7) == default


def test_recommendation_list_names_model_and_newest_play(catalog, make_profile):
    profile = make_profile(("003", "finished"))
    profile.offsets["plays-0"] = 7
    recommended = ranking.recommendation_list(catalog, profile)
    assert (recommended.user_id, recommended.model_version) == ("u", "1")
    assert (recommended.as_of, recommended.offsets) == (profile.at, {"plays-0": 7})
    assert recommended.items == ranking.recommend(catalog, profile)


@pytest.mark.parametrize(
    "name_of",
    [
        lambda number: "J. S. Bach",
        lambda number: f"artist {number % 2}",
        lambda number: UNKNOWN_ARTIST,
        lambda number: "",
        lambda number: UNKNOWN_ARTIST if number % 2 else f"artist {number // 10}",
    ],
)
def test_narrow_collection_gives_full_lists(catalog, make_profile, name_of):
    narrow = replace(catalog, artists=np.array([name_of(number) for number in range(100)], dtype=object))
    assert len(ranking.default_list(narrow, 30)) == 30
    items = ranking.recommend(narrow, make_profile(("003", "finished")), count=30)
    assert len(items) == 30 == len(set(ids_of(items)))


def test_unknown_artist_is_no_artist(catalog):
    unknown = replace(catalog, artists=np.array([UNKNOWN_ARTIST] * 99 + ["artist"], dtype=object))
    assert set(unknown.artist_codes[:99]) == {-1} and unknown.artist_codes[99] >= 0


def test_lists_of_many_profiles_are_those_of_each(catalog, make_profile):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((100, 8)).astype(np.float32)
    weights = RankingWeights(content=0.1, collaborative=0.5, factors=1.0, regularization=2.0)
    similar_items = to_matrix({3: ([1, 2], [0.9, 0.8]), 7: ([50], [1.0])}, 100)
    with_factors = catalog.with_weights(weights, similar_items, factors)
    made = [
        make_profile(*[(f"{track:03d}", "finished") for track in rng.choice(100, size, replace=False)])
        for size in (1, 3, 4, 5, 12, 60, 0, 7)
    ]
    lists = list(ranking.recommendation_lists(with_factors, made))
    assert lists == [ranking.recommendation_list(with_factors, profile) for profile in made]
    assert [len(found.items) for found in lists[:3]] == [ranking.LIST_LENGTH] * 3


def test_first_play_of_a_new_user_changes_the_list(catalog, make_profile):
    """By co-listening alone: a user without plays gets the default list, one play of 003 its neighbours."""
    factors = np.zeros((100, 2), dtype=np.float32)
    factors[::2, 0] = 1
    factors[1::2, 1] = 1
    weights = RankingWeights(content=0.0, factors=1.0, popularity=0.0, regularization=1.0)
    with_factors = catalog.with_weights(weights, factors=factors)
    before = [item.track_id for item in ranking.recommend(with_factors, make_profile(), count=10)]
    after = [
        item.track_id for item in ranking.recommend(with_factors, make_profile(("003", "finished")), count=10)
    ]
    assert before == [item.track_id for item in ranking.default_list(with_factors, 10)]
    assert all(int(track_id) % 2 for track_id in after) and set(after) != set(before)
