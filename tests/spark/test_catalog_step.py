import hashlib
import shutil

import mutagen
import pytest
from mutagen.id3 import UFID

from jobs.commands import fma_import
from jobs.fma import features_csv, track_metadata
from jobs.lake.schemas import FEATURES, FILES, FMA_GENRES, FMA_METADATA, REJECTS, TRACKS
from jobs.library import duplicates, tracks_table


def hashed(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def update(step):
    step("compress")
    return step("catalog")


def test_ids_with_collisions_and_duplicates(step, song, table, music):
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


def test_duplicate_replaces_removed_track(step, song, table, music):
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


def test_missing_column_is_filled(step, song, table, lake):
    mbid = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"
    path = song("2.mp3", "title=Two")
    tagged = mutagen.File(path)
    tagged.tags.add(UFID(owner="http://musicbrainz.org", data=mbid.encode()))
    tagged.save()
    update(step)
    (whole,) = table(TRACKS)
    assert whole["recording_mbid"] == mbid
    before = TRACKS.select(*(name for name in TRACKS.names if name != "recording_mbid"))
    lake.commit_arrow(before, lake.read_arrow(before).to_batches())
    assert lake.missing_columns(TRACKS) == {"recording_mbid"} and table(TRACKS) == [
        whole | {"recording_mbid": None}
    ]
    assert step("catalog")["new"] == 1
    assert table(TRACKS) == [whole] and step("catalog")["new"] == 0


def retag(path, title):
    tagged = mutagen.File(path, easy=True)
    tagged["title"] = title
    tagged.save()


def test_changed_tags_are_read(step, song, table):
    """The track stays the same: its id is that of the first tags."""
    fma, own = song("000/000002.mp3", "title=Old", seed=1), song("02.mp3", "title=Old", seed=2)
    ids = {"2", hashed(own)}
    update(step)
    retag(fma, "New")
    retag(own, "New")
    assert step("compress")["attempted"] == 0
    assert step("catalog")["new"] == 2
    assert {row["track_id"]: row["title"] for row in table(TRACKS)} == dict.fromkeys(ids, "New")


@pytest.fixture
def fma(recordings, music):
    """The real clip 000002.mp3, and the real metadata's folder."""
    (music / "000").mkdir()
    shutil.copy(recordings / "fma_small" / "000" / "000002.mp3", music / "000")
    return recordings / "fma_metadata"


def test_fma_metadata_overrides_tags(step, song, table, fma, tmp_path):
    """The files are listed without compression, then compressed; then other metadata lacks the track."""
    song("000/000003.mp3", "title=Cut at the wrong place", seed=1)  # 2 s of 237
    own = song("Ada/Suite/07 Aria.mp3", seed=2)
    counts = step("catalog", library=str(own.parents[2]), metadata=str(fma))
    assert counts == {
        "tracks": 2,
        "new": 2,
        "duplicates": 0,
        "metadata records": 682,
        "metadata without audio": 681,
        "audio without metadata": 1,
    }
    found = {row["title"]: row for row in table(TRACKS)}
    food, aria = found["Food"], found["Aria"]
    assert (food["track_id"], food["artist"], food["album"]) == ("2", "AWOL", "AWOL - A Way Of Life")
    assert (food["genre"], food["top_genre"], food["genres"], food["genre_parents"]) == (
        "Hip-Hop",
        "Hip-Hop",
        ["Hip-Hop"],
        [],
    )
    assert (food["listens"], food["favourites"], food["split"], food["subset"]) == (
        1293,
        2,
        "training",
        "small",
    )
    assert (food["year"], food["track_no"], food["source"]) == (2009, 3, "fma")
    assert food["licence"].startswith("Attribution-NonCommercial-ShareAlike")
    assert (aria["artist"], aria["source"], aria["listens"]) == ("Ada", "tags", None)
    assert food["audio_path"] == food["path"] and {row["outcome"] for row in table(FILES)} == {"not_tried"}
    (short,) = table(REJECTS)
    assert (short["step"], short["path"].rsplit("/")[-1]) == ("catalog", "000003.mp3")
    assert "expected a clip of 30 s of a track of 237 s (tracks.csv line 5), found 2.0 s" in short["error"]

    step("compress")
    assert step("catalog")["new"] == 2
    assert {row["title"]: row["audio_path"] != row["path"] for row in table(TRACKS)} == {
        "Food": True,
        "Aria": True,
    }
    assert table(REJECTS) == [short]
    before = table(TRACKS)
    assert step("catalog")["new"] == 0 and table(TRACKS) == before

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(fma / "genres.csv", other)
    lines = (fma / "tracks.csv").read_text().splitlines(keepends=True)
    (other / "tracks.csv").write_text("".join([*lines[:3], lines[6].replace("10,", "4711,", 1)]))
    assert step("catalog", metadata=str(other))["metadata without audio"] == 1
    food, short = sorted(
        (row for row in table(TRACKS) if row["track_id"] != aria["track_id"]), key=lambda r: r["track_id"]
    )
    assert (food["source"], food["listens"], food["title"]) == ("tags", None, "Food")  # its tags say the same
    assert short["title"] == "Cut at the wrong place" and table(REJECTS) == []


def test_genre_tree_in_tracks(spark):
    tree = [(1, "Rock", None, 1), (2, "Punk", 1, 1), (3, "Oi", 2, 1), (4, "Jazz", None, 4)]
    names = ("genre_id", "title", "parent_id", "top_id")
    genres = [dict(zip(names, row, strict=True)) for row in tree]
    cases = {"deep": [3], "several": [2, 4], "both": [3, 1], "unknown": [99], "none": []}
    rows = [dict.fromkeys(FMA_METADATA.names) | {"track_id": k, "track_genres": v} for k, v in cases.items()]
    metadata = spark.createDataFrame([tuple(row.values()) for row in rows], FMA_METADATA.spark_schema())
    found = {row.track_id: row for row in track_metadata.metadata_columns(metadata, genres).collect()}
    summary = {key: (row.genre, row.top_genre, row.genres, row.genre_parents) for key, row in found.items()}
    assert summary == {
        "deep": ("Rock", "Rock", ["Oi"], ["Punk", "Rock"]),
        "several": ("Punk", None, ["Punk", "Jazz"], ["Rock"]),
        "both": ("Rock", "Rock", ["Oi", "Rock"], ["Punk"]),
        "unknown": (None, None, None, []),
        "none": (None, None, None, []),
    }
    assert FMA_GENRES.names[:4] == list(names)


def test_imported_features_need_no_audio(step, table, fma, lake, tmp_path):
    numbers = ",".join(["1.5"] * 518)
    header = "".join(",".join(row) + "\n" for row in features_csv.header())
    (tmp_path / "features.csv").write_text(header + f"2,{numbers}\n20,{numbers}\n4711,{numbers}\n")
    step("compress")
    step("catalog", metadata=str(fma))
    fma_import.load_features(
        lake,
        features_csv.FeatureFile(tmp_path / "features.csv", features_csv.FEATURES_CSV, skip_invalid=False),
    )
    assert step("catalog")["tracks"] == 3
    found = {row["track_id"]: row for row in table(TRACKS)}
    assert (found["20"]["title"], found["20"]["source"], found["20"]["duration_s"]) == (
        "Spiritual Level",
        "fma",
        311,
    )
    assert found["20"]["path"] is None is found["20"]["audio_path"]
    assert (found["4711"]["artist"], found["4711"]["source"]) == ("Unknown artist", "tags")
    assert found["2"]["audio_path"] is not None and found["2"]["duration_s"] < 31
    features = {
        row["track_id"]: row["content_hash"]
        for row in lake.read_arrow(FEATURES, "track_id", "content_hash").to_pylist()
    }
    assert features == {key: row["content_hash"] for key, row in found.items()}  # what embed joins them by


def test_changed_tags_of_compressed_file_are_read(step, song, table):
    """In place, the content hash stays that of the original."""
    path = song("a.mp3", "title=Old", seconds=8.0, seed=1)
    step("compress", in_place=True)
    step("catalog")
    (before,) = table(TRACKS)
    retag(path, "New")
    step("compress", in_place=True)
    assert step("catalog")["new"] == 1
    (after,) = table(TRACKS)
    assert (before["title"], after["title"]) == ("Old", "New")
    assert before["track_id"] == after["track_id"] and before["content_hash"] == after["content_hash"]


def test_first_seen_stays_through_moves_and_retags(spark):
    columns = "track_id string, path string, mtime_ns long"
    old = [
        ("moved", "/m/a.mp3", 1, 10),
        ("old id", "/m/b.mp3", 2, 20),
        ("of an older version", "/m/c.mp3", 3, None),
    ]
    before = spark.createDataFrame(old, f"{columns}, added_ns long")
    rows = [
        ("moved", "/n/a.mp3", 100),
        ("retagged", "/m/b.mp3", 100),
        ("of an older version", "/m/c.mp3", 100),
        ("new", "/m/d.mp3", 4),
        ("returned", "/m/e.mp3", 100),
        ("without audio", None, None),
    ]
    ids = [("returned", 7), ("returned", 8), ("moved", 9), ("new", None)]
    left = spark.createDataFrame(ids, "track_id string, added_ns long")
    tracks = spark.createDataFrame(rows, columns)

    def added(old, *, is_first):
        found = tracks_table.add_first_seen(tracks, old, left, now_ns=50, is_first=is_first)
        return {row.track_id: row.added_ns for row in found.collect()}

    assert added(before, is_first=False) == {
        **{"moved": 10, "retagged": 20, "of an older version": 3},
        **{"new": 50, "returned": 7, "without audio": 50},
    }
    # The files of a lake's first run are older than the lake; none is from the future.
    left = left.limit(0)
    assert added(before.limit(0), is_first=True) == {
        **{"moved": 50, "retagged": 50, "of an older version": 50},
        **{"new": 4, "returned": 50, "without audio": 50},
    }


def test_recording_id_is_first_track_id(spark):
    rows = [("aa11", "h1"), ("7", "h2"), ("12", "h3"), ("bb", "h4")]
    tracks = spark.createDataFrame(rows, "track_id string, content_hash string")
    named = duplicates.add_recording_id(tracks, {"h1": "x", "h3": "x", "h2": "y"}).collect()
    assert {row.track_id: row.recording_id for row in named} == {
        "aa11": "12",
        "12": "12",
        "7": "7",
        "bb": "bb",
    }
