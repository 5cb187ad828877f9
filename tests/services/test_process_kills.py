"""kill -9 at random moments of `segue run`: the tables are those of an undisturbed run, no original is lost.

`SEGUE_KILLS=10` kills more often than CI has time for.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from jobs.model import registry, tracking
from jobs.paths import sha256_file
from tests.services.conftest import SEGUE, documents, environment, rows, segue

KILLS = int(os.environ.get("SEGUE_KILLS", "4"))


def hashes(folder: Path) -> dict[str, str]:
    return {str(file): sha256_file(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def run_of(music: Path) -> list[str]:
    """Return the command; one K-Means is enough: the kills test the transitions between steps."""
    return ["run", "--library", str(music), "--k", "3", "--seeds", "1"]


def killed_after(lake: Path, music: Path, seconds: float) -> bool:
    """Run the batch and kill it after `seconds`; return False if it ended before."""
    process = subprocess.Popen(
        [SEGUE, *run_of(music)],
        env=environment(lake),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    children: list[psutil.Process] = []
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    finally:
        # JVMs and workers end with their parent: none is left to write during the next run.
        assert not psutil.wait_procs(children, timeout=60)[1]


def test_tables_after_kills_are_those_of_one_run(tmp_path, demo_library):
    music, lake = tmp_path / "music", tmp_path / "lake"
    shutil.copytree(demo_library(6), music)
    (music / "broken.mp3").write_text("not music")
    originals = hashes(music)
    started = time.monotonic()
    segue(lake, *run_of(music))
    run_s = time.monotonic() - started
    expected, expected_documents = rows(lake), documents(lake)
    shutil.rmtree(lake)  # the same path again: tables and MLflow contain absolute paths

    chance = random.Random(4)
    kills = 0
    while kills < KILLS:
        # What was done stays done: killed in its first half, each run still comes further than the one
        # before.
        if killed_after(lake, music, chance.uniform(2, 0.6 * run_s)):
            kills += 1
        else:
            assert rows(lake) == expected  # it ended despite the kills before
            shutil.rmtree(lake)
    segue(lake, *run_of(music))
    assert rows(lake) == expected
    assert documents(lake) == expected_documents
    assert hashes(music) == originals
    tracking.connect(None, lake)
    assert len(registry.versions()) == 1
    assert not list((lake / "audio").glob("parts/*"))
