"""`segue upgrade`: a lake of 0.1, written here by pyarrow with the old names, becomes one of version 2."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs import cli
from jobs.lake import upgrade
from jobs.lake.lake_version import find_version
from jobs.lake.schemas import FILES, FMA_METADATA, PLAYS, REJECTS, TRACKS
from jobs.lake.storage import Lake
from jobs.model import registry, tracking
from jobs.plays import play_log

PLAYED_AT = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)
OLD_OUTCOMES = ["kept", "listed", "compressed", "rejected"]
NEW_OUTCOMES = ["unchanged", "not_tried", "compressed", "rejected"]
DERIVED = ("TOGETHER", "PAIRS", "PROJECTIONS", "VECTORS", "EMBEDDINGS", "RECOMMENDATIONS")


def rows_of(table, *rows):
    schema = table.arrow_schema()
    return pa.Table.from_pylist([{**dict.fromkeys(table.names), **row} for row in rows], schema=schema)


def write_version(root, name, rows, version="v000001"):
    folder = root / name / version
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(rows, folder / "part-00000.parquet")
    pointer = root / name / "current"
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(version)
    return folder


def write_old_lake(root):
    files = [{"path": f"/m/{n}.mp3", "outcome": outcome} for n, outcome in enumerate(OLD_OUTCOMES)]
    folder = write_version(root, "FILES", rows_of(FILES, *files))
    (folder / ".part-00000.parquet.crc").write_bytes(b"checksum of the old content")
    staged = root / "FILES" / "staged" / "1"
    staged.mkdir(parents=True)
    pyarrow.parquet.write_table(rows_of(FILES, *files), staged / "part-00000.parquet")
    write_version(root, "METADATA", rows_of(FMA_METADATA, {"track_id": "2", "track_title": "Food"}))
    write_version(root, "TRACKS", rows_of(TRACKS, {"track_id": "2"}))
    write_version(root, "REJECTS", rows_of(REJECTS, {"path": "/m/3.mp3", "step": "compress"}))
    for name in DERIVED:
        write_version(root, name, rows_of(TRACKS, {"track_id": "2"}))
    play = {"event_id": "a", "user_id": "eva", "track_id": "2", "event": "finished", "played_at": PLAYED_AT}
    day = root / "PLAYS" / "v000001" / "day=2026-11-01"
    day.mkdir(parents=True)
    pyarrow.parquet.write_table(
        rows_of(PLAYS, {**play, "origin": "0", "offset": 1}), day / "part-00000.parquet"
    )
    (root / "PLAYS" / "current").symlink_to("v000001")
    live = root / "PLAYS" / "live"
    live.mkdir()
    row = {**play, "event_id": "b", "origin": "0", "offset": 2}
    pyarrow.parquet.write_table(rows_of(PLAYS, row), live / "0-x.parquet")
    for name in ("mongo", "stream", "accounts", "audio"):
        (root / name).mkdir()
        (root / name / "file").write_text(name)


def check_upgraded(root):
    lake = Lake(root)
    assert find_version(root) == 2
    assert lake.read_arrow(FILES, "outcome")["outcome"].to_pylist() == NEW_OUTCOMES
    assert lake.read_staged_arrow(FILES, "outcome")["outcome"].to_pylist() == NEW_OUTCOMES
    assert not list(root.rglob("*.crc"))
    assert lake.read_arrow(FMA_METADATA, "track_title")["track_title"].to_pylist() == ["Food"]
    assert lake.count_rows(TRACKS) == lake.count_rows(REJECTS) == 1
    assert sorted(play_log.read(lake, "event_id")["event_id"].to_pylist()) == ["a", "b"]
    assert not [name for name in (*DERIVED, "METADATA", "mongo", "stream") if (root / name).exists()]
    assert (root / "accounts" / "file").read_text() == "accounts"
    assert (root / "audio" / "file").read_text() == "audio"


def test_upgrade_converts_an_old_lake(tmp_path, capsys):
    root = tmp_path / "lake"
    write_old_lake(root)
    assert cli.main(["catalog", "--lake", str(root)]) == 2
    assert f"run `segue upgrade --lake {root}` first" in capsys.readouterr().err
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "METADATA to FMA_METADATA" in printed and "2 Parquet files of FILES" in printed
    assert "TOGETHER" in printed and "mongo" in printed and "segue run --library DIR" in printed
    check_upgraded(root)


def test_second_upgrade_changes_nothing(tmp_path, capsys):
    root = tmp_path / "lake"
    write_old_lake(root)
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


PROGRAM = """
import os, pathlib, signal, sys
root, countdown = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def hook(event, arguments):
    global countdown
    changes = ("os.rename", "shutil.rmtree", "open")
    is_read = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if event in changes and str(root) in str(arguments) and not is_read:
        countdown -= 1
        if countdown < 0:
            os.kill(os.getpid(), signal.SIGKILL)

from jobs import cli
sys.addaudithook(hook)
sys.exit(cli.main(["upgrade", "--lake", str(root)]))
"""


@pytest.mark.slow
def test_killed_upgrade_is_completed_by_the_next(tmp_path):
    """Killed before every file written, rename and removed folder in turn."""
    original = tmp_path / "original"
    write_old_lake(original)
    (tmp_path / "program.py").write_text(PROGRAM)
    kills = 0
    while True:
        root = tmp_path / "lake"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(original, root, symlinks=True)
        command = [sys.executable, tmp_path / "program.py", root, str(kills)]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        status = subprocess.run(command, env=environment, capture_output=True).returncode
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        assert find_version(root) == 1
        assert cli.main(["upgrade", "--lake", str(root)]) == 0
        check_upgraded(root)
    check_upgraded(root)
    assert kills > 10


def test_upgrade_removes_the_model_aliases(tmp_path, monkeypatch):
    root = tmp_path / "lake"
    write_old_lake(root)
    tracking.connect(None, root)
    removed = []
    monkeypatch.setattr(registry, "aliases", lambda: {"champion": "1", "challenger": "2"})
    monkeypatch.setattr(
        registry.mlflow.MlflowClient,
        "delete_registered_model_alias",
        lambda _, name, alias: removed.append((name, alias)),
    )
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    assert removed == [("segue", "challenger"), ("segue", "champion")]


def test_upgrade_without_lake_is_refused(tmp_path, capsys):
    assert cli.main(["upgrade", "--lake", str(tmp_path / "none")]) == 2
    assert "expected the folder of a lake, found none" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_upgrade_of_a_newer_lake_is_refused(tmp_path, capsys):
    (tmp_path / "VERSION").write_text("3")
    assert cli.main(["upgrade", "--lake", str(tmp_path)]) == 2
    assert "update Segue" in capsys.readouterr().err


def test_upgrade_waits_for_the_lock(tmp_path, capsys):
    root = tmp_path / "lake"
    write_old_lake(root)
    with Lake(root, any_version=True).locked():
        assert cli.main(["upgrade", "--lake", str(root)]) == 1
    assert "found another segue at work" in capsys.readouterr().err
    assert upgrade.upgrade_tables(root).rewritten_files == 2  # it had changed nothing
