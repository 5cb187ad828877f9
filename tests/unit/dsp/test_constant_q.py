"""The streaming constant-Q chroma against librosa.cqt, at every sample rate and block size."""

import librosa
import numpy as np
import pytest

from jobs.dsp import constant_q, kernels
from jobs.dsp.constant_q import ConstantQ

pytestmark = pytest.mark.filterwarnings(
    "ignore:n_fft="
)  # librosa warns about the low octaves of short signals


def sound(count: int, seed: int = 0) -> np.ndarray:
    # Loud low and soft high frequencies, as in music.
    return (0.05 * np.cumsum(np.random.default_rng(seed).standard_normal(count)) % 1 - 0.5).astype(np.float32)


def chroma(signal: np.ndarray, rate: int, tuning: float, size: int) -> np.ndarray:
    transform = ConstantQ(rate, tuning)
    parts = [transform(signal[start : start + size]) for start in range(0, len(signal), size)]
    return np.concatenate([*parts, transform(np.zeros(0, np.float32), last=True)]).T


def reference(signal: np.ndarray, rate: int, tuning: float, bins: int = 84) -> np.ndarray:
    response = np.abs(librosa.cqt(signal, sr=rate, tuning=tuning, n_bins=bins))
    folded = np.zeros((12, response.shape[1]))
    for number, row in enumerate(response):
        folded[number % 12] += row
    return folded


# At 33,000 Hz the tuning decides whether librosa downsamples before the first octave.
@pytest.mark.parametrize("rate", [11_025, 16_000, 22_050, 33_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("tuning", [-0.5, 0.0, 0.37])
def test_chroma_is_librosas(rate: int, tuning: float) -> None:
    signal = sound(30_011)
    expected = reference(signal, rate, tuning)
    result = chroma(signal, rate, tuning, 7_001)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.parametrize(("rate", "bins"), [(8_000, 83), (4_000, 71)])
def test_bins_above_half_the_sample_rate_are_omitted(rate: int, bins: int) -> None:
    signal = sound(20_001)
    with pytest.raises(librosa.ParameterError, match="exceed the Nyquist"):
        librosa.cqt(signal, sr=rate, n_bins=bins + 1, tuning=0.0)
    assert constant_q.cqt_plan(rate, 0.0).bins == bins
    np.testing.assert_allclose(
        chroma(signal, rate, 0.0, 3_000), reference(signal, rate, 0.0, bins), rtol=1e-4
    )


@pytest.mark.parametrize("count", [2_000, 22_049, 65_536, 131_071, 131_072 + 511])
@pytest.mark.parametrize("size", [997, 65_536, 10**6])
def test_block_size_does_not_change_chroma(count: int, size: int) -> None:
    signal = sound(count)
    result = chroma(signal, 44_100, 0.1, size)
    assert result.shape == reference(signal, 44_100, 0.1).shape
    np.testing.assert_allclose(result, chroma(signal, 44_100, 0.1, count), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("note", range(24, 108, 7))
def test_pure_tone_is_in_its_pitch_class(note: int) -> None:
    tone = np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * np.arange(44_100) / 44_100).astype(np.float32)
    middle = chroma(tone, 44_100, 0.0, 10_000)[:, 20:-20].mean(axis=1)
    assert middle.argmax() == note % 12


def test_cens_is_librosas() -> None:
    folded = reference(sound(60_000), 22_050, 0.0).astype(np.float32)
    folded[:, 10:70] = 0  # silence longer than the window: not divided by 0
    window = librosa.filters.get_window("hann", 43, fftbins=False)
    result = kernels.cens_smooth(kernels.cens_quantize(np.ascontiguousarray(folded.T)), window / window.sum())
    expected = librosa.feature.chroma_cens(C=folded, n_octaves=1, bins_per_octave=12)
    np.testing.assert_allclose(result.T, expected, atol=1e-6)
    assert (result[40] == 0).all()
