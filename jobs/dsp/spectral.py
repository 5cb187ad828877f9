"""Per-frame features of the short-time Fourier transform.

Conventions: frames are the first axis, then bins, bands or pitch classes; arrays are float32 unless another
type is given; M is the magnitude spectrum, frequencies are in Hz. Every definition is librosa 0.11's with its
default parameters; only the order of summation differs. A silent frame gives 0 everywhere (and the floor in
decibels).
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
CONTRAST_FMIN = 200.0
CONTRAST_OCTAVES = 6
CONTRAST_QUANTILE = 0.02
PITCH_FMIN = 150.0
PITCH_FMAX = 4000.0
PITCH_THRESHOLD = 0.1


@dataclass(frozen=True)
class FilterBank:
    """The window, filters and bands of one sample rate.

    Attributes:
        sample_rate: Hz.
        window: (N_FFT,), periodic Hann.
        mel: (bands, bins), sparse: a bin lies in two mel bands at most, and a dense product would be many
            times the work.
        dct: (bands, coefficients), of the MFCC.
        contrast: per contrast band its first bin, its end bin, and the number of bins averaged for its peak
            and for its valley.
        pitches: first and end bin of the range in which the tuning is estimated.
    """

    sample_rate: int
    window: np.ndarray
    mel: scipy.sparse.csr_array
    dct: np.ndarray
    contrast: tuple[tuple[int, int, int], ...]
    pitches: tuple[int, int]


@functools.lru_cache(maxsize=8)
def filter_bank(sample_rate: int) -> FilterBank:
    """Return the window, the filters and the bands for one sample rate (Hz)."""
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=N_FFT)
    with warnings.catch_warnings():
        # At high rates the lowest mel bands are narrower than a bin and stay empty (at the floor), as in
        # librosa.
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
    """Return the contrast bands that start below the last frequency.

    As in librosa, a band begins one bin early and omits its last bin.
    """
    edges = CONTRAST_FMIN * 2.0 ** np.arange(CONTRAST_OCTAVES)
    edges = edges[edges < frequencies[-1]]
    bands = []
    for low, high in zip([0.0, *edges], [*edges, np.inf], strict=True):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first = max(int(inside[0]) - 1, 0)
        end = int(inside[-1]) + 1
        count = max(int(np.rint(CONTRAST_QUANTILE * (end - first))), 1)
        bands.append((first, end if high == np.inf else end - 1, count))
    return tuple(bands)


class STFT:
    """The short-time Fourier transform of segments of at most `max_frames` whole frames.

    In float64, as in librosa: the rounding of a float32 transform is as loud as the empty bands of an MP3
    (measured: spectral_contrast_kurtosis_07 off by 0.3 of its spread).
    """

    def __init__(self, window: np.ndarray, max_frames: int) -> None:
        self._window = window
        # Reused by every call: memory fresh from the system costs half as much as the transform.
        self._frames = pyfftw.zeros_aligned((max_frames, N_FFT))
        self._spectrum = pyfftw.empty_aligned((max_frames, N_FFT // 2 + 1), np.complex128)
        # FFTW takes half of numpy's time. ESTIMATE plans without timing, so that every process rounds alike.
        self._transform = pyfftw.FFTW(self._frames, self._spectrum, axes=(1,), flags=("FFTW_ESTIMATE",))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return the spectrum of (frames - 1) * HOP_LENGTH + N_FFT samples, complex128 (frames, bins).

        The next call overwrites it.
        """
        count = (len(samples) - N_FFT) // HOP_LENGTH + 1
        kernels.frame_and_window(samples, HOP_LENGTH, self._window, self._frames[:count])
        self._transform.execute()  # transforms all rows; those beyond `count` are left over and unused
        return self._spectrum[:count]


def zero_crossing_rate(crossings: np.ndarray) -> np.ndarray:
    """Return zcr (frames, 1), 0..1, from one flag per sample.

    As in librosa, a frame's first sample is not counted.
    """
    per_hop = np.count_nonzero(crossings.reshape(-1, HOP_LENGTH), axis=1)
    hops = N_FFT // HOP_LENGTH
    per_frame = np.lib.stride_tricks.sliding_window_view(per_hop, hops).sum(axis=1)
    first_samples = crossings[: len(per_frame) * HOP_LENGTH : HOP_LENGTH]
    return ((per_frame - first_samples) / N_FFT).astype(np.float32)[:, np.newaxis]


def peaks_and_valleys(magnitude: np.ndarray, filters: FilterBank) -> np.ndarray:
    """Return the means of the loudest and of the softest 2 % of M in each contrast band.

    Returns (frames, 2 x bands): the peaks of all bands, then the valleys.
    """
    bands = len(filters.contrast)
    levels = np.empty((len(magnitude), 2 * bands), np.float32)
    for band, (first, end, count) in enumerate(filters.contrast):
        bins = magnitude[:, first:end]
        if count > 1:
            bins = np.sort(bins, axis=1)
            levels[:, band] = bins[:, -count:].mean(axis=1)
            levels[:, bands + band] = bins[:, :count].mean(axis=1)
        else:
            levels[:, band] = bins.max(axis=1)
            levels[:, bands + band] = bins.min(axis=1)
    return levels


def mel_power_db(power: np.ndarray, filters: FilterBank) -> np.ndarray:
    """Return the mel spectrum in dB, without a floor, (frames, bands)."""
    return power_to_db(filters.mel @ power.T).T


def power_to_db(power: np.ndarray) -> np.ndarray:
    """Return 10 log10 of values >= 0; values below MIN_POWER count as MIN_POWER."""
    levels = np.log10(np.maximum(power, np.float32(MIN_POWER)))
    levels *= 10
    return levels


def mfcc(mel: np.ndarray, floor_db: float, filters: FilterBank) -> np.ndarray:
    """Return the MFCC (frames, 20) of a mel spectrum in dB, cut at `floor_db`."""
    return np.maximum(mel, np.float32(floor_db)) @ filters.dct


@functools.lru_cache(maxsize=128)
def chroma_filters(sample_rate: int, tuning: float) -> np.ndarray:
    """Return librosa's chroma filters (bins, 12); tuning in fractions of a semitone, one of 100 values."""
    return librosa_filters.chroma(sr=sample_rate, n_fft=N_FFT, tuning=tuning).T


def chroma(power: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the chroma (frames, 12), C first, each frame divided by its largest value."""
    return kernels.normalize_max(power @ filters)


class TuningEstimator:
    """The deviation of a signal from A 440, as librosa.estimate_tuning, from spectra that arrive in pieces.

    librosa interpolates every bin and then picks the peaks; here only the peaks are interpolated.
    """

    def __init__(self, filters: FilterBank) -> None:
        self._filters = filters
        self._peaks: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, spectrum: np.ndarray) -> None:
        """Add the next frames, (frames, bins): M or M^2, whichever librosa would use."""
        first, end = self._filters.pitches
        self._peaks.append(kernels.piptrack(spectrum, first, end, PITCH_THRESHOLD))

    def estimate(self) -> float:
        """Return the tuning, -0.5..0.5 of a semitone; 0 without peaks."""
        bins = np.concatenate([peak_bins for peak_bins, _ in self._peaks])
        levels = np.concatenate([peak_levels for _, peak_levels in self._peaks])
        if bins.size == 0:
            return 0.0
        loud = bins[levels >= np.median(levels)] * np.float32(self._filters.sample_rate / N_FFT)
        return float(librosa.pitch_tuning(loud, resolution=0.01, bins_per_octave=N_CHROMA))
