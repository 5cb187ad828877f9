"""Which id a content gets; that it keeps it is in tests/spark/test_track_identity.py."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.lake.schemas import TRACK_IDS, TRACKS
from jobs.lake.storage import Lake
from jobs.library.track_ids import assign, match_recordings, update_track_ids

CONTENT = "0123456789abcdef" + "0" * 48


def new(content=CONTENT, fma_id=None, path="/m/a.mp3"):
    return {content: {"content_hash": content, "fma_id": fma_id, "path": path}}


def remembered(track_id, fma_id=None):
    return {"h": {"content_hash": "h", "track_id": track_id, "fma_id": fma_id}}


@pytest.mark.parametrize(
    ("files", "memory", "followed", "expected"),
    [
        (new(), {}, {}, CONTENT[:16]),
        (new(fma_id="2"), {}, {}, "2"),
        (new(fma_id="2"), remembered("2", "2"), {}, "2"),  # another file of FMA's track 2
        (new(fma_id="2"), remembered("2"), {}, CONTENT[:16]),  # an older version gave 2 to a 02.mp3
        (new(), {}, {CONTENT: "7"}, "7"),
        (new(fma_id="2"), {}, {CONTENT: "7"}, "2"),
        (new(), remembered(CONTENT[:16]), {}, CONTENT),
    ],
)
def test_assign(files, memory, followed, expected):
    assert assign(files, memory, followed) == {CONTENT: expected}


def test_new_ids_differ():
    files = new("a" * 64) | new("a" * 63 + "b") | new("c" * 64, "2") | new("d" * 64, "2")
    assert assign(files, {}, {}) == {
        "a" * 64: "a" * 16,
        "a" * 63 + "b": "a" * 63 + "b",
        "c" * 64: "2",
        "d" * 64: "2",
    }


def track(name, path, seconds=30.0):
    return {"content_hash": name, "track_id": f"id-{name}", "path": path, "duration_s": seconds}


def test_new_encoding_gets_the_id_of_its_recording():
    random = np.random.default_rng(5)
    first, second = (random.integers(0, 2**32, 400, np.uint32) for _ in range(2))
    near = first.copy()
    near[::9] ^= 1 << 7
    prints = {"one": first, "two": second, "new-one": near, "new-two": second, "again": first}
    orphans = [track("one", "/m/one.flac"), track("two", "/m/two.flac")]
    candidates = [track("again", "/m/x.mp3"), track("new-one", "/m/one.flac"), track("new-two", "/m/two.mp3")]
    # The same path precedes the better fingerprint; one id goes to one file.
    assert match_recordings(orphans, candidates, prints) == {"new-one": "id-one", "new-two": "id-two"}
    assert match_recordings(orphans[1:], candidates[:1], prints) == {}
    assert match_recordings([track("two", "/m/a", 90.0)], candidates, prints) == {}  # another duration


def test_when_a_track_was_first_seen_is_remembered_when_it_leaves(tmp_path):
    lake = Lake(tmp_path / "lake")

    def commit(table, rows):
        lake.commit_arrow(table, pa.Table.from_pylist(rows, schema=table.arrow_schema()).to_batches())

    def added():
        return {row["track_id"]: row["added_ns"] for row in lake.iter_rows(TRACK_IDS)}

    file = {"fma_id": None, "audio_hash": "x", "duration_s": 9.0, "audio_path": "/m/a"}
    files = [{**file, "content_hash": name * 64, "path": f"/m/{name}"} for name in "ab"]
    ids = update_track_ids("local[1]", lake, files)
    commit(
        TRACKS,
        [{"track_id": ids[each["content_hash"]], "path": each["path"], "added_ns": 70} for each in files],
    )
    version = lake.version(TRACK_IDS)
    assert update_track_ids("local[1]", lake, files) == ids and lake.version(TRACK_IDS) == version
    update_track_ids("local[1]", lake, files[:1])
    assert added() == {"a" * 16: None, "b" * 16: 70}
    commit(TRACKS, [{"track_id": "a" * 16, "path": "/m/a", "added_ns": 70}])
    version = lake.version(TRACK_IDS)
    update_track_ids("local[1]", lake, files[:1])
    assert lake.version(TRACK_IDS) == version
    assert update_track_ids("local[1]", lake, files) == ids and added()["b" * 16] == 70
