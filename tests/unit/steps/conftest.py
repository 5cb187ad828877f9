"""Fixtures: compress every file of a folder, without Spark."""

import functools
import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from jobs.audio import transcode
from jobs.library import scan
from jobs.paths import to_path
from jobs.steps import compress


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def scan_files(folder):
    return scan.scan(str(folder), Path("/nowhere")).files


@pytest.fixture
def run(tmp_path):
    """Compress every file below a folder, without Spark; return the rows by file name."""

    def run(folder=tmp_path, *, bit_rate=64_000, in_place=False, audio_root=None, codec="mp3"):
        function = functools.partial(
            compress.compress_file,
            audio_root=str(audio_root or "/tmp/unused"),
            bit_rate=bit_rate,
            in_place=in_place,
            codec=codec,
        )
        return {os.path.basename(to_path(row["path"])): function(row) for row in scan_files(folder)}

    return run


@pytest.fixture(scope="module")
def forkserver():
    """Starts processes from one that has no threads.

    A fork out of pytest's own hung once, at a lock that a thread had held.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def to_lake(run, tmp_path_factory):
    return functools.partial(run, audio_root=tmp_path_factory.mktemp("lake") / "audio")


@pytest.fixture
def in_place(run):
    return functools.partial(run, in_place=True)


def while_compressing(monkeypatch, change):
    encode = transcode.transcode

    def slow(*args, **options):
        duration = encode(*args, **options)
        change()
        return duration

    monkeypatch.setattr(transcode, "transcode", slow)


def half(path):
    os.truncate(path, os.path.getsize(path) // 2)
