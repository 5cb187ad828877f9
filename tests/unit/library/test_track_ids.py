"""Which id a content gets; that it keeps it is in tests/spark/test_track_identity.py."""

import numpy as np
import pytest

from jobs.library.track_ids import assign, match_recordings

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
