import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.paths import (
    atomic_write,
    escape_control_chars,
    fsync_dir,
    relative_to_here,
    sha256_file,
    sync,
    to_path,
    to_text,
)


@pytest.mark.parametrize(
    "name",
    [
        b"plain.mp3",
        "Séculaire 🎵.mp3".encode(),
        b"a\xff\xfe.mp3",
        b"back\\slash",
        b"a\\xff.mp3",
        b"new\nline",
        b"'\"",
    ],
)
def test_any_name_converts_to_text_and_back(name):
    text = to_text(os.fsdecode(name))
    text.encode("utf-8")  # what Parquet asks for
    assert os.fsencode(to_path(text)) == name


def test_plain_names_are_unchanged():
    assert to_text("/music/Björk/07 Jóga.mp3") == "/music/Björk/07 Jóga.mp3"


def test_byte_and_its_escape_differ():
    assert to_text(os.fsdecode(b"a\xff")) != to_text(r"a\xff")


def test_control_characters_are_escaped():
    assert escape_control_chars("a\nb\x1b[31m é") == "a\\nb\\x1b[31m é"


@pytest.mark.parametrize("data", [b"new \xc3\xa9", "new é", lambda file: file.write("new é".encode())])
def test_atomic_write_accepts_bytes_text_and_function(tmp_path, data):
    path = tmp_path / "file"
    path.write_text("old")
    atomic_write(path, data)
    assert path.read_text() == "new é"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_failure_leaves_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half(file):
        file.write(b"ne")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        atomic_write(path, write_half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_kill_leaves_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = """
import os, pathlib, signal, sys
from jobs.paths import atomic_write

def write_half_and_die(file):
    file.write(b"ne")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

atomic_write(pathlib.Path(sys.argv[1]), write_half_and_die)
"""
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_atomic_write_sets_mode_despite_umask(tmp_path):
    secret, plain = tmp_path / "secret", tmp_path / "plain"
    umask = os.umask(0o027)
    try:
        atomic_write(secret, b"", mode=0o606)
        atomic_write(plain, b"")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o606
    assert stat.S_IMODE(plain.stat().st_mode) == 0o640


def test_atomic_write_mode_holds_while_writing(tmp_path):
    modes = []
    atomic_write(
        tmp_path / "key", lambda file: modes.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode)), mode=0o600
    )
    assert modes == [0o600]


@pytest.mark.parametrize(("fsync", "synced"), [(True, ["file", "folder"]), (False, [])])
def test_atomic_write_syncs_file_then_folder(tmp_path, monkeypatch, fsync, synced):
    calls = []

    def record(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("folder" if is_folder else "file")

    monkeypatch.setattr(os, "fsync", record)
    atomic_write(tmp_path / "file", b"content", fsync=fsync)
    assert calls == synced


def test_sync_works_without_fdatasync(tmp_path, monkeypatch):
    """As on macOS, whose file systems may know F_FULLFSYNC or not."""
    calls = []
    monkeypatch.delattr(os, "fdatasync", raising=False)
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    with (tmp_path / "file").open("wb") as file:
        sync(file.fileno(), data_only=True)
        assert calls == ["fsync"]
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 10**6, raising=False)  # this system refuses the number
        sync(file.fileno())
        assert calls == ["fsync", "fsync"]
        monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: calls.append(command))
        sync(file.fileno())
        assert calls == ["fsync", "fsync", 10**6]


def test_atomic_write_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "missing" / "file", b"")


def test_fsync_dir_missing_folder_raises(tmp_path):
    fsync_dir(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_dir(tmp_path / "missing")


def test_sha256_file_is_hash_of_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content" * 100_000)
    assert sha256_file(path) == hashlib.sha256(b"content" * 100_000).hexdigest()


def test_path_below_the_current_folder_is_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert relative_to_here(tmp_path / "lake" / "a") == Path("lake/a")
    assert relative_to_here(tmp_path.parent / "other") == tmp_path.parent / "other"
