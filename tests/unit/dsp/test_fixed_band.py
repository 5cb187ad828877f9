"""Features of a fixed band: known answers, and what must not change them."""

import librosa
import numpy as np
import pytest
import scipy.ndimage
import soxr

from jobs.dsp import features, fixed_band, kernels
from jobs.dsp.fixed_band import FixedBand, FluctuationPattern, HarmonicShare

RATE = 22_050


def pulsing_noise(rate: float = 4.0, duration_s: float = 12.0) -> np.ndarray:
    time = np.arange(int(duration_s * RATE)) / RATE
    noise = np.random.default_rng(3).standard_normal(time.size)
    return (0.1 * (1 + 0.9 * np.sin(2 * np.pi * rate * time)) * noise).astype(np.float32)


def extract(signal: np.ndarray, rate: int = RATE) -> dict[str, np.ndarray]:
    return features.extract_groups(lambda: iter([signal]), sample_rate=rate, groups=[FixedBand])


def test_gaussian_is_that_of_librosas_mfcc() -> None:
    signal = pulsing_noise()
    mel = librosa.feature.melspectrogram(y=signal, sr=RATE, n_mels=64, fmax=10_000)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, ref=np.max), n_mfcc=20)
    found = extract(signal)
    np.testing.assert_allclose(found["mel_mean"], mfcc.mean(axis=1), atol=1e-3)
    upper = np.triu_indices(20)
    np.testing.assert_allclose(found["mel_covariance"], np.cov(mfcc, bias=True)[upper], atol=0.02)
    # The first frame has no change, which counts as one without any.
    changes = np.diff(mfcc, prepend=mfcc[:, :1])
    np.testing.assert_allclose(found["mel_delta_covariance"], np.cov(changes, bias=True)[upper], atol=0.02)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_level_does_not_change_features(gain: float) -> None:
    signal = pulsing_noise()
    quiet = extract(signal * np.float32(gain))
    for name, values in extract(signal).items():
        np.testing.assert_allclose(quiet[name], values, atol=1e-2)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_sample_rate_hardly_changes_features(rate: int) -> None:
    signal = pulsing_noise()
    resampled = soxr.resample(signal, RATE, rate)
    found, other = extract(signal), extract(resampled, rate)
    deviations = np.sqrt(np.diag(_square(found["mel_covariance"])))
    assert (np.abs(other["mel_mean"] - found["mel_mean"]) / deviations).max() < 0.1
    np.testing.assert_allclose(other["harmonic_share"], found["harmonic_share"], atol=0.01)


def _square(triangle: np.ndarray) -> np.ndarray:
    matrix = np.zeros((20, 20))
    matrix[np.triu_indices(20)] = triangle
    return matrix


@pytest.mark.parametrize("rate", [2.0, 4.0, 8.0])
def test_fluctuation_is_strongest_at_the_rate_of_the_pulse(rate: float) -> None:
    frames = np.arange(1_000)[:, None] * fixed_band.HOP_LENGTH / RATE
    levels = np.repeat(10 * np.sin(2 * np.pi * rate * frames), 64, axis=1).astype(np.float32)
    pattern = FluctuationPattern()
    pattern.add(levels)
    rates = np.geomspace(0.3, 15, 20)
    strongest = rates[np.argmax(pattern._sum, axis=1)]
    np.testing.assert_allclose(strongest, rate, rtol=0.12)


def test_tones_last_and_clicks_strike() -> None:
    tones = np.zeros((200, 64), np.float32)
    tones[:, 4::8] = 1
    clicks = np.zeros((200, 64), np.float32)
    clicks[10::20] = 1
    for power, share in ((tones, 1), (clicks, 0)):
        accumulator = HarmonicShare()
        accumulator.add(power)
        np.testing.assert_allclose(accumulator.result(), share, atol=1e-6)


def test_silent_band_has_half_a_share() -> None:
    accumulator = HarmonicShare()
    accumulator.add(np.zeros((10, 64), np.float32))
    np.testing.assert_array_equal(accumulator.result(), 0.5)


def test_medians_are_scipys() -> None:
    bands = np.random.default_rng(0).random((50, 12)).astype(np.float32)
    lasting = scipy.ndimage.median_filter(bands, size=(9, 1), mode="nearest").astype(float) ** 2
    striking = scipy.ndimage.median_filter(bands, size=(1, 5), mode="nearest").astype(float) ** 2
    found = kernels.harmonic_share(bands, 9, 5)
    np.testing.assert_allclose(found, lasting / (lasting + striking), rtol=1e-5)


@pytest.mark.parametrize("duration_s", [0.5, 2.0, 5.9])
def test_short_recordings_have_all_features(duration_s: float) -> None:
    found = extract(pulsing_noise(duration_s=duration_s))
    assert sum(map(len, found.values())) == 528
    assert all(np.isfinite(values).all() for values in found.values())


def test_blocks_of_rows_are_in_order() -> None:
    buffer = fixed_band.FeatureAccumulator(None).rows  # type: ignore[arg-type]
    rows = np.arange(7_000, dtype=np.float32)[:, None] * np.ones((1, 100), np.float32)
    for start in range(0, 7_000, 900):
        buffer.add(rows[start : start + 900])
    blocks = list(buffer.blocks(1_024))
    assert [len(block) for block in blocks] == [1_024] * 6 + [856]
    np.testing.assert_array_equal(np.concatenate(blocks), rows)
