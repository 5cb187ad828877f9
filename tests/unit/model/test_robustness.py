"""The same recording in another form is among its own five nearest, for both default recipes."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from jobs.audio import features_of_file
from jobs.lake.feature_columns import FEATURE_COLUMNS, FEATURE_VERSION
from jobs.model import fitting
from jobs.steps.embed import recipe_columns

pytestmark = pytest.mark.slow

# FFmpeg's options and the suffix of each form, and the second at which the excerpt starts.
FORMS = {
    "8 kHz": (["-ar", "8000"], ".wav", 0),
    "22.05 kHz": (["-ar", "22050"], ".wav", 0),
    "48 kHz": (["-ar", "48000"], ".wav", 0),
    "96 kHz": (["-ar", "96000"], ".wav", 0),
    "mono": (["-ac", "1"], ".wav", 0),
    "MP3": (["-b:a", "64k"], ".mp3", 0),
    "Opus": (["-c:a", "libopus", "-b:a", "64k"], ".opus", 0),
    "FLAC": ([], ".flac", 0),
    "6 dB louder": (["-filter:a", "volume=6dB", "-c:a", "pcm_f32le"], ".wav", 0),
    "6 dB quieter": (["-filter:a", "volume=-6dB"], ".wav", 0),
    "1 s later": ([], ".wav", 1),
}
N_TRIED = 3


def excerpt(source: Path, target: Path, options: list[str], start: int) -> np.ndarray:
    """Return the features of ten seconds in another form."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-nostdin",
        "-v",
        "error",
        "-y",
        "-ss",
        str(start),
        "-t",
        "10",
    ]
    subprocess.run([*command, "-i", source, "-map", "0:a:0", *options, target], check=True)
    return features_of_file.extract_file_features(str(target)).values.astype(np.float64)


@pytest.fixture(scope="module")
def features_in(
    recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[np.ndarray, Callable[[str], np.ndarray]]:
    """Return the features of recordings at 44.1 kHz, and a function: those of the first ones in a form."""
    folder = tmp_path_factory.mktemp("forms")
    sources = sorted((recordings / "music" / "kevin-macleod-ccby3").glob("*.ogg"))
    original = [
        excerpt(source, folder / f"{number}.wav", ["-ar", "44100", "-ac", "2"], 0)
        for number, source in enumerate(sources)
    ]

    def in_form(name: str) -> np.ndarray:
        options, suffix, start = FORMS[name]
        target = folder / f"form{suffix}"
        return np.array([excerpt(source, target, options, start) for source in sources[:N_TRIED]])

    return np.array(original), in_form


@pytest.mark.parametrize("form", FORMS)
def test_other_form_is_among_its_own_five_nearest(
    features_in: tuple[np.ndarray, Callable[[str], np.ndarray]], form: str
) -> None:
    original, in_form = features_in
    changed = in_form(form)
    for recipe in ("timbre", "musicnn"):
        columns = recipe_columns(recipe, FEATURE_VERSION)
        positions = [FEATURE_COLUMNS.index(column) for column in columns]
        embedder, _ = fitting.fit_embedder(original[:, positions], columns, recipe=recipe, dimensions=96)
        vectors = embedder.apply(original[:, positions])
        cosines = embedder.apply(changed[:, positions]) @ vectors.T
        own = np.diagonal(cosines)[:, None]
        ranks = 1 + (cosines > own).sum(axis=1)
        assert (ranks <= 5).all(), (recipe, ranks)
