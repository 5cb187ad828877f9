"""One Spark session for all tests, and the steps as functions."""

import argparse
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from pyspark.sql import SparkSession

from jobs.lake.storage import Lake
from jobs.spark import session
from jobs.steps import catalog, compress, extract

MASTER = "local[2]"

# Tables have a dozen rows here: to interpret a plan is quicker than to compile Java for it, and a second
# partition is enough. Segue's own settings are those of tests/services and tests/dags.
SETTINGS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
}


@pytest.fixture(scope="session", autouse=True)
def _store_of_workers(object_store: Any) -> None:
    """Start the object store first: Spark's workers have the environment that Java was started with."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> SparkSession:
    """The Spark session that all tests share."""
    session.redirect_stderr_to(tmp_path_factory.mktemp("logs") / "spark.log")
    shared = session.get_session(MASTER)
    for name, value in SETTINGS.items():
        shared.conf.set(name, value)
    return shared


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(tmp_path / "lake")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """An empty library."""
    (tmp_path / "music").mkdir()
    return tmp_path / "music"


@pytest.fixture
def step(spark: SparkSession, lake: Lake, music: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs compress, catalog or extract like the console script."""
    steps = {"compress": compress.main, "catalog": catalog.main, "extract": extract.main}

    def run(name: str, **options: Any) -> dict[str, Any]:
        defaults = {
            "bitrate": "64k",
            "in_place": False,
            "shard": "1/1",
            "retry_rejected": False,
            "metadata": None,
            "skip_invalid": False,
            "fma_ids": False,
            "codec": None,
            "no_mongo": True,
        }
        defaults |= {"library": str(music) if name == "compress" else None}
        arguments = {"lake": str(lake.root), "master": MASTER, **defaults, **options}
        return dict(steps[name](argparse.Namespace(**arguments)).counts)

    return run


@pytest.fixture
def song(music: Path) -> Callable[..., Path]:
    """Return a function that writes pink noise, by seed, into the library."""

    def write(name: str, *tags: str, seconds: float = 2.0, seed: int = 7) -> Path:
        path = music / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = f"anoisesrc=d={seconds}:r=44100:c=pink:a=0.5:seed={seed}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
        command += ["-f", "lavfi", "-i", noise, "-ac", "2", "-b:a", "192k"]
        for tag in tags:
            command += ["-metadata", tag]
        subprocess.run([*command, f"file:{path}"], check=True)
        return path

    return write


@pytest.fixture
def table(lake: Lake) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that reads a table's rows, ordered by key."""

    def read(declared: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = lake.read_arrow(declared).to_pylist()
        return sorted(rows, key=lambda row: tuple(row[name] for name in declared.key))

    return read
