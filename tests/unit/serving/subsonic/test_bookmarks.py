"""Bookmarks and the play queue, which may have a track twice."""

import pytest


def test_bookmark_is_set_again_and_deleted(call):
    call("createBookmark", id="t01", position=1500, comment="first")
    (first,) = call("getBookmarks")["bookmarks"]["bookmark"]
    assert (first["position"], first["comment"], first["entry"]["id"]) == (1500, "first", "t01")
    call("createBookmark", id="t01", position=9000)
    (second,) = call("getBookmarks")["bookmarks"]["bookmark"]
    assert (second["position"], second["comment"], second["created"]) == (9000, "", first["created"])
    assert call("deleteBookmark", id="t01")["status"] == "ok"
    assert call("getBookmarks")["bookmarks"]["bookmark"] == []


def test_bookmark_needs_a_track_and_a_position(call):
    assert call("createBookmark", id="nothing", position=1)["error"]["code"] == 70
    assert call("createBookmark", id="t01")["error"]["code"] == 10
    assert "a number" in call("createBookmark", id="t01", position="-1")["error"]["message"]
    assert (
        "500 characters"
        in call("createBookmark", id="t01", position=1, comment="x" * 501)["error"]["message"]
    )


def test_queue_by_index_knows_the_second_of_a_track(call):
    call("savePlayQueueByIndex", id=["t00", "t01", "t00"], currentIndex=2, position=700, c="one")
    queue = call("getPlayQueueByIndex")["playQueueByIndex"]
    assert (queue["currentIndex"], queue["position"], queue["changedBy"]) == (2, 700, "one")
    assert [song["id"] for song in queue["entry"]] == ["t00", "t01", "t00"]
    assert call("getPlayQueue")["playQueue"]["current"] == "t00"
    call("savePlayQueue", id=["t00", "t01"], current="t01", position=5)
    assert call("getPlayQueueByIndex")["playQueueByIndex"]["currentIndex"] == 1


def test_index_counts_the_tracks_that_are_there(call, state):
    state.playlists.save_queue("local", ["gone", "t00", "gone", "t01"], "t01", 9, "x", 3)
    queue = call("getPlayQueueByIndex")["playQueueByIndex"]
    assert (queue["currentIndex"], queue["position"]) == (1, 9)
    state.playlists.save_queue("local", ["gone", "t00"], "gone", 9, "x", 0)
    queue = call("getPlayQueueByIndex")["playQueueByIndex"]
    assert (queue["currentIndex"], queue["position"]) == (0, 0)
    assert "current" not in call("getPlayQueue")["playQueue"]


@pytest.mark.parametrize("index", [2, "-1", "x", None])
def test_index_outside_the_queue_is_refused(call, index):
    values = {} if index is None else {"currentIndex": index}
    answer = call("savePlayQueueByIndex", id=["t00", "t01"], **values)
    assert answer["status"] == "failed" and (index == "x" or index == "-1" or answer["error"]["code"] == 10)


def test_queue_without_ids_is_cleared(call):
    call("savePlayQueueByIndex", id=["t00"], currentIndex=0)
    call("savePlayQueueByIndex")
    answer = call("getPlayQueueByIndex")
    assert answer["status"] == "ok" and "playQueueByIndex" not in answer
