"""`segue describe`: the table, JSON and plot of one file, and unusable input."""

import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile

from jobs.audio import features_of_file
from jobs.cli import main
from jobs.commands import describe_plot
from jobs.lake.feature_columns import FEATURE_SIZES, SIGNAL_COLUMNS
from jobs.musicnn import tags


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    time = np.arange(4 * 22_050) / 22_050
    notes = np.where(time % 2 < 1, 440.0, 660.0)
    path = tmp_path_factory.mktemp("music") / "a [song] $1.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * notes * time) * np.exp(-6 * (time % 0.5)), 22_050)
    return path


def test_table_has_a_row_per_coefficient(song: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["describe", str(song)]) == 0
    printed = capsys.readouterr().out
    assert "a [song] $1.wav" in printed.replace("\n", "")
    assert float(re.search(r"([\d.]+) beats per minute", printed)[1]) == pytest.approx(120, rel=0.01)
    for label in ("chroma_cqt 12", "mfcc 20", "spectral_centroid", "tonnetz 06", "mfcc_delta 20"):
        assert sum(line.startswith(label + " ") for line in printed.splitlines()) == 1
    rows = printed.split("\n\n")[1].splitlines()[1:]
    assert len(rows) == sum(FEATURE_SIZES.values())
    assert all(len(row) <= 80 and "…" not in row for row in rows)


def test_json_has_the_values_that_extract_stores(song: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["describe", str(song), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["duration_s"], printed["sample_rate"]) == (4.0, 22_050)
    flat = [v for feature in printed["features"].values() for numbers in feature.values() for v in numbers]
    flat += [v for numbers in printed["descriptors"].values() for v in numbers]
    values, _, _ = features_of_file.extract_file_features(str(song))
    assert len(flat) == len(SIGNAL_COLUMNS)
    np.testing.assert_allclose(flat, values[: len(flat)], rtol=1e-6)
    assert set(printed["tags"]) == set(tags.TAGS)
    assert list(printed["tags"].values()) == sorted(printed["tags"].values(), reverse=True)
    assert max(printed["tags"].values()) == pytest.approx(values[-50:].max(), rel=1e-2)


def test_plot_is_written_and_replaced(song: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "plot.png"
    assert main(["describe", str(song), "--plot", str(out)]) == 0
    assert capsys.readouterr().out == f"describe: {out}\n"
    pixels = matplotlib.image.imread(out)
    assert pixels.shape[:2] == (1_080, 1_440)
    assert pixels.std() > 0.1
    # A second run replaces the file and leaves no temporary one.
    assert main(["describe", str(song), "--plot", str(out)]) == 0
    assert list(tmp_path.iterdir()) == [out]


def test_plot_shows_pooled_frames(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plotted = {}

    def record_frames(frames: dict, descriptors: dict, **_: object) -> object:
        plotted.update(frames)
        raise KeyboardInterrupt

    monkeypatch.setattr(describe_plot, "plot", record_frames)
    monkeypatch.setattr(describe_plot, "MAX_COLUMNS", 50)
    assert main(["describe", str(song), "--plot", str(song.with_name("x.png"))]) == 130
    assert plotted["mel"].shape == (128, 50)
    assert plotted["chroma"].shape == (12, 50)
    # The first second is an A, the second one an E.
    assert plotted["chroma"][:, 3].argmax() == 9
    assert plotted["chroma"][:, 18].argmax() == 4
    assert len(plotted["strength"]) == 1 + 4 * 22_050 // 512


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere.mp3"], "expected an audio file, found nothing at .*nowhere.mp3"),
        (["text.mp3"], "text.mp3: expected audio"),
        (["song.wav", "--plot", "song.wav"], r"expected a name that ends in .png, .svg, .pdf"),
        (["song.wav", "--plot", "link.png"], "the audio itself"),
        (["song.wav", "--plot", "none/a.png"], "expected an existing folder"),
    ],
)
def test_unusable_input_is_refused(
    song: Path,
    tmp_path: Path,
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp3").write_text("hello")
    content = song.read_bytes()
    (tmp_path / "song.wav").write_bytes(content)
    (tmp_path / "link.png").hardlink_to(tmp_path / "song.wav")
    assert main(["describe", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(reason, error)
    assert (tmp_path / "song.wav").read_bytes() == content


def test_describe_takes_no_lake(song: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["describe", str(song), "--lake", "x"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_average_pool_averages_columns() -> None:
    rows = np.arange(20, dtype=np.float32).reshape(2, 10)
    np.testing.assert_allclose(describe_plot.average_pool(rows, 5), rows.reshape(2, 5, 2).mean(axis=2))
    np.testing.assert_array_equal(describe_plot.average_pool(rows, 100), rows)
    assert describe_plot.average_pool(rows, 3).shape == (2, 3)
