"""What is recommended over a planted catalogue: groups of tracks whose directions are far apart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.model.embedding import l2_normalize
from jobs.recommender import item_catalog, profiles, ranking

GROUPS, EACH = 5, 20
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


@pytest.fixture
def catalogue():
    rng = np.random.default_rng(0)
    count = GROUPS * EACH
    groups = np.arange(count) % GROUPS
    return item_catalog.ItemCatalog(
        model_version="1",
        ids=np.array([f"{number:03d}" for number in range(count)]),
        titles=np.array([f"title {number}" for number in range(count)]),
        artists=np.array([f"artist {number // 10}" for number in range(count)]),
        recordings=np.array([f"{number:03d}" for number in range(count)]),
        vectors=l2_normalize(np.eye(GROUPS)[groups] + 0.1 * rng.standard_normal((count, GROUPS))).astype(
            np.float32
        ),
        clusters=groups,
        plays=np.zeros(count, dtype=int),
    )


def listener(*plays):
    made = profiles.new_profile("u")
    for minute, (track, event) in enumerate(plays):
        at = NOW + timedelta(minutes=minute)
        profiles.add_play(
            made, {"event": event, "track_id": track, "played_at": at, "position_s": 1.0, "duration_s": 30.0}
        )
    return made


def groups(items):
    return [int(item["track_id"]) % GROUPS for item in items]


def test_the_list_to_start_with_is_of_every_group_in_turn(catalogue):
    items = ranking.default_list(catalogue, 10)
    assert sorted(groups(items)[:GROUPS]) == list(range(GROUPS)) and [i["rank"] for i in items] == list(
        range(1, 11)
    )
    known = replace(catalogue, plays=np.where(np.arange(100) == 42, 9, 0))
    assert "042" in [item["track_id"] for item in ranking.default_list(known, GROUPS)]


def test_what_was_finished_brings_its_group_and_says_why(catalogue):
    items = ranking.recommend(
        catalogue, listener(("003", "finished"), ("003", "finished"), ("008", "started")), count=9
    )
    assert set(groups(items)) == {3}
    assert items[0]["reason"] == "sounds like title 3, which you finished twice"
    assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)


def test_a_skip_takes_from_its_group_and_a_like_gives(catalogue):
    items = ranking.recommend(
        catalogue, listener(("001", "finished"), ("002", "liked"), ("001", "skipped")), count=9
    )
    assert set(groups(items)) == {2}


def test_never_what_is_disliked_playing_or_excluded(catalogue):
    plays = listener(("003", "finished"), ("008", "disliked"), ("013", "started"))
    items = ranking.recommend(catalogue, plays, count=60, exclude={"018"})
    assert not {"008", "013", "018"} & {item["track_id"] for item in items}
    only = ranking.recommend(catalogue, listener(("008", "disliked")), count=90)
    assert "008" not in {item["track_id"] for item in only}


def test_no_recording_twice_and_two_of_an_artist_in_ten(catalogue):
    same = catalogue.recordings.copy()
    same[[8, 13, 18]] = "one"
    items = ranking.recommend(replace(catalogue, recordings=same), listener(("003", "finished")), count=40)
    assert len({"008", "013", "018"} & {item["track_id"] for item in items}) == 1
    artists = [int(item["track_id"]) // 10 for item in items]
    for start in range(len(artists) - 9):
        assert max(np.bincount(artists[start : start + 10])) <= 2


def test_what_was_just_heard_comes_after_what_was_not(catalogue):
    heard = [(f"{number:03d}", "finished") for number in (3, 8, 13)]
    items = ranking.recommend(catalogue, listener(*heard, ("018", "started")), count=15)
    assert not {"003", "008", "013"} & {item["track_id"] for item in items[:8]}


def test_one_in_ten_is_from_elsewhere(catalogue):
    items = ranking.recommend(catalogue, listener(("003", "finished")), count=20)
    elsewhere = [item for item in items if item["reason"].startswith("something else")]
    assert [item["rank"] for item in elsewhere] == [10, 20] and 3 not in groups(elsewhere)


def test_what_is_played_together_comes_where_it_counts(catalogue):
    together = {3: (np.array([1, 2]), np.array([0.9, 0.8]))}
    by_plays = replace(
        catalogue, together=together, blend=item_catalog.RankingWeights(content=0.1, collaborative=1.0)
    )
    items = ranking.recommend(by_plays, listener(("003", "finished"), ("099", "started")), count=5)
    assert [item["track_id"] for item in items[:2]] == ["001", "002"]
    assert items[0]["reason"] == "played by who plays title 3, which you finished once"


def test_the_same_profile_has_the_same_list_and_an_empty_one_the_start(catalogue):
    plays = listener(("003", "finished"), ("001", "liked"))
    assert ranking.recommend(catalogue, plays) == ranking.recommend(catalogue, plays)
    assert ranking.recommend(catalogue, profiles.new_profile("u"), count=7) == ranking.default_list(
        catalogue, 7
    )
    assert ranking.recommend(catalogue, listener(("gone", "finished")), count=7) == ranking.default_list(
        catalogue, 7
    )
