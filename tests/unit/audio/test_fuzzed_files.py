"""Any file: rates, channels, lengths and levels at their limits give finite features, or one clear reason."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.audio import features_of_file
from jobs.errors import UnusableFile
from jobs.lake.feature_columns import FEATURE_COLUMNS


def music(duration_s: float, rate: int) -> np.ndarray:
    time = np.arange(int(duration_s * rate)) / rate
    chord = sum(np.sin(2 * np.pi * 440 * 2 ** (step / 12) * time) for step in (-12, 0, 4, 7))
    noise = np.random.default_rng(5).standard_normal(time.size)
    return (0.1 * chord * np.exp(-4 * (time % 0.5)) + 0.001 * noise).astype(np.float32)


def described(
    folder: Path, signal: np.ndarray, rate: int, name: str = "a.wav", subtype: str | None = "FLOAT"
) -> dict:
    soundfile.write(folder / name, signal, rate, subtype=subtype)
    values, duration, sample_rate = features_of_file.extract_file_features(str(folder / name))
    assert values.shape == (len(FEATURE_COLUMNS),)
    assert np.isfinite(values).all()
    assert duration == pytest.approx(len(signal) / rate, abs=0.1)
    assert sample_rate == rate
    return dict(zip(FEATURE_COLUMNS, values.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]
)
def test_any_sample_rate(tmp_path: Path, rate: int) -> None:
    found = described(tmp_path, music(4, rate), rate)
    # A major, at 120 beats per minute, wherever the pass bands end.
    assert found["key"] == 9
    assert found["tempo"] == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_mono_to_seven_point_one(tmp_path: Path, channels: int) -> None:
    mono = music(1, 44_100)
    expected = described(tmp_path, mono, 44_100)
    spread = np.outer(mono, np.linspace(0.5, 1.5, channels) if channels > 1 else [1]).astype(np.float32)
    found = described(tmp_path, spread, 44_100, "b.wav")
    for column in ("rmse_mean_01", "spectral_centroid_median_01", "chroma_cqt_mean_10", "mfcc_mean_03"):
        assert found[column] == pytest.approx(expected[column], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.flac", None), ("a.ogg", None), ("a.mp3", None), ("a.wav", "PCM_U8")]
)
def test_any_format(tmp_path: Path, name: str, subtype: str | None) -> None:
    expected = described(tmp_path, music(2, 44_100), 44_100)
    found = described(tmp_path, music(2, 44_100), 44_100, name, subtype)
    assert found["chroma_cqt_mean_10"] == pytest.approx(expected["chroma_cqt_mean_10"], abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_half_a_second(tmp_path: Path, rate: int) -> None:
    described(tmp_path, music(0.5, rate), rate)
    with pytest.raises(UnusableFile, match=r"at least 0.5 s of sound, found 0\.\d+ s"):
        described(tmp_path, music(0.49, rate), rate)


def test_dc_offset(tmp_path: Path) -> None:
    plain, shifted = (described(tmp_path, music(2, 44_100) + offset, 44_100) for offset in (0.0, 0.5))
    assert shifted["zcr_mean_01"] == 0
    assert shifted["tempo"] == pytest.approx(plain["tempo"], rel=0.02)
    assert shifted["key"] == plain["key"]


def test_clipping(tmp_path: Path) -> None:
    clipped = np.clip(50 * music(2, 44_100), -1, 1)
    assert described(tmp_path, clipped, 44_100, subtype="PCM_16")["rmse_max_01"] <= 1


def test_louder_than_full_scale(tmp_path: Path) -> None:
    described(tmp_path, 500 * music(1, 44_100), 44_100)


def test_silence_inside(tmp_path: Path) -> None:
    sound = music(2, 44_100)
    found = described(tmp_path, np.concatenate([sound, np.zeros(5 * 44_100, np.float32), sound]), 44_100)
    for column in ("rmse_median_01", "spectral_centroid_median_01", "chroma_stft_median_10", "zcr_median_01"):
        assert found[column] == 0
    # The floor, 80 dB below the loudest in every band: the constant, coefficient 1, is all there is.
    assert found["mfcc_median_02"] == pytest.approx(0, abs=1e-3)


def test_single_sample_in_silence(tmp_path: Path) -> None:
    described(tmp_path, np.where(np.arange(44_100) == 20_000, 1, 0).astype(np.float32), 44_100)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "expected finite samples of about -1 to 1, found nan"),
        (np.inf, "expected finite samples of about -1 to 1, found inf"),
        (1e30, "expected finite samples of about -1 to 1, found 1e\\+30"),
    ],
)
def test_extreme_float_samples(tmp_path: Path, value: float, reason: str) -> None:
    signal = music(1, 44_100)
    signal[30_000] = value
    with pytest.raises(UnusableFile, match=reason):
        described(tmp_path, signal, 44_100)


def test_silence_only_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="no sound: all 44100 samples are zero"):
        described(tmp_path, np.zeros(44_100, np.float32), 44_100)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(5_000), b"\xff\xfb\x90\x00" * 50])
def test_other_content_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(UnusableFile, match="^expected .*, found") as refusal:
        features_of_file.extract_file_features(str(tmp_path / "a.mp3"))
    assert "\n" not in str(refusal.value)
