"""kill -9 at random moments of `segue run`: afterwards the same tables as after an undisturbed run, no
original lost.

SEGUE_KILLS=10 for more of them than CI has time for.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from jobs.model import registry, tracking
from tests.services.conftest import SEGUE, documents, environment, rows, segue

KILLS = int(os.environ.get("SEGUE_KILLS", "4"))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def run_of(music: Path) -> list[str]:
    """One K-Means is enough: it is the steps' edges that the kills look for."""
    return ["run", "--library", str(music), "--k", "3", "--seeds", "1"]


def killed_after(lake: Path, music: Path, seconds: float) -> bool:
    """Run the batch and kill it; return False where it was done before."""
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
        # The JVMs and workers see their parent gone and end: none is left to write beside the next run.
        assert not psutil.wait_procs(children, timeout=60)[1]


def test_the_same_tables_after_kills(tmp_path, demo_library):
    music, lake = tmp_path / "music", tmp_path / "lake"
    shutil.copytree(demo_library(6), music)
    (music / "broken.mp3").write_text("not music")
    originals = hashes(music)
    started = time.monotonic()
    segue(lake, *run_of(music))
    whole = time.monotonic() - started
    expected, expected_documents = rows(lake), documents(lake)
    shutil.rmtree(lake)  # the same path again: tables and MLflow hold absolute paths

    chance, kills = random.Random(4), 0
    while kills < KILLS:
        # What was done stays done: killed in its first half, each run still comes further than the one
        # before.
        if killed_after(lake, music, chance.uniform(2, 0.6 * whole)):
            kills += 1
        else:
            assert rows(lake) == expected  # done in spite of the kills before
            shutil.rmtree(lake)
    segue(lake, *run_of(music))
    assert rows(lake) == expected
    assert documents(lake) == expected_documents
    assert hashes(music) == originals
    tracking.connect(None, lake)
    assert len(registry.versions()) == 1
    assert not list((lake / "audio").glob("parts/*"))
