"""A track stays the same track: likes, plays and playlists go on when its file moves or changes.

What each step of a decision does is in tests/unit/library; here the steps run over a lake with listeners.
"""

import argparse
import shutil
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime

import imageio_ffmpeg
import mutagen
import numpy as np
import pyarrow as pa
import pytest
import soundfile

from jobs.lake.folder_tables import FolderTables
from jobs.lake.schemas import FEATURES, FILES, REJECTS, TRACK_IDS, TRACKS
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay, PlayEvent
from jobs.steps import deduplicate
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from serving.db.playlists import Playlists
from tests.spark.conftest import MASTER


@pytest.fixture
def tune(music):
    """Return a function that writes a tune of nine seconds, another one for each seed."""

    def write(name, title=None, *, seed=0, bit_rate="192k"):
        random = np.random.default_rng(seed)
        time = np.arange(9 * 44_100) / 44_100
        notes = np.repeat(random.choice([220, 262, 294, 330, 392, 440, 494, 523], 36), 11_025)
        phase = 2 * np.pi * np.cumsum(notes) / 44_100
        tone = 0.3 * np.exp(-((time * 4) % 1) * 3) * (np.sin(phase) + 0.5 * np.sin(2 * phase))
        soundfile.write(music / "x.wav", tone + 0.02 * random.standard_normal(len(tone)), 44_100)
        path = music / name
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", music / "x.wav"]
        command += ["-b:a", bit_rate, "-metadata", f"title={title or name}", f"file:{path}"]
        subprocess.run(list(map(str, command)), check=True)
        (music / "x.wav").unlink()
        return path

    return write


@pytest.fixture
def run(step, lake, music):
    """Return a function that runs every step from compress to deduplicate; it returns what they worked on."""

    def run(folder=music, **options):
        compressed = step("compress", library=str(folder), **options)["attempted"]
        read = step("catalog")["new"]
        extracted = step("extract")["attempted"]
        result = deduplicate.main(argparse.Namespace(lake=str(lake.root), master=MASTER))
        return compressed, read, extracted, result.counts["fingerprinted"]

    return run


@pytest.fixture
def ids(table):
    """Return a function that returns the track_id of each title."""
    return lambda: {row["title"]: row["track_id"] for row in table(TRACKS)}


class Listeners:
    """What users have done with tracks: in the accounts database and in PLAYS."""

    def __init__(self, lake):
        self._lake = lake
        self._database = Database(lake.root)
        self._feedback, self._playlists = FeedbackStore(self._database), Playlists(self._database)

    def use(self, track_ids):
        plays = []
        for offset, track_id in enumerate(track_ids):
            played_at = datetime(2026, 11, 27, 12, offset, tzinfo=UTC)
            event = {"event_id": f"e{offset}", "user_id": "ada", "track_id": track_id, "event": "finished"}
            plays.append(LoggedPlay(PlayEvent(**event, played_at=played_at), "plays-0", offset))
            self._feedback.rate("ada", track_id, liked=bool(offset % 2))
            self._playlists.set_stars("ada", track_id, 1 + offset % 5)
        self._playlists.create("ada", "mine", track_ids)
        play_log.play_table(self._lake).append("1", play_log.to_arrow(plays))

    def state(self):
        (playlist,) = self._playlists.list_playlists("ada")
        plays = play_log.read(self._lake).to_pylist()
        return self._feedback.ratings("ada"), self._playlists.stars("ada"), playlist.tracks, plays


@pytest.mark.parametrize("in_place", [False, True])
def test_renamed_folder(run, step, tune, table, lake, music, tmp_path, ids, in_place):
    for seed, name in enumerate(("Ada/01.mp3", "Bo/01.mp3", "small.mp3")):
        tune(name, seed=seed, bit_rate="48k" if name == "small.mp3" else "192k")
    (music / "bad.mp3").write_text("no audio")
    run(in_place=in_place)
    before, tracks, features = ids(), table(TRACKS), table(FEATURES)
    (reject,) = table(REJECTS)
    listeners = Listeners(lake)
    listeners.use(list(before.values()))
    state = listeners.state()

    new = tmp_path / "new name"
    music.rename(new)
    (new / "Bo/01.mp3").rename(new / "Bo/02.mp3")  # at the same time
    assert run(new, in_place=in_place) == (0, 3, 0, 0)
    assert ids() == before and listeners.state() == state and table(FEATURES) == features
    for row, old in zip(table(TRACKS), tracks, strict=True):
        expected = old["path"].replace(str(music), str(new)).replace("Bo/01", "Bo/02")
        assert row["path"] == expected and (in_place or row["title"] == "small.mp3") == (
            row["audio_path"] == expected
        )
        assert row["content_hash"] == old["content_hash"]
    assert table(REJECTS) == [{**reject, "path": str(new / "bad.mp3")}]
    assert {row["library"] for row in table(FILES)} == {str(new)}
    assert run(new, in_place=in_place) == (0, 0, 0, 0)  # and there is nothing left to do

    (new / "Ada/01.mp3").unlink()
    step("compress", library=str(new), in_place=in_place)
    step("catalog")
    assert set(ids()) == {"Bo/01.mp3", "small.mp3"} and listeners.state() == state
    assert step("compress", library=str(music)) == {
        "library": f"{music} has moved to {new} (3 files); name that folder from now on"
    }
    assert step("catalog", library=str(music))["tracks"] == 2


def retag(path, title):
    tagged = mutagen.File(path, easy=True)
    tagged["title"] = title
    tagged.save()


def test_ids_go_to_no_other_piece(run, tune, table, music, ids, tmp_path):
    """Albums with the same file name: retagged, renamed, deleted, brought back, encoded anew, moved."""
    beta, gamma = tune("Beta/01.mp3", "Beta", seed=1), tune("Gamma/01.mp3", "Gamma", seed=2)
    wave = tune("Wave/01.wav", "Wave", seed=4)
    run()
    first = ids()
    assert not set(first.values()) & {"1", "01"}

    tune("Alpha/01.mp3", "Alpha", seed=3)
    retag(beta, "Beta, retagged")
    gamma.rename(gamma.with_name("01 Gamma One.mp3"))
    assert run() == (1, 3, 1, 1)
    second = ids()
    assert second["Beta, retagged"] == first["Beta"] and second["Gamma"] == first["Gamma"]
    assert len(set(second.values())) == 4

    shutil.move(beta, tmp_path / "away.mp3")
    run()
    assert set(ids().values()) == set(second.values()) - {first["Beta"]}
    retag(tmp_path / "away.mp3", "Beta, back")
    shutil.move(tmp_path / "away.mp3", music / "01.mp3")
    # Another encoding at the same path, and one at another.
    tune("Alpha/01.mp3", "Alpha", seed=3, bit_rate="128k")
    wave.unlink()
    tune("Wave/one.ogg", "Wave", seed=4)
    assert run()[0] == 3
    assert ids() == {
        "Beta, back": first["Beta"],
        "Gamma": first["Gamma"],
        "Alpha": second["Alpha"],
        "Wave": first["Wave/01.wav" if "Wave/01.wav" in first else "Wave"],
    }
    assert {(row["track_id"], row["content_hash"]) for row in table(FEATURES)} >= {
        (row["track_id"], row["content_hash"]) for row in table(TRACKS)
    }
    assert len(table(TRACK_IDS)) == 6


def test_lake_of_older_version_keeps_its_ids(step, run, tune, table, lake, music, ids, tmp_path):
    """Moved, retagged and renamed before the first run of this version; ids were numbers of file names."""
    for seed, name in enumerate(("Beta/02.mp3", "Gamma/03.mp3", "Delta/04.mp3")):
        tune(name, seed=seed)
    run()
    older = {row["title"]: row["track_id"] for row in table(TRACKS)}
    number = {older["Beta/02.mp3"]: "2", older["Gamma/03.mp3"]: "3"}
    for declared in (TRACKS, FEATURES, FILES):
        new_columns = ("file_hash", "audio_hash", "fma_id", "moved_from")
        names = [name for name in declared.names if name not in new_columns]
        rows = lake.read_arrow(declared, *names).to_pylist()
        for row in rows:
            if "track_id" in row:
                row["track_id"] = number.get(row["track_id"], row["track_id"])
        before = declared.select(*names)
        table_of_rows = pa.Table.from_pylist(rows, schema=before.arrow_schema())
        lake.commit_arrow(before, table_of_rows.to_batches())
    shutil.rmtree(lake.root / "TRACK_IDS")
    expected = {**older, "Beta/02.mp3": "2", "Gamma/03.mp3": "3"}
    assert ids() == expected

    new = tmp_path / "new"
    music.rename(new)
    (new / "Gamma/03.mp3").rename(new / "Gamma/03 Three.mp3")
    retag(new / "Delta/04.mp3", "Delta, retagged")
    assert run(new)[:1] == (1,)
    expected["Delta, retagged"] = expected.pop("Delta/04.mp3")
    assert ids() == expected
    assert all(row["audio_hash"] and row["file_hash"] for row in table(FILES))
    retag(new / "Beta/02.mp3", "Beta, retagged")
    assert run(new) == (0, 1, 0, 0)
    assert ids()["Beta, retagged"] == "2"


class Killed(Exception):
    """Where a run ends."""


@contextmanager
def killed_before_commit(monkeypatch, table):
    """Let a step end where it would switch a table to its new version."""
    new_version = FolderTables.new_version

    @contextmanager
    def die(self, declared):
        with new_version(self, declared) as folder:
            yield folder
            if declared.name == table:
                raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(FolderTables, "new_version", die)
        yield


def test_killed_run_is_resumed(step, tune, table, music, tmp_path, ids, monkeypatch):
    """A folder is renamed, a file retagged, another one added: whatever a killed run has committed."""
    for seed, name in enumerate(("Ada/01.mp3", "Bo/01.mp3")):
        tune(name, seed=seed)
    (music / "bad.mp3").write_text("no audio")
    step("compress")
    step("catalog")
    before = ids()
    new = tmp_path / "new"
    tune("added.mp3", seed=5)
    music.rename(new)
    retag(new / "Bo/01.mp3", "Bo, retagged")
    for name in ("REJECTS", "FILES"):
        with killed_before_commit(monkeypatch, name):
            step("compress", library=str(new))
    assert {row["library"] for row in table(FILES)} == {str(music)}
    assert step("compress", library=str(new))["attempted"] == 0  # staged already
    assert {row["path"] for row in table(FILES)} == {
        str(new / name) for name in ("Ada/01.mp3", "Bo/01.mp3", "added.mp3", "bad.mp3")
    }
    assert [row["path"] for row in table(REJECTS)] == [str(new / "bad.mp3")]
    for name in ("TRACK_IDS", "TRACKS"):
        with killed_before_commit(monkeypatch, name):
            step("catalog")
    assert ids() == before
    step("catalog")
    before["Bo, retagged"] = before.pop("Bo/01.mp3")
    assert {title: ids()[title] for title in before} == before and len(ids()) == 3


def test_moved_file_that_cannot_be_read_keeps_its_description(step, tune, table, music, tmp_path):
    tune("a.mp3", "Aria")
    step("compress")
    step("catalog")
    (before,) = table(TRACKS)
    new = tmp_path / "new"
    music.rename(new)
    step("compress", library=str(new))
    (new / "a.mp3").rename(tmp_path / "away")
    (new / "a.mp3").mkdir()  # reading it fails with an OSError, as on a disk that is away
    step("catalog")
    (found,) = table(TRACKS)
    assert (found["track_id"], found["title"]) == (before["track_id"], "Aria")
    assert found["path"] == str(new / "a.mp3") and found["mtime_ns"] is None
    (new / "a.mp3").rmdir()
    (tmp_path / "away").rename(new / "a.mp3")
    assert step("catalog")["new"] == 1
    assert table(TRACKS) == [{**before, "path": str(new / "a.mp3")}]
