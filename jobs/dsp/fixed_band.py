"""Features of one frequency band, 0 to 10 kHz, at one sample rate, whatever the file's own.

The signal is resampled to 22,050 Hz first. So a recording at 22,050 Hz, its twin at 44,100 Hz, an MP3 whose
encoder cut everything above 11 kHz, and its FLAC have the same features; the features at the file's own rate
(`timbre`) differ between them more than between two genres. Levels are relative to the loudest of the
recording: a quieter copy has the same features.

The patterns are computed from the mel spectrum in decibels:
- `mel_mean`, `mel_covariance`: the Gaussian of the MFCC, the usual model of timbre (Mandel & Ellis 2005);
- `mel_delta_covariance`: how the MFCC change from frame to frame;
- `harmonic_share`: how much of each band's energy lasts rather than strikes (Fitzgerald 2010);
- `fluctuation_pattern`: how strongly each band rises and falls at each rate (Pampalk, Rauber & Merkl 2002),
  logarithmic as in Seyerlehner, Schedl, Pohle & Knees (2010), reduced by a two-dimensional cosine transform.
"""

import functools

import librosa.filters as librosa_filters
import numpy as np
import scipy.fft
import scipy.sparse
import soxr

from jobs.dsp import kernels, spectral
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.spectral import HOP_LENGTH, N_FFT
from jobs.dsp.summary_statistics import Covariance

SAMPLE_RATE = 22_050
MAX_FREQUENCY = 10_000.0
N_BANDS = 64
N_COEFFICIENTS = 20

# Levels are cut this far below the recording's loudest, dB.
_RANGE_DB = 80.0

# Frames transformed at a time, and frames whose patterns are computed at a time (95 s).
_SEGMENT_FRAMES = 128
_BLOCK_FRAMES = 4_096

# Frames of one fluctuation pattern (6 s), and between the starts of two.
_PATTERN_FRAMES = 256
_PATTERN_HOP = 128
_FLUCTUATION_BANDS = 16
_FLUCTUATION_RATES = 20
# Rates of the fluctuation, Hz: from one bar to the fastest repetition that is not yet a roughness.
_MIN_RATE = 0.3
_MAX_RATE = 15.0
# Coefficients kept of the cosine transform: bands and rates.
FLUCTUATION_SHAPE = (8, 10)

# Neighbouring bands are joined in pairs before the harmonic share is taken, and in groups after it.
_HARMONIC_BANDS = 32
N_HARMONIC_SHARES = 8
# Frames and bands whose median separates what lasts from what strikes (0.2 s, 5 of 32 bands).
_HARMONIC_FRAMES = 9
_PERCUSSIVE_BANDS = 5


class FixedBand(FeatureAccumulator):
    """Features of the mel spectrum of the resampled signal; one row is a frame's mel power."""

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        # In values per frame of the file's own rate.
        self.width = -(-N_BANDS * SAMPLE_RATE // bank.sample_rate)
        self._start_pass()

    def _start_pass(self) -> None:
        self._resampler = soxr.ResampleStream(
            self.bank.sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="soxr_mq"
        )
        self._stft = spectral.STFT(_window(), _SEGMENT_FRAMES)
        self._power = np.empty((_SEGMENT_FRAMES, N_FFT // 2 + 1), np.float32)
        # Frames are centred: half a frame of zeros precedes the signal and follows it.
        self._samples = np.zeros(N_FFT // 2, np.float32)

    def restart(self) -> None:
        """Drop the rows and request another pass."""
        super().restart()
        self._start_pass()

    def add_samples(self, samples: np.ndarray, *, last: bool) -> None:
        """Resample the next samples and transform the frames that they complete."""
        resampled = samples
        if self.bank.sample_rate != SAMPLE_RATE:
            resampled = self._resampler.resample_chunk(np.ascontiguousarray(samples), last=last)
        padding = np.zeros(N_FFT // 2 if last else 0, np.float32)
        self._samples = np.concatenate([self._samples, resampled, padding])
        n_frames = max(0, (len(self._samples) - N_FFT) // HOP_LENGTH + 1)
        # Whole segments, so that the rows do not depend on how the signal is cut into blocks.
        n_ready = n_frames if last else n_frames // _SEGMENT_FRAMES * _SEGMENT_FRAMES
        for start in range(0, n_ready, _SEGMENT_FRAMES):
            count = min(_SEGMENT_FRAMES, n_ready - start)
            first = start * HOP_LENGTH
            spectrum = self._stft(self._samples[first : first + (count - 1) * HOP_LENGTH + N_FFT])
            power = self._power[:count]
            kernels.power(spectrum, power)
            self.rows.add((_mel_filters() @ power.T).T)
        self._samples = self._samples[n_ready * HOP_LENGTH :]

    def add_frames(self, segment: Segment) -> None:
        """Ignore the frames at the file's own rate."""

    def result(self) -> FeatureMap:
        """Return the features; levels in dB below the loudest."""
        loudest = max(float(block.max()) for block in self.rows.blocks(_BLOCK_FRAMES))
        gaussian = Covariance(N_COEFFICIENTS)
        changes = Covariance(N_COEFFICIENTS)
        shares = HarmonicShare()
        fluctuation = FluctuationPattern()
        previous: np.ndarray | None = None
        for power in self.rows.blocks(_BLOCK_FRAMES):
            level_db = relative_db(power, loudest)
            mfcc = level_db @ _dct()
            gaussian.add(mfcc)
            changes.add(np.diff(mfcc, axis=0, prepend=mfcc[:1] if previous is None else previous))
            shares.add(power)
            fluctuation.add(level_db)
            previous = mfcc[-1:]
        return {
            "mel_mean": gaussian.mean(),
            "mel_covariance": gaussian.upper_triangle(),
            "mel_delta_covariance": changes.upper_triangle(),
            "harmonic_share": shares.result(),
            "fluctuation_pattern": fluctuation.result(),
        }


def relative_db(power: np.ndarray, loudest: float) -> np.ndarray:
    """Return levels in dB relative to the power `loudest`, -80 at least; 0 everywhere if `loudest` is 0."""
    if loudest <= 0:
        return np.zeros_like(power)
    floor = np.float32(loudest * 10 ** (-_RANGE_DB / 10))
    levels = np.log10(np.maximum(power, floor) / np.float32(loudest))
    return np.asarray(10 * levels, dtype=np.float32)


class HarmonicShare:
    """The share of the energy that lasts, by band.

    Sounds that last are lines along time in a spectrogram, strokes are lines along frequency. The medians
    along either axis, H and P, separate them (Fitzgerald 2010): the share is H^2 / (H^2 + P^2), here averaged
    over the frames by their energy.
    """

    def __init__(self) -> None:
        self._lasting = np.zeros(N_HARMONIC_SHARES)
        self._energy = np.zeros(N_HARMONIC_SHARES)

    def add(self, power: np.ndarray) -> None:
        """Add the next frames, mel power (frames, 64)."""
        # The root: in amplitudes one loud frame does not hide the others.
        bands = np.sqrt(power.reshape(len(power), _HARMONIC_BANDS, -1).mean(axis=2))
        share = kernels.harmonic_share(bands, _HARMONIC_FRAMES, _PERCUSSIVE_BANDS)
        grouped = (len(power), N_HARMONIC_SHARES, -1)
        self._lasting += (share * bands).reshape(grouped).sum(axis=(0, 2), dtype=np.float64)
        self._energy += bands.reshape(grouped).sum(axis=(0, 2), dtype=np.float64)

    def result(self) -> np.ndarray:
        """Return the shares, low bands first, (8,), 0 to 1; 0.5 for a silent band."""
        half = np.full(N_HARMONIC_SHARES, 0.5)
        return np.divide(self._lasting, self._energy, out=half, where=self._energy > 0)


class FluctuationPattern:
    """How strongly the level of each band rises and falls at each rate, averaged over excerpts of 6 s."""

    def __init__(self) -> None:
        self._sum = np.zeros((_FLUCTUATION_BANDS, _FLUCTUATION_RATES))
        self._count = 0

    def add(self, level_db: np.ndarray) -> None:
        """Add the next frames, mel levels in dB (frames, 64)."""
        bands = level_db.reshape(len(level_db), _FLUCTUATION_BANDS, -1).mean(axis=2)
        # An excerpt shorter than the window is padded with its mean; a rest shorter than a hop is left out.
        starts = range(0, max(1, len(bands) - _PATTERN_FRAMES + 1), _PATTERN_HOP)
        for start in starts:
            excerpt = bands[start : start + _PATTERN_FRAMES]
            centred = excerpt - excerpt.mean(axis=0)
            spectrum = np.abs(scipy.fft.rfft(centred, n=_PATTERN_FRAMES, axis=0))[1:]
            # Amplitude in dB: divided by the frames that there are.
            amplitude = _rate_filters() @ spectrum * (2 / len(excerpt))
            self._sum += np.log1p(amplitude).T
            self._count += 1

    def result(self) -> np.ndarray:
        """Return the cosine transform's lowest coefficients, band by band, (80,)."""
        pattern = self._sum / self._count
        coefficients = scipy.fft.dctn(pattern, norm="ortho")
        return np.asarray(coefficients[: FLUCTUATION_SHAPE[0], : FLUCTUATION_SHAPE[1]].ravel())


@functools.lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return np.asarray(librosa_filters.get_window("hann", N_FFT, fftbins=True))


@functools.lru_cache(maxsize=1)
def _mel_filters() -> scipy.sparse.csr_array:
    """Return the mel filters (64, bins) up to 10 kHz."""
    filters = librosa_filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_BANDS, fmax=MAX_FREQUENCY)
    return scipy.sparse.csr_array(filters.astype(np.float32))


@functools.lru_cache(maxsize=1)
def _dct() -> np.ndarray:
    """Return the orthonormal cosine transform (64, 20) of mel levels to MFCC."""
    return scipy.fft.dct(np.eye(N_BANDS), norm="ortho", axis=0)[:N_COEFFICIENTS].T.astype(np.float32)


@functools.lru_cache(maxsize=1)
def _rate_filters() -> np.ndarray:
    """Return the means (rates, bins - 1) over triangles that stand evenly on a logarithmic axis of rates."""
    rates = np.arange(1, _PATTERN_FRAMES // 2 + 1) * SAMPLE_RATE / HOP_LENGTH / _PATTERN_FRAMES
    centres = np.geomspace(_MIN_RATE, _MAX_RATE, _FLUCTUATION_RATES)
    step = np.log(centres[1] / centres[0])
    # A triangle narrower than a bin takes the two nearest ones.
    half_widths = np.maximum(step, rates[0] / centres)[:, None]
    weights = np.maximum(0, 1 - np.abs(np.log(rates / centres[:, None])) / half_widths)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
