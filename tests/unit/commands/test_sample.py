"""`segue sample`: shares of genres, splits by artist, and the files it writes."""

import csv
import os
import shutil
from collections import Counter, defaultdict

import numpy as np
import pytest

from jobs.cli import main
from jobs.commands import sample
from jobs.commands.sample import Song


def songs(**genres):
    """Return songs without splits: a number per genre, three per artist."""
    return [
        Song(f"/m/{genre}{i}.mp3", None, f"{i}", f"{genre} artist {i // 3}", genre, None)
        for genre, count in genres.items()
        for i in range(count)
    ]


@pytest.mark.parametrize("size", [10, 50, 100, 333])
def test_every_sample_size_keeps_genre_shares(size):
    library = songs(rock=500, folk=300, jazz=190, polka=10)
    counts = Counter(song.genre for song in sample.stratified_order(library, np.random.default_rng(1))[:size])
    for genre, count in {"rock": 500, "folk": 300, "jazz": 190, "polka": 10}.items():
        assert counts[genre] == pytest.approx(size * count / 1000, abs=1)


def test_order_depends_only_on_the_seed():
    library = songs(rock=100)
    first, repeated, different = (
        sample.stratified_order(library, np.random.default_rng(seed))[:10] for seed in (1, 1, 2)
    )
    assert first == repeated != different


def test_artist_splits_keep_the_shares():
    library = songs(rock=300, folk=60)
    split = sample.artist_splits(library)
    sizes = Counter(split[song.artist] for song in library)
    assert {name: count / 360 for name, count in sizes.items()} == pytest.approx(
        sample.SPLIT_SHARES, abs=0.02
    )


def test_artist_in_two_splits_gets_the_larger_one():
    splits = ["test", "training", "training"]
    library = [Song(f"/{i}.mp3", str(i), "", "Ada", "Rock", split) for i, split in enumerate(splits)]
    assert sample.artist_splits([*library, Song("/b.mp3", "9", "", "Bob", "Rock", "test")]) == {
        "Ada": "training",
        "Bob": "test",
    }


@pytest.fixture
def collection(recordings, tmp_path):
    """A folder in FMA's layout, with each of the four clips under several track numbers."""
    with (recordings / "fma_metadata" / "tracks.csv").open(newline="") as file:
        ids = [row[0] for row in list(csv.reader(file))[3:]]
    clips = sorted((recordings / "fma_small").rglob("*.mp3"))
    for index, track_id in enumerate(ids[:120]):
        target = tmp_path / "fma" / "000" / f"{int(track_id):06d}.mp3"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clips[index % len(clips)], target)
    return tmp_path / "fma"


def test_sample_of_fma_with_its_metadata(collection, recordings, tmp_path, capsys):
    metadata = recordings / "fma_metadata"
    out = tmp_path / "out"
    command = [
        "sample",
        "--library",
        str(collection),
        "--metadata",
        str(metadata),
        "--out",
        str(out),
        "--tracks",
        "40",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("sample: 40 tracks, 120 in the library, ")
    files = {path.stem.lstrip("0") for path in out.rglob("*.mp3")}
    with (out / "sample.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (out / "fma_metadata" / "tracks.csv").open(newline="") as file:
        metadata_rows = list(csv.reader(file))
    assert {row["track_id"] for row in rows} == {row[0] for row in metadata_rows[3:]} == files
    assert len(files) == 40 and all((out / row["path"]).is_file() for row in rows)
    splits = defaultdict(set)
    for row in rows:
        splits[row["artist"]].add(row["split"])
    assert max(map(len, splits.values())) == 1
    assert os.stat(out / rows[0]["path"]).st_nlink == 2  # a hard link, not a copy
    assert main(command) == 2
    assert "--out: expected an empty folder or none" in capsys.readouterr().err


def test_sample_by_hours(collection, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sample", "--library", str(collection), "--out", str(out), "--hours", "0.1"]) == 0
    assert len(list(out.rglob("*.mp3"))) == 13  # clips of 30 s, until six minutes are reached
    assert not (out / "fma_metadata").exists()


@pytest.mark.parametrize("size", ["--tracks=0", "--hours=-1", "--hours=nan", "--hours=inf"])
def test_size_that_is_none_is_bad_input(tmp_path, capsys, size):
    command = ["sample", "--library", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, size]) == 2
    assert "expected --tracks or --hours above 0, found " in capsys.readouterr().err
