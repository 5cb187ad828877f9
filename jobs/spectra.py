"""Spectra -> per-frame features: what `dsp` computes from one short-time Fourier transform.

Conventions: frames are the first axis, then bins, bands or pitch classes; float32 unless said otherwise; M is the
magnitude spectrum, frequencies are in Hz. Every definition is librosa 0.11's with its default parameters; only the
order of the sums is another one. A silent frame gives 0 everywhere (and the floor where decibels are taken).
"""

import functools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import librosa
import librosa.filters as librosa_filters
import numpy as np
import scipy.fft
import scipy.sparse

N_FFT = 2048
HOP = 512
N_CHROMA = 12
N_MFCC = 20

TOP_DB = 80.0
MIN_POWER = 1e-10
ROLL_PERCENT = 0.85
CONTRAST_FMIN, CONTRAST_OCTAVES, CONTRAST_QUANTILE = 200.0, 6, 0.02
PITCH_FMIN, PITCH_FMAX, PITCH_THRESHOLD = 150.0, 4000.0, 0.1
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Bank:
    """What depends on the sample rate alone."""

    sample_rate: int
    window: np.ndarray
    # (bands, bins), sparse: a bin lies in two mel bands at most, a dense product is many times the work.
    mel: scipy.sparse.csr_array
    # (bands, coefficients)
    dct: np.ndarray
    # (bins, 3), float64: 1, b, b^2 for bin b; the sums of M with them give centroid and bandwidth.
    moments: np.ndarray
    # Per contrast band: first bin, end bin, and how many bins make its peak and its valley.
    contrast: tuple[tuple[int, int, int], ...]
    # First and end bin of the pitches that the tuning is estimated from.
    pitches: tuple[int, int]


@functools.lru_cache(maxsize=8)
def bank(sample_rate: int) -> Bank:
    """Return the window, the filters and the bands for one sample rate (Hz)."""
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=N_FFT)
    with warnings.catch_warnings():
        # At high rates the lowest mel bands are narrower than a bin and stay empty (at the floor), as in librosa.
        warnings.filterwarnings("ignore", message="Empty filters detected")
        mel = librosa_filters.mel(sr=sample_rate, n_fft=N_FFT)
    pitches = np.flatnonzero((frequencies >= PITCH_FMIN) & (frequencies < min(PITCH_FMAX, sample_rate / 2)))
    return Bank(
        sample_rate=sample_rate,
        window=librosa_filters.get_window("hann", N_FFT, fftbins=True),
        mel=scipy.sparse.csr_array(mel),
        dct=scipy.fft.dct(np.eye(mel.shape[0]), norm="ortho", axis=0)[:N_MFCC].T.astype(np.float32),
        moments=np.vander(np.arange(frequencies.size, dtype=np.float64), 3, increasing=True),
        contrast=_contrast_bands(frequencies),
        pitches=(int(pitches[0]), int(pitches[-1]) + 1),
    )


def _contrast_bands(frequencies: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    """Return the bands that start below the last frequency; each begins one bin early and leaves its last bin out."""
    edges = CONTRAST_FMIN * 2.0 ** np.arange(CONTRAST_OCTAVES)
    edges = edges[edges < frequencies[-1]]
    bands = []
    for low, high in zip([0.0, *edges], [*edges, np.inf], strict=True):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, end = max(int(inside[0]) - 1, 0), int(inside[-1]) + 1
        count = max(int(np.rint(CONTRAST_QUANTILE * (end - first))), 1)
        bands.append((first, end if high == np.inf else end - 1, count))
    return tuple(bands)


class Transform:
    """The short-time Fourier transform of stretches of signal that hold whole frames, at most max_frames each.

    In float64, as in librosa: the rounding of a float32 one is as loud as the empty bands of an MP3 (measured:
    spectral_contrast_kurtosis_07 off by 0.3 of its spread).
    """

    def __init__(self, window: np.ndarray, max_frames: int) -> None:
        self._window = window
        # Kept from call to call: memory fresh from the system costs half as much as the transform.
        self._frames = np.empty((max_frames, N_FFT))
        self._spectrum = np.empty((max_frames, N_FFT // 2 + 1), np.complex128)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return M, (frames, bins), of (frames - 1) * HOP + N_FFT samples."""
        overlapping = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
        frames, spectrum = self._frames[: len(overlapping)], self._spectrum[: len(overlapping)]
        np.multiply(overlapping, self._window, out=frames)
        np.fft.rfft(frames, axis=1, out=spectrum)
        return np.abs(spectrum.astype(np.complex64))


def zero_crossing_rate(crossings: np.ndarray) -> np.ndarray:
    """Return zcr, (frames, 1), 0..1, from one flag per sample; a frame's first sample does not count."""
    per_hop = np.count_nonzero(crossings.reshape(-1, HOP), axis=1)
    hops = N_FFT // HOP
    per_frame = np.lib.stride_tricks.sliding_window_view(per_hop, hops).sum(axis=1)
    return ((per_frame - crossings[: len(per_frame) * HOP : HOP]) / N_FFT).astype(np.float32)[:, np.newaxis]


def rms(power: np.ndarray) -> np.ndarray:
    """Return the root mean square of the windowed frame, (frames, 1), from M^2 by Parseval's theorem."""
    both_sides = 2 * power.sum(axis=1) - power[:, 0] - power[:, -1]
    return (np.sqrt(both_sides) / N_FFT)[:, np.newaxis]


def centroid_and_bandwidth(spectrum: np.ndarray, filters: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Return sum(f M) / sum(M) and the root of sum((f - centroid)^2 M) / sum(M), Hz, (frames, 1) each.

    The second one as E[f^2] - E[f]^2, which needs the float64 of the moments.
    """
    sums = spectrum @ filters.moments
    total = np.maximum(sums[:, :1], TINY)
    centroid, square = sums[:, 1:2] / total, sums[:, 2:] / total
    bandwidth = np.sqrt(np.maximum(square - centroid * centroid, 0))
    bin_hz = filters.sample_rate / N_FFT
    return (centroid * bin_hz).astype(np.float32), (bandwidth * bin_hz).astype(np.float32)


def rolloff(spectrum: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the frequency of the first bin up to which ROLL_PERCENT of sum(M) lies, Hz, (frames, 1)."""
    total = np.cumsum(spectrum, axis=1)
    below = np.count_nonzero(total < np.float32(ROLL_PERCENT) * total[:, -1:], axis=1)
    return (below * (sample_rate / N_FFT)).astype(np.float32)[:, np.newaxis]


def peaks_and_valleys(spectrum: np.ndarray, filters: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the loudest and of the softest 2 % of M in each contrast band, (frames, bands) each."""
    shape = len(spectrum), CONTRAST_OCTAVES + 1
    # A band beyond the spectrum holds nothing: equal peak and valley, contrast 0.
    peaks, valleys = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for band, (first, end, count) in enumerate(filters.contrast):
        bins = spectrum[:, first:end]
        if count > 1:
            bins = np.sort(bins, axis=1)
            peaks[:, band], valleys[:, band] = bins[:, -count:].mean(axis=1), bins[:, :count].mean(axis=1)
        else:
            peaks[:, band], valleys[:, band] = bins.max(axis=1), bins.min(axis=1)
    return peaks, valleys


def contrast(peaks: np.ndarray, valleys: np.ndarray, filters: Bank) -> np.ndarray:
    """Return the contrast of a whole clip, dB: both levels are cut TOP_DB below the clip's highest of their kind."""
    levels = [decibels(values) for values in (peaks, valleys)]
    high, low = (np.maximum(level, level.max() - TOP_DB) for level in levels)
    high -= low
    high[:, len(filters.contrast) :] = 0
    return high


def mel_decibels(power: np.ndarray, filters: Bank) -> np.ndarray:
    """Return the mel spectrum, dB, before any cut, (frames, bands)."""
    return decibels(filters.mel @ power.T).T


def decibels(power: np.ndarray) -> np.ndarray:
    """Return 10 log10 of values >= 0, those below MIN_POWER taken for it."""
    levels = np.log10(np.maximum(power, np.float32(MIN_POWER)))
    levels *= 10
    return levels


def mfcc(mel: np.ndarray, floor: float, filters: Bank) -> np.ndarray:
    """Return the MFCC, (frames, 20), of a mel spectrum in dB that is cut at the floor (dB)."""
    return np.maximum(mel, np.float32(floor)) @ filters.dct


@functools.lru_cache(maxsize=128)
def chroma_filters(sample_rate: int, tuning: float) -> np.ndarray:
    """Return librosa's chroma filters, (bins, 12); tuning in parts of a semitone, one of 100 values."""
    return librosa_filters.chroma(sr=sample_rate, n_fft=N_FFT, tuning=tuning).T


def chroma(power: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the chroma, (frames, 12), C first, each frame divided by its largest."""
    energy = power @ filters
    largest = energy.max(axis=1, keepdims=True)
    energy /= np.where(largest < TINY, 1, largest)
    return energy


def tuning(powers: Iterable[np.ndarray], filters: Bank) -> float:
    """Return the tuning of the spectra M^2, -0.5..0.5 of a semitone, as librosa.estimate_tuning; 0 without peaks.

    librosa interpolates every bin and then picks the peaks; here only the peaks are interpolated.
    """
    found = [_pitches(power, filters) for power in powers]
    pitches, levels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if pitches.size == 0:
        return 0.0
    return float(librosa.pitch_tuning(pitches[levels >= np.median(levels)], resolution=0.01, bins_per_octave=N_CHROMA))


def _pitches(power: np.ndarray, filters: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency (Hz) and level of the maxima above a tenth of their frame's, by parabolic interpolation."""
    first, end = filters.pitches
    left, middle, right = (power[:, first + step : end + step] for step in (-1, 0, 1))
    loud = middle > np.float32(PITCH_THRESHOLD) * power.max(axis=1, keepdims=True)
    frame, number = np.nonzero(loud & (middle > left) & (middle >= right))
    a, b, c = (values[frame, number].astype(np.float64) for values in (left, middle, right))
    shift = 0.5 * (a - c) / (a + c - 2 * b)
    level = b + 0.25 * (c - a) * shift
    pitch = (first + number + shift) * (filters.sample_rate / N_FFT)
    return pitch.astype(np.float32), level.astype(np.float32)
