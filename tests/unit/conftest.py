"""Fixtures: audio in every format, written by FFmpeg; a registry with models."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import imageio_ffmpeg
import pytest

CODECS = {
    ".mp3": ["-c:a", "libmp3lame", "-b:a", "192k"],
    ".ogg": ["-c:a", "libvorbis", "-b:a", "192k"],
    ".opus": ["-c:a", "libopus", "-b:a", "192k"],
    ".m4a": ["-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart"],
    ".aac": ["-c:a", "aac", "-b:a", "192k", "-f", "adts"],
    ".flac": ["-c:a", "flac"],
    ".wav": ["-c:a", "pcm_s16le"],
}


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes pink noise to a file.

    `codec` gives a format other than the extension's.
    """

    def write(
        name: str,
        *options: str,
        seconds: float = 3.0,
        rate: int = 44_100,
        channels: int = 2,
        codec: str | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = codec or path.suffix
        muxer = {".m4a": ["-f", "ipod"], ".opus": ["-f", "ogg"], ".aac": []}.get(kind, ["-f", kind[1:]])
        noise = f"anoisesrc=d={seconds}:r={rate}:c=pink:a=0.5:seed=7"
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            noise,
            "-ac",
            str(channels),
        ]
        subprocess.run([*command, *CODECS[kind], *muxer, *options, f"file:{path}"], check=True)
        return path

    return write


@pytest.fixture(scope="session", autouse=True)
def _quick_password_hashes() -> Iterator[None]:
    """Hash passwords with argon2 as always, but not for 50 ms each."""
    import argon2

    quick = functools.partial(argon2.PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argon2, "PasswordHasher", quick)
        yield


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder that any user may write to; pytest's folders are closed to all but the user who runs it."""
    with tempfile.TemporaryDirectory(prefix="segue-test-") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.fixture
def ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which this process has the rights of an ordinary user (root may write anywhere)."""

    @contextmanager
    def become() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)

    return become


def _sleeping(folder: Path) -> str:
    program = folder / "sleeping-ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 1234.5\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def hanging_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replace FFmpeg by a program that only sleeps, with a limit of half a second.

    Return its command line.
    """
    from jobs.audio import decoding

    program = _sleeping(tmp_path)
    monkeypatch.setattr(decoding, "ffmpeg_path", lambda: program)
    monkeypatch.setattr(decoding, "FFMPEG_LIMIT_S", 0.5)
    return "sleep 1234.5"


@pytest.fixture(scope="session")
def _model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Quotes and % have a meaning for MLflow.
    folder = tmp_path_factory.mktemp("models") / """John's "Music" 50%"""
    folder.mkdir()
    return folder


@pytest.fixture
def models(_model_store: Path) -> Path:
    """Return a lake whose registry, now connected, has empty model versions 1, 2 and 3 without aliases."""
    from mlflow import MlflowClient  # a second, for the tests that need it

    from jobs.model import registry, tracking

    tracking.connect(None, _model_store)
    client = MlflowClient()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    client.create_registered_model(registry.MODEL)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    tags = {"feature_version": "fma518+1"}
    for number in "123":
        run_id = client.create_run(experiment).info.run_id
        client.set_terminated(run_id)
        client.create_model_version(
            registry.MODEL, "file:///nowhere", run_id, tags={**tags, "model_hash": number}
        )
    return _model_store
