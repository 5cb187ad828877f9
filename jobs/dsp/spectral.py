"""Spectra -> per-frame features: what `dsp` computes from one short-time Fourier transform.

Conventions: frames are the first axis, then bins, bands or pitch classes; float32 unless said otherwise; M is the
magnitude spectrum, frequencies are in Hz. Every definition is librosa 0.11's with its default parameters; only the
order of the sums is another one. A silent frame gives 0 everywhere (and the floor where decibels are taken).
"""

import functools
import warnings
from dataclasses import dataclass

import librosa
import librosa.filters as librosa_filters
import numpy as np
import pyfftw
import scipy.fft
import scipy.sparse

from jobs.dsp import kernels
from jobs.lake.feature_columns import FMA_SIZES

N_FFT = 2048
HOP_LENGTH = 512
N_CHROMA = FMA_SIZES["chroma_stft"]
N_MFCC = FMA_SIZES["mfcc"]

TOP_DB = 80.0
MIN_POWER = 1e-10
ROLL_PERCENT = 0.85
CONTRAST_FMIN, CONTRAST_OCTAVES, CONTRAST_QUANTILE = 200.0, 6, 0.02
PITCH_FMIN, PITCH_FMAX, PITCH_THRESHOLD = 150.0, 4000.0, 0.1


@dataclass(frozen=True)
class FilterBank:
    """What depends on the sample rate alone."""

    sample_rate: int
    window: np.ndarray
    # (bands, bins), sparse: a bin lies in two mel bands at most, a dense product is many times the work.
    mel: scipy.sparse.csr_array
    # (bands, coefficients)
    dct: np.ndarray
    # Per contrast band: first bin, end bin, and how many bins make its peak and its valley.
    contrast: tuple[tuple[int, int, int], ...]
    # First and end bin of the pitches that the tuning is estimated from.
    pitches: tuple[int, int]


@functools.lru_cache(maxsize=8)
def filter_bank(sample_rate: int) -> FilterBank:
    """Return the window, the filters and the bands for one sample rate (Hz)."""
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=N_FFT)
    with warnings.catch_warnings():
        # At high rates the lowest mel bands are narrower than a bin and stay empty (at the floor), as in librosa.
        warnings.filterwarnings("ignore", message="Empty filters detected")
        mel = librosa_filters.mel(sr=sample_rate, n_fft=N_FFT)
    pitches = np.flatnonzero((frequencies >= PITCH_FMIN) & (frequencies < min(PITCH_FMAX, sample_rate / 2)))
    return FilterBank(
        sample_rate=sample_rate,
        window=librosa_filters.get_window("hann", N_FFT, fftbins=True),
        mel=scipy.sparse.csr_array(mel),
        dct=scipy.fft.dct(np.eye(mel.shape[0]), norm="ortho", axis=0)[:N_MFCC].T.astype(np.float32),
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


class STFT:
    """The short-time Fourier transform of stretches of signal that hold whole frames, at most max_frames each.

    In float64, as in librosa: the rounding of a float32 one is as loud as the empty bands of an MP3 (measured:
    spectral_contrast_kurtosis_07 off by 0.3 of its spread).
    """

    def __init__(self, window: np.ndarray, max_frames: int) -> None:
        self._window = window
        # Kept from call to call: memory fresh from the system costs half as much as the transform.
        self._frames = pyfftw.zeros_aligned((max_frames, N_FFT))
        self._spectrum = pyfftw.empty_aligned((max_frames, N_FFT // 2 + 1), np.complex128)
        # FFTW takes half of numpy's time. Planned by rule and not by the clock, it rounds alike in every process.
        self._transform = pyfftw.FFTW(self._frames, self._spectrum, axes=(1,), flags=("FFTW_ESTIMATE",))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the spectrum, complex128 (frames, bins), of (frames - 1) * HOP + N_FFT samples; the next overwrites it."""
        count = (len(samples) - N_FFT) // HOP_LENGTH + 1
        kernels.frame_and_window(samples, HOP_LENGTH, self._window, self._frames[:count])
        self._transform.execute()  # of all rows: those beyond are left from before, and nobody's
        return self._spectrum[:count]


def zero_crossing_rate(crossings: np.ndarray) -> np.ndarray:
    """Return zcr, (frames, 1), 0..1, from one flag per sample; a frame's first sample does not count."""
    per_hop = np.count_nonzero(crossings.reshape(-1, HOP_LENGTH), axis=1)
    hops = N_FFT // HOP_LENGTH
    per_frame = np.lib.stride_tricks.sliding_window_view(per_hop, hops).sum(axis=1)
    return ((per_frame - crossings[: len(per_frame) * HOP_LENGTH : HOP_LENGTH]) / N_FFT).astype(np.float32)[
        :, np.newaxis
    ]


def peaks_and_valleys(magnitude: np.ndarray, filters: FilterBank) -> np.ndarray:
    """Return the means of the loudest and of the softest 2 % of M in each contrast band, (frames, 2 x bands)."""
    bands = len(filters.contrast)
    levels = np.empty((len(magnitude), 2 * bands), np.float32)
    for band, (first, end, count) in enumerate(filters.contrast):
        bins = magnitude[:, first:end]
        if count > 1:
            bins = np.sort(bins, axis=1)
            levels[:, band], levels[:, bands + band] = (
                bins[:, -count:].mean(axis=1),
                bins[:, :count].mean(axis=1),
            )
        else:
            levels[:, band], levels[:, bands + band] = bins.max(axis=1), bins.min(axis=1)
    return levels


def mel_power_db(power: np.ndarray, filters: FilterBank) -> np.ndarray:
    """Return the mel spectrum, dB, before any cut, (frames, bands)."""
    return power_to_db(filters.mel @ power.T).T


def power_to_db(power: np.ndarray) -> np.ndarray:
    """Return 10 log10 of values >= 0, those below MIN_POWER taken for it."""
    levels = np.log10(np.maximum(power, np.float32(MIN_POWER)))
    levels *= 10
    return levels


def mfcc(mel: np.ndarray, floor: float, filters: FilterBank) -> np.ndarray:
    """Return the MFCC, (frames, 20), of a mel spectrum in dB that is cut at the floor (dB)."""
    return np.maximum(mel, np.float32(floor)) @ filters.dct


@functools.lru_cache(maxsize=128)
def chroma_filters(sample_rate: int, tuning: float) -> np.ndarray:
    """Return librosa's chroma filters, (bins, 12); tuning in parts of a semitone, one of 100 values."""
    return librosa_filters.chroma(sr=sample_rate, n_fft=N_FFT, tuning=tuning).T


def chroma(power: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the chroma, (frames, 12), C first, each frame divided by its largest."""
    return kernels.normalised(power @ filters, True)


class TuningEstimator:
    """How far a signal is off A 440, as librosa.estimate_tuning, from spectra that come in pieces.

    librosa interpolates every bin and then picks the peaks; here only the peaks are interpolated.
    """

    def __init__(self, filters: FilterBank) -> None:
        self._filters = filters
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, spectrum: np.ndarray) -> None:
        """Take the next frames: M or M^2 (frames, bins), whatever librosa would estimate from."""
        self._found.append(kernels.piptrack(spectrum, *self._filters.pitches, PITCH_THRESHOLD))

    def estimate(self) -> float:
        """Return the tuning, -0.5..0.5 of a semitone; 0 without peaks."""
        bins, levels = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        if bins.size == 0:
            return 0.0
        loud = bins[levels >= np.median(levels)] * np.float32(self._filters.sample_rate / N_FFT)
        return float(librosa.pitch_tuning(loud, resolution=0.01, bins_per_octave=N_CHROMA))
