"""Rhythm: how strongly each frame begins something new, how that repeats, and how often it happens.

Conventions: the onset strength is librosa.onset.onset_strength's, in dB, but for its delay of two frames: the rise of
the mel spectrum from frame to frame, falling bands counted as 0, averaged over the bands. Frame rates are in Hz, tempi
in beats per minute. A recording whose onset strength never changes has tempogram, tempo and onset density 0.
"""

import numpy as np
import scipy.fft
import scipy.ndimage

from jobs.lake.feature_columns import DESCRIPTORS

TEMPOGRAM_BPMS = DESCRIPTORS["tempogram"][0]
MIN_BPM, MAX_BPM = 30.0, 300.0
# Tempi looked at within each number of the tempogram: finer than a peak of the autocorrelation is wide.
_FINE = 8

# Autocorrelated at a time: two bars of a slow piece.
_WINDOW_S = 9.0
# Beats are not exact to a frame: the onset strength is smoothed by a Gaussian of this deviation.
_SMOOTH_S = 0.02
# Lags are interpolated to at least this rate, so that slow frame rates do not round the tempo.
_LAG_RATE = 200.0

# How likely a tempo is before anything is heard: log-normal, as in librosa.feature.tempo.
_USUAL_TEMPO, _OCTAVES = 120.0, 1.0
# Of two tempi about as good as one another, one is a multiple of the other: the faster one is beaten.
_AS_GOOD = 0.85

# An onset stands out from the mean around it by this many dB and deviations, and is the largest around itself.
_STANDS_OUT_DB, _STANDS_OUT = 0.5, 0.5
_AROUND_S, _APART_S = 0.25, 0.05


def onset_strength(mel: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Return the onset strength, dB, (frames,), of a mel spectrum (frames, bands) in dB after the frame `before`."""
    rise = np.diff(mel, axis=0, prepend=mel[:1] if before is None else before)
    return np.maximum(rise, 0).mean(axis=1)


def autocorrelation(strength: np.ndarray, frame_rate: float) -> tuple[np.ndarray, float]:
    """Return the autocorrelation of an onset strength (frames,), and the rate (Hz) of its lags, from 0 to 2.1 s.

    Taken over windows of 9 s that overlap by half, each without its mean, and added up: r(lag) = sum x(t) x(t + lag) /
    (share of the window that is left at that lag), divided by r(0). 0 for lags over half the recording.
    """
    size = min(len(strength), round(_WINDOW_S * frame_rate))
    padded = scipy.fft.next_fast_len(2 * size, real=True)
    energy = np.zeros(padded // 2 + 1)
    for start in range(0, max(len(strength) - size // 2, 1), max(size // 2, 1)):
        part = strength[start : start + size].astype(np.float64)
        energy += np.abs(np.fft.rfft(part - part.mean(), padded)) ** 2
    frequencies = np.fft.rfftfreq(padded, 1 / frame_rate)
    energy *= np.exp(-((2 * np.pi * _SMOOTH_S * frequencies) ** 2))
    finer = int(np.ceil(_LAG_RATE / frame_rate))
    result = np.fft.irfft(energy, padded * finer)[: int(2.1 * frame_rate * finer)]
    left = 1 - np.arange(result.size) / (size * finer)
    result = np.where(left > 0.5, result / np.maximum(left, 0.5), 0)
    # Rounding is no rhythm.
    silent = result[0] * finer <= 1e-6
    return (np.zeros_like(result) if silent else result / result[0]), frame_rate * finer


def tempogram(correlation: np.ndarray, lag_rate: float) -> np.ndarray:
    """Return the autocorrelation at 48 tempi, (48,), each the mean over its share of the octaves from 30 to 300."""
    steps = (np.arange(TEMPOGRAM_BPMS * _FINE) + 0.5) / (TEMPOGRAM_BPMS * _FINE)
    tempi = MIN_BPM * (MAX_BPM / MIN_BPM) ** steps
    values = np.interp(60 / tempi * lag_rate, np.arange(correlation.size), correlation, right=0)
    return values.reshape(TEMPOGRAM_BPMS, _FINE).mean(axis=1)


def tempo(correlation: np.ndarray, lag_rate: float) -> float:
    """Return the tempo: the peak of the autocorrelation times how usual its tempo is; 0 where there is no peak."""
    lags = np.arange(
        int(60 / MAX_BPM * lag_rate), min(int(60 / MIN_BPM * lag_rate) + 1, correlation.size - 1)
    )
    peaks = lags[(correlation[lags] > correlation[lags - 1]) & (correlation[lags] >= correlation[lags + 1])]
    peaks = peaks[correlation[peaks] > 0]
    if peaks.size == 0:
        return 0.0
    usual = np.exp(-0.5 * (np.log2(60 * lag_rate / peaks / _USUAL_TEMPO) / _OCTAVES) ** 2)
    score = correlation[peaks] * usual
    lag = peaks[np.flatnonzero(score >= _AS_GOOD * score.max())[0]]
    a, b, c = correlation[lag - 1 : lag + 2]
    return float(60 * lag_rate / (lag + 0.5 * (a - c) / (a + c - 2 * b)))


def onset_density(strength: np.ndarray, frame_rate: float) -> float:
    """Return the onsets per second: the peaks of the onset strength that stand out from what is around them."""
    around, apart = (max(round(s * frame_rate), 1) for s in (_AROUND_S, _APART_S))
    mean = scipy.ndimage.uniform_filter1d(strength, 2 * around + 1, mode="nearest")
    # The largest of the frames before (these may not be as large), and of the frames after.
    before, after = (
        scipy.ndimage.maximum_filter1d(np.roll(strength, step), apart, origin=side, mode="nearest")
        for step, side in ((1, (apart - 1) // 2), (-1, -(apart // 2)))
    )
    outstanding = strength >= mean + max(_STANDS_OUT_DB, _STANDS_OUT * float(strength.std()))
    onsets = np.count_nonzero(outstanding & (strength > before) & (strength >= after))
    return onsets / (len(strength) / frame_rate)
