"""Run the pipeline on real recordings: they end in the tables and MongoDB, false audio in REJECTS."""

import csv

import numpy as np
import pytest

from tests.services.conftest import documents, rows, segue


@pytest.fixture(scope="module")
def lake(tmp_path_factory, recordings):
    folder = tmp_path_factory.mktemp("real") / "lake"
    # One K-Means is enough, since this tests the handling of files.
    segue(folder, "run", "--library", str(recordings), "--k", "8", "--seeds", "1")
    return folder


def test_recordings_are_in_features_and_mongo(lake, recordings):
    with (recordings / "music" / "ATTRIBUTION.csv").open(newline="") as file:
        listed = {str(recordings / "music" / row["file"]) for row in csv.DictReader(file)}
    clips = {str(path) for path in recordings.glob("fma_small/*/*.mp3")}
    tables = rows(lake)
    published = documents(lake)["tracks"]
    tracks = {row["track_id"]: row["path"] for row in tables["TRACKS"]}
    assert len(listed) == 56 and set(tracks.values()) == listed | clips
    assert {row["track_id"] for row in tables["FEATURES"]} == set(tracks)
    assert {key: document["path"] for key, document in published.items()} == tracks


def test_false_audio_is_rejected_with_reason(lake, recordings):
    errors = {row["path"]: row["error"] for row in rows(lake)["REJECTS"]}
    assert set(errors) == {str(path) for path in (recordings / "bad").iterdir()}
    assert "Git LFS pointer" in errors[str(recordings / "bad" / "git-lfs-pointer.mp3")]
    assert "found text" in errors[str(recordings / "bad" / "symlink-text.ogg")]


def test_fma_clips_have_ids_and_tags(lake):
    tracks = {row["track_id"]: row for row in rows(lake)["TRACKS"]}
    assert {"2", "3", "5", "193"} <= set(tracks)
    assert (tracks["2"]["artist"], tracks["2"]["title"]) == ("AWOL", "Food")


def test_two_encodings_of_recording_are_nearest(lake):
    """librosa-data has each recording in two qualities, which should be among each other's nearest tracks."""
    found = rows(lake)
    names = {
        row["track_id"]: row["path"].rsplit("/")[-1].replace(".hq.ogg", ".ogg") for row in found["TRACKS"]
    }
    vectors = {row["track_id"]: np.array(row["embedding"]) for row in found["EMBEDDINGS"]}
    twice = [key for key, name in names.items() if list(names.values()).count(name) == 2]
    ranks = []
    for key in twice:
        order = sorted(vectors, key=lambda other: -float(vectors[key] @ vectors[other]))
        ranks.append(next(i for i, other in enumerate(order[1:]) if names[other] == names[key]))
    assert len(twice) >= 20
    assert np.median(ranks) <= 5  # of 59
