"""Rhythm: onset strength, its autocorrelation, tempogram, tempo and onset density.

Conventions: the onset strength is librosa.onset.onset_strength's, in dB, without its delay of two frames: the
rise of the mel spectrum from frame to frame, averaged over the bands, falling bands counted as 0. Frame rates
are in Hz, tempi in beats per minute. A recording whose onset strength never changes has tempogram, tempo and
onset density 0.
"""

import numpy as np
import scipy.fft
import scipy.ndimage

from jobs.lake.feature_columns import DESCRIPTORS

TEMPOGRAM_BPMS = DESCRIPTORS["tempogram"][0]
MIN_BPM = 30.0
MAX_BPM = 300.0
# Tempi evaluated within each value of the tempogram: more densely than a peak of the autocorrelation is wide.
_TEMPI_PER_VALUE = 8

# Length of an autocorrelation window: two bars of a slow piece.
_WINDOW_S = 9.0
# Beats are not exact to a frame: the onset strength is smoothed by a Gaussian of this standard deviation.
_SMOOTH_S = 0.02
# Lags are interpolated to at least this rate, so that slow frame rates do not round the tempo.
_MIN_LAG_RATE = 200.0

# Prior of the tempo: log-normal around 120, with a standard deviation of one octave, as in
# librosa.feature.tempo.
_PRIOR_BPM = 120.0
_PRIOR_OCTAVES = 1.0
# If several tempi score at least this fraction of the best, they are multiples of one another: the fastest is
# taken.
_MIN_RELATIVE_SCORE = 0.85

# An onset exceeds the local mean by this many dB and standard deviations, and is the local maximum.
_MIN_RISE_DB = 0.5
_MIN_RISE_DEVIATIONS = 0.5
# Half the width of the window of the local mean, and the smallest distance of two onsets.
_MEAN_RADIUS_S = 0.25
_MIN_DISTANCE_S = 0.05


def onset_strength(mel: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Return the onset strength in dB, (frames,).

    Parameters
    ----------
    mel
        Mel spectrum in dB, (frames, bands).
    previous
        The frame before, (1, bands); None at the start of the signal.
    """
    rise = np.diff(mel, axis=0, prepend=mel[:1] if previous is None else previous)
    return np.maximum(rise, 0).mean(axis=1)


def autocorrelation(strength: np.ndarray, frame_rate: float) -> tuple[np.ndarray, float]:
    """Return the autocorrelation of an onset strength (frames,), and the rate (Hz) of its lags, from 0 to 2.1
    s.

    It is the sum over windows of 9 s that overlap by half, each without its mean: r(lag) = sum x(t) x(t +
    lag) / (fraction of the window that remains at that lag), divided by r(0). 0 for lags over half the
    recording.
    """
    size = min(len(strength), round(_WINDOW_S * frame_rate))
    padded_size = scipy.fft.next_fast_len(2 * size, real=True)
    power = np.zeros(padded_size // 2 + 1)
    for start in range(0, max(len(strength) - size // 2, 1), max(size // 2, 1)):
        window = strength[start : start + size].astype(np.float64)
        power += np.abs(np.fft.rfft(window - window.mean(), padded_size)) ** 2
    frequencies = np.fft.rfftfreq(padded_size, 1 / frame_rate)
    power *= np.exp(-((2 * np.pi * _SMOOTH_S * frequencies) ** 2))
    upsampling = int(np.ceil(_MIN_LAG_RATE / frame_rate))
    result = np.fft.irfft(power, padded_size * upsampling)[: int(2.1 * frame_rate * upsampling)]
    remaining = 1 - np.arange(result.size) / (size * upsampling)
    result = np.where(remaining > 0.5, result / np.maximum(remaining, 0.5), 0)
    # Without this limit the rounding of a constant onset strength would count as rhythm.
    is_constant = result[0] * upsampling <= 1e-6
    return (np.zeros_like(result) if is_constant else result / result[0]), frame_rate * upsampling


def tempogram(correlation: np.ndarray, lag_rate: float) -> np.ndarray:
    """Return the autocorrelation at 48 tempi, (48,).

    Each value is the mean over its part of the octaves from 30 to 300 beats per minute.
    """
    n_tempi = TEMPOGRAM_BPMS * _TEMPI_PER_VALUE
    positions = (np.arange(n_tempi) + 0.5) / n_tempi
    tempi = MIN_BPM * (MAX_BPM / MIN_BPM) ** positions
    values = np.interp(60 / tempi * lag_rate, np.arange(correlation.size), correlation, right=0)
    return values.reshape(TEMPOGRAM_BPMS, _TEMPI_PER_VALUE).mean(axis=1)


def tempo(correlation: np.ndarray, lag_rate: float) -> float:
    """Return the tempo: the peak of the autocorrelation times the prior of its tempo; 0 without a peak."""
    first_lag = int(60 / MAX_BPM * lag_rate)
    end_lag = min(int(60 / MIN_BPM * lag_rate) + 1, correlation.size - 1)
    lags = np.arange(first_lag, end_lag)
    is_peak = (correlation[lags] > correlation[lags - 1]) & (correlation[lags] >= correlation[lags + 1])
    peaks = lags[is_peak]
    peaks = peaks[correlation[peaks] > 0]
    if peaks.size == 0:
        return 0.0
    prior = np.exp(-0.5 * (np.log2(60 * lag_rate / peaks / _PRIOR_BPM) / _PRIOR_OCTAVES) ** 2)
    score = correlation[peaks] * prior
    lag = peaks[np.flatnonzero(score >= _MIN_RELATIVE_SCORE * score.max())[0]]
    # The vertex of the parabola through the peak and its neighbours.
    a, b, c = correlation[lag - 1 : lag + 2]
    return float(60 * lag_rate / (lag + 0.5 * (a - c) / (a + c - 2 * b)))


def onset_density(strength: np.ndarray, frame_rate: float) -> float:
    """Return the onsets per second: the peaks of the onset strength (frames,) that exceed the local mean."""
    mean_radius = max(round(_MEAN_RADIUS_S * frame_rate), 1)
    distance = max(round(_MIN_DISTANCE_S * frame_rate), 1)
    local_mean = scipy.ndimage.uniform_filter1d(strength, 2 * mean_radius + 1, mode="nearest")
    # An onset is above the maximum of the `distance` frames before it and not below that of the frames after
    # it.
    max_before = scipy.ndimage.maximum_filter1d(
        np.roll(strength, 1), distance, origin=(distance - 1) // 2, mode="nearest"
    )
    max_after = scipy.ndimage.maximum_filter1d(
        np.roll(strength, -1), distance, origin=-(distance // 2), mode="nearest"
    )
    min_rise = max(_MIN_RISE_DB, _MIN_RISE_DEVIATIONS * float(strength.std()))
    is_onset = (strength >= local_mean + min_rise) & (strength > max_before) & (strength >= max_after)
    return np.count_nonzero(is_onset) / (len(strength) / frame_rate)
