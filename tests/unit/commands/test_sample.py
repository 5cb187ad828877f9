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
    """So many songs of each genre, three of each artist, without splits."""
    return [
        Song(f"/m/{genre}{i}.mp3", None, f"{i}", f"{genre} artist {i // 3}", genre, None)
        for genre, count in genres.items()
        for i in range(count)
    ]


@pytest.mark.parametrize("size", [10, 50, 100, 333])
def test_every_size_keeps_the_shares(size):
    library = songs(rock=500, folk=300, jazz=190, polka=10)
    taken = Counter(song.genre for song in sample.stratified_order(library, np.random.default_rng(1))[:size])
    for genre, count in {"rock": 500, "folk": 300, "jazz": 190, "polka": 10}.items():
        assert taken[genre] == pytest.approx(size * count / 1000, abs=1)


def test_the_seed_decides():
    library = songs(rock=100)
    first, again, other = (
        sample.stratified_order(library, np.random.default_rng(seed))[:10] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_no_artist_is_in_two_splits():
    library = songs(rock=300, folk=60)
    split = sample.artist_splits(library)
    sizes = Counter(split[song.artist] for song in library)
    assert {name: count / 360 for name, count in sizes.items()} == pytest.approx(
        sample.SPLIT_SHARES, abs=0.02
    )


def test_an_artist_in_two_of_fmas_splits_goes_where_most_are():
    said = ["test", "training", "training"]
    library = [Song(f"/{i}.mp3", str(i), "", "Ada", "Rock", split) for i, split in enumerate(said)]
    assert sample.artist_splits([*library, Song("/b.mp3", "9", "", "Bob", "Rock", "test")]) == {
        "Ada": "training",
        "Bob": "test",
    }


@pytest.fixture
def collection(recordings, tmp_path):
    """FMA's folder of clips with each clip under several of FMA's numbers, linked."""
    with (recordings / "fma_metadata" / "tracks.csv").open(newline="") as file:
        ids = [row[0] for row in list(csv.reader(file))[3:]]
    clips = sorted((recordings / "fma_small").rglob("*.mp3"))
    for place, track_id in enumerate(ids[:120]):
        target = tmp_path / "fma" / "000" / f"{int(track_id):06d}.mp3"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clips[place % len(clips)], target)
    return tmp_path / "fma"


def test_of_fma(collection, recordings, tmp_path, capsys):
    metadata, out = recordings / "fma_metadata", tmp_path / "out"
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
        kept = list(csv.reader(file))
    assert {row["track_id"] for row in rows} == {row[0] for row in kept[3:]} == files
    assert len(files) == 40 and all((out / row["path"]).is_file() for row in rows)
    splits = defaultdict(set)
    for row in rows:
        splits[row["artist"]].add(row["split"])
    assert max(map(len, splits.values())) == 1
    assert os.stat(out / rows[0]["path"]).st_nlink == 2  # linked, not copied
    assert main(command) == 2
    assert "--out: expected an empty folder or none" in capsys.readouterr().err


def test_hours(collection, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sample", "--library", str(collection), "--out", str(out), "--hours", "0.1"]) == 0
    assert len(list(out.rglob("*.mp3"))) == 13  # of 30 s: the first that make it six minutes
    assert not (out / "fma_metadata").exists()


def test_sizes_that_are_none(tmp_path, capsys):
    command = ["sample", "--library", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--tracks", "0"]) == 2
    assert "expected --tracks or --hours above 0" in capsys.readouterr().err
