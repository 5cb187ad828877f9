"""What an update of TRACKS has to do, without Spark.

The table itself is tested in tests/spark/test_catalog_step.py.
"""

import pytest

from jobs.library.tracks_table import plan_tracks, read_track_row


def file(name, content="h1"):
    return {
        "path": f"/m/{name}.mp3",
        "audio_path": f"/m/{name}.mp3",
        "content_hash": content,
        "duration_s": 3.0,
        "bit_rate": 64_000,
        "mtime_ns": 1,
        "fma_id": None,
    }


def track(name, content="h1", source="tags"):
    return {**file(name, content), "track_id": name, "source": source}


def track_without_audio(track_id):
    return {
        **dict.fromkeys(file("x")),
        "content_hash": f"fma:{track_id}",
        "track_id": track_id,
        "source": "fma",
    }


def fma_file(name):
    return {**file(name), "fma_id": name}


def plan(files, old=(), staged=(), metadata_ids=frozenset(), ids=None, **options):
    """Plan with the ids of `old`; of new contents the id is the content_hash, or that in `ids`."""
    names = {row["content_hash"]: row["track_id"] for row in old}
    ids = {row["content_hash"]: names.get(row["content_hash"], row["content_hash"]) for row in files} | (
        ids or {}
    )
    return plan_tracks(
        list(files), list(old), list(staged), metadata_ids=set(metadata_ids), ids=ids, **options
    )


def paths(rows):
    return [row["path"] for row in rows]


def test_unchanged_tracks_need_no_work():
    result = plan([file("a"), file("b", "h2")], [track("a"), track("b", "h2")])
    assert (paths(result.current), result.todo, result.is_dirty) == (["/m/a.mp3", "/m/b.mp3"], [], False)


def test_new_file_is_read():
    result = plan([file("a"), file("b", "h2")], [track("a")])
    assert (paths(result.current), paths(result.todo), result.is_dirty) == (["/m/a.mp3"], ["/m/b.mp3"], True)


@pytest.mark.parametrize("column", ["audio_path", "content_hash", "duration_s", "bit_rate", "mtime_ns"])
def test_changed_file_is_read_again(column):
    result = plan([{**file("a"), column: "changed"}], [track("a")])
    assert (result.current, paths(result.todo), result.is_dirty) == ([], ["/m/a.mp3"], True)


def test_duplicate_content_is_no_track_while_first_exists():
    assert not plan([file("a"), file("b")], [track("a")]).is_dirty
    result = plan([file("b")], [track("a")])
    assert (result.current, paths(result.todo), result.is_dirty) == ([], ["/m/b.mp3"], True)


def test_removed_file_makes_table_dirty():
    result = plan([file("a")], [track("a"), track("b", "h2")])
    assert (paths(result.current), result.todo, result.is_dirty) == (["/m/a.mp3"], [], True)


def test_staged_file_is_committed_and_not_read_again():
    result = plan([file("a")], staged=[file("a")])
    assert (result.todo, result.is_dirty) == ([], True)


def test_track_without_its_metadata_is_read_again():
    old = [{**fma_file("7"), "track_id": "7", "source": "fma"}]
    assert not plan([fma_file("7")], old, metadata_ids={"7"}).is_dirty
    for files, metadata_ids in (([fma_file("7")], {"8"}), ([file("7")], {"7"})):
        result = plan(files, old, metadata_ids=metadata_ids)
        assert (result.current, paths(result.todo), result.is_dirty) == ([], ["/m/7.mp3"], True)


def test_file_that_is_now_fmas_makes_table_dirty():
    assert plan(
        [fma_file("7")], [{**fma_file("7"), "track_id": "7", "source": "tags"}], metadata_ids={"7"}
    ).is_dirty


def test_second_encoding_of_a_track_is_no_track_of_its_own():
    files = [file("a"), file("b", "h2")]
    assert not plan(files, [track("a")], ids={"h2": "a"}).is_dirty
    result = plan(files[1:], [track("a")], ids={"h2": "a"})
    assert (result.current, paths(result.todo), result.is_dirty) == ([], ["/m/b.mp3"], True)


def test_outdated_table_is_read_again():
    result = plan([file("a")], [track("a")], reread_all=True)
    assert (result.current, paths(result.todo), result.is_dirty) == ([], ["/m/a.mp3"], True)


def test_newer_input_makes_table_dirty():
    result = plan([file("a")], [track("a")], has_newer_input=True)
    assert (paths(result.current), result.todo, result.is_dirty) == (["/m/a.mp3"], [], True)


def test_imported_features_make_table_dirty_once():
    assert plan([file("a")], [track("a")], imported_ids=["9"]).is_dirty
    assert not plan([file("a")], [track("a"), track_without_audio("9")], imported_ids=["9"]).is_dirty
    assert plan([file("a")], [track("a"), track_without_audio("9")]).is_dirty
    assert not plan([file("a")], [track("a")], imported_ids=["a"]).is_dirty


def test_file_that_cannot_be_read_is_not_described(tmp_path):
    row = {**file("a"), "path": str(tmp_path / "Ada - Aria.mp3"), "library": str(tmp_path)}
    assert read_track_row(row) is None
