import hashlib
import shutil

import mutagen

from jobs.tables import TRACKS


def hashed(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def update(step):
    step("compress")
    return step("catalog")


def test_ids_collisions_and_duplicates(step, song, table, music):
    two = song("fma/000/000002.mp3", "title=Two", seed=1)
    other = song("other/2.mp3", "title=Other two", seed=2)
    named = song("Ada/Suite/07 Aria.mp3", seed=3)
    shutil.copy(two, music / "copy.mp3")
    id_of_other, id_of_named = hashed(other), hashed(named)
    counts = update(step)
    assert counts == {"tracks": 3, "new": 4, "duplicates": 1}
    tracks = {row["track_id"]: row for row in table(TRACKS)}
    assert set(tracks) == {"2", id_of_other, id_of_named}
    assert (tracks["2"]["path"], tracks["2"]["title"]) == (str(two), "Two")  # not copy.mp3, which comes first
    assert (tracks[id_of_named]["artist"], tracks[id_of_named]["album"]) == ("Ada", "Suite")
    assert tracks[id_of_named]["track_no"] == 7 and tracks[id_of_named]["title"] == "Aria"
    assert update(step)["new"] == 0
    assert {row["track_id"]: row for row in table(TRACKS)} == tracks


def test_a_duplicate_takes_over_and_what_is_removed_goes(step, song, table, music):
    first = song("a.mp3", "title=Aria", seed=1)
    shutil.copy(first, music / "b.mp3")
    gone = song("c.mp3", seed=2)
    assert update(step) == {"tracks": 2, "new": 3, "duplicates": 1}
    track_id = hashed(first)
    assert {row["path"] for row in table(TRACKS)} == {str(first), str(gone)}
    first.unlink()
    gone.unlink()
    assert update(step) == {"tracks": 1, "new": 1, "duplicates": 0}
    assert [(row["track_id"], row["path"], row["title"]) for row in table(TRACKS)] == [
        (track_id, str(music / "b.mp3"), "Aria")
    ]


def retag(path, title):
    tagged = mutagen.File(path, easy=True)
    tagged["title"] = title
    tagged.save()


def test_changed_tags_are_seen(step, song, table):
    """A file's tags are part of its content: a number in its name stays its id, a hash does not."""
    numbered, named = song("000002.mp3", "title=Old", seed=1), song("a.mp3", "title=Old", seed=2)
    update(step)
    retag(numbered, "New")
    retag(named, "New")
    assert update(step)["new"] == 2
    assert {row["track_id"]: row["title"] for row in table(TRACKS)} == {"2": "New", hashed(named): "New"}
