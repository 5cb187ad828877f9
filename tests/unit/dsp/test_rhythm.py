"""Rhythm features: click tracks of known tempo, and a comparison with librosa's onset strength."""

import librosa
import numpy as np
import pytest

from jobs.dsp import features, rhythm, timbre

RATE = 22_050


def clicks(bpm: float, rate: int = RATE, duration_s: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    signal = 1e-4 * rng.standard_normal(int(duration_s * rate))
    click = 0.5 * rng.standard_normal(rate // 200) * np.exp(-np.arange(rate // 200) / (rate / 1000))
    for start in (np.arange(0.1, duration_s - 0.1, 60 / bpm) * rate).astype(int):
        signal[start : start + click.size] += click
    return signal.astype(np.float32)


def mel_features(signal: np.ndarray, rate: int = RATE) -> dict[str, np.ndarray]:
    result = features.extract_groups(lambda: iter([signal]), sample_rate=rate, groups=[timbre.Mel])
    assert all(np.isfinite(values).all() for values in result.values())
    return result


@pytest.mark.parametrize("bpm", [40, 60, 90, 120, 140, 180])
def test_click_track_has_its_tempo_and_onsets(bpm: int) -> None:
    result = mel_features(clicks(bpm))
    assert result["tempo"] == pytest.approx(bpm, rel=0.01)
    assert result["onset_density"] == pytest.approx(bpm / 60, abs=0.15)


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_tempo_does_not_depend_on_the_sample_rate(rate: int) -> None:
    assert mel_features(clicks(120, rate), rate)["tempo"] == pytest.approx(120, rel=0.015)


def test_tempogram_peaks_at_tempo_and_divisors() -> None:
    result = mel_features(clicks(120))["tempogram"]
    assert result.shape == (48,)
    tempi = 30 * 10 ** ((np.arange(48) + 0.5) / 48)
    at = {bpm: result[np.abs(np.log(tempi / bpm)).argmin()] for bpm in (40, 60, 90, 120, 240)}
    # A beat of 120 also repeats at half and a third of the tempo.
    assert min(at[40], at[60], at[120]) > 0.3
    assert max(at[90], at[240]) < 0.1


def test_pure_tone_has_no_rhythm() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 441 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    strength = np.zeros(500, np.float32)
    correlation, lag_rate = rhythm.autocorrelation(strength, 43.0)
    assert rhythm.tempo(correlation, lag_rate) == 0
    assert (rhythm.tempogram(correlation, lag_rate) == 0).all()
    assert mel_features(tone)["onset_density"] <= 0.5  # the start of the tone


def test_noise_has_no_onsets() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(10 * RATE)).astype(np.float32)
    assert mel_features(noise)["onset_density"] <= 0.2


def test_half_a_second_has_no_slow_tempi() -> None:
    result = mel_features(clicks(280, duration_s=0.5))["tempogram"]
    # Lags over half the recording, a quarter of a second, are tempi below 240 beats per minute.
    assert (result[:40] == 0).all()
    assert (result[44:] != 0).all()


def test_onset_strength_is_librosas() -> None:
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=clicks(120), sr=RATE))
    reference = librosa.onset.onset_strength(S=mel, center=False)
    whole = rhythm.onset_strength(mel.T, None)
    np.testing.assert_allclose(whole, reference, atol=1e-4)
    pieces = [rhythm.onset_strength(mel.T[:100], None), rhythm.onset_strength(mel.T[100:], mel.T[99:100])]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("bpm", [80, 100, 120])
def test_soft_offbeats_do_not_double_the_tempo(bpm: int) -> None:
    assert mel_features(clicks(bpm) + 0.03 * clicks(2 * bpm))["tempo"] == pytest.approx(bpm, rel=0.01)


def test_tempo_of_a_long_recording_is_its_longest_part() -> None:
    assert mel_features(np.concatenate([clicks(100, duration_s=40), clicks(75)]))["tempo"] == pytest.approx(
        100, rel=0.01
    )
