"""Streaming constant-Q chroma: librosa's recursion over octaves for a signal that comes in blocks, in bounded
memory.

librosa.cqt (84 bins from C1, 12 per octave) filters the top octave, halves the sample rate, filters the next
octave with the same filters, and so on, seven times. Here
- the decimation is librosa's own (soxr, quality soxr_hq) as a stream, which gives the same samples bit for
  bit;
- a filter is applied in the time domain: librosa multiplies a frame's Fourier transform by a sparse matrix;
  the equivalent on the frame's samples is one small dense matrix, (samples, 2 x 12), real and imaginary parts
  side by side. It is the same in every octave, because frequency, sample rate and hop are halved together and
  librosa's scale factors cancel;
- only the sums over octaves are stored, 12 numbers per frame.
"""

import functools
from dataclasses import dataclass

import librosa
import librosa.filters as librosa_filters
import numpy as np
import soxr

from jobs.dsp import kernels
from jobs.dsp.spectral import HOP_LENGTH, N_CHROMA

OCTAVES = 7
BINS = OCTAVES * N_CHROMA
FMIN = float(librosa.note_to_hz("C1"))
# Fraction of a filter's total magnitude that librosa sets to zero in its spectrum.
SPARSITY = 0.01

# Relative bandwidth of a filter of 12 per octave: (r^2 - 1) / (r^2 + 1) with r a semitone; Q is its inverse.
_ALPHA = (2 ** (2 / N_CHROMA) - 1) / (2 ** (2 / N_CHROMA) + 1)

# Frames of one octave filtered at once: 128 kB of samples at 256 each.
_BLOCK_FRAMES = 128
# Samples pushed through the recursion at once, so that all octaves of them stay in the cache.
_BLOCK_SAMPLES = 65_536


@dataclass(frozen=True)
class CqtPlan:
    """librosa's division of the work at one sample rate and tuning.

    Attributes:
        bins: number of bins whose pass band lies below half the sample rate; librosa refuses the signal if it
            is not all 84.
        early_factor: the sample rate is divided by this before the first octave.
        kernel: (samples, 2 x 12), float32; a frame times this is the response of one octave, real parts, then
            imaginary parts.
    """

    bins: int
    early_factor: int
    kernel: np.ndarray


@functools.lru_cache(maxsize=128)
def cqt_plan(sample_rate: int, tuning: float) -> CqtPlan:
    """Return the plan for a sample rate (Hz) and a tuning (fractions of a semitone)."""
    frequencies = FMIN * 2.0 ** (tuning / N_CHROMA) * 2.0 ** (np.arange(BINS) / N_CHROMA)
    cutoffs = frequencies * (1 + 0.5 * librosa_filters.window_bandwidth("hann") * _ALPHA)
    bins = int(np.count_nonzero(cutoffs <= sample_rate / 2))
    octaves = -(-bins // N_CHROMA)  # rounded up
    # As librosa's early downsampling: halve as often as the highest cutoff and the hop allow.
    halvings_by_cutoff = int(np.ceil(np.log2(sample_rate / 2 / cutoffs[bins - 1]))) - 2
    hop_power_of_two = HOP_LENGTH.bit_length() - 1
    halvings_by_hop = hop_power_of_two - octaves + 1
    early_factor = 2 ** min(max(halvings_by_cutoff, 0), max(halvings_by_hop, 0))
    kernel = _octave_kernel(frequencies[bins - N_CHROMA : bins], sample_rate / early_factor)
    return CqtPlan(bins, early_factor, kernel)


def _octave_kernel(frequencies: np.ndarray, sample_rate: float) -> np.ndarray:
    """Return the matrix of one octave's filters, (samples, 2 x 12), float32."""
    alpha = np.full(len(frequencies), _ALPHA)
    basis, lengths = librosa_filters.wavelet(freqs=frequencies, sr=sample_rate, alpha=alpha)
    size = basis.shape[1]
    spectrum = np.fft.fft(basis * (lengths[:, np.newaxis] / size), axis=1)[:, : size // 2 + 1]
    spectrum = _sparsify_rows(spectrum.astype(np.complex64)) / np.sqrt(lengths)[:, np.newaxis]
    # librosa's sum_k B[k] D[k], with D the transform of the frame, written as a sum over the frame's samples.
    padded = np.zeros((len(spectrum), size), np.complex128)
    padded[:, : size // 2 + 1] = spectrum
    kernel = np.fft.fft(padded, axis=1)
    return np.ascontiguousarray(np.concatenate([kernel.real, kernel.imag]).T)


def _sparsify_rows(rows: np.ndarray) -> np.ndarray:
    """Return the rows with the smallest values, SPARSITY of a row's summed magnitude, set to 0.

    As librosa.util.sparsify_rows.
    """
    magnitudes = np.abs(rows)
    ordered = np.sort(magnitudes, axis=1)
    cumulative = np.cumsum(ordered / magnitudes.sum(axis=1, keepdims=True), axis=1)
    threshold_places = np.argmin(cumulative < SPARSITY, axis=1)[:, np.newaxis]
    thresholds = np.take_along_axis(ordered, threshold_places, axis=1)
    return np.where(magnitudes >= thresholds, rows, 0)


class ConstantQ:
    """The constant-Q chroma of one signal, block by block."""

    def __init__(self, sample_rate: int, tuning: float) -> None:
        plan = cqt_plan(sample_rate, tuning)
        self._early_decimator = _Decimator(plan.early_factor) if plan.early_factor > 1 else None
        self._octaves: list[_Octave] = []
        hop = HOP_LENGTH // plan.early_factor
        for end in range(plan.bins, 0, -N_CHROMA):
            self._octaves.append(_Octave(plan.kernel, hop, end))
            hop //= 2
        self._decimators = [_Decimator(2) for _ in self._octaves[1:]]

    def __call__(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Process the next samples; return the chroma of the frames completed so far, (frames, 12).

        Frames are centred at multiples of HOP_LENGTH samples, with zeros beyond both ends; unlike in the
        short-time Fourier transform there may be one more at the end, because decimation rounds the length
        up. Chroma is the sum of the magnitudes of a pitch class, C first.
        """
        for start in range(0, max(len(samples), 1), _BLOCK_SAMPLES):
            block = samples[start : start + _BLOCK_SAMPLES]
            is_last = last and start + _BLOCK_SAMPLES >= len(samples)
            if self._early_decimator is not None:
                block = self._early_decimator(block, last=is_last)
            self._octaves[0].push(block, last=is_last)
            for decimator, octave in zip(self._decimators, self._octaves[1:], strict=True):
                block = decimator(block, last=is_last)
                octave.push(block, last=is_last)
        ready = min(octave.ready for octave in self._octaves)
        return sum((octave.pull(ready) for octave in self._octaves), np.zeros((ready, N_CHROMA), np.float32))


class _Decimator:
    """librosa.resample(orig_sr=ratio, target_sr=1, scale=True) of a stream of blocks."""

    def __init__(self, ratio: int) -> None:
        self._stream = soxr.ResampleStream(ratio, 1, 1, dtype="float32", quality="soxr_hq")
        self._ratio = ratio
        self._n_input = 0
        self._n_output = 0

    def __call__(self, samples: np.ndarray, *, last: bool) -> np.ndarray:
        resampled = self._stream.resample_chunk(samples, last=last)
        self._n_input += len(samples)
        self._n_output += len(resampled)
        if last:
            resampled = self._fix_length(resampled)
        # Computed in float64 and rounded once, as in librosa: the rounding of loud low notes is as loud as
        # the high notes of a quiet passage.
        return (resampled / np.sqrt(1 / self._ratio)).astype(np.float32)

    def _fix_length(self, resampled: np.ndarray) -> np.ndarray:
        """Pad or cut the last block so that the output has the input's length over the ratio, rounded up."""
        missing = -(-self._n_input // self._ratio) - self._n_output
        if missing > 0:
            return np.pad(resampled, (0, missing))
        return resampled[: len(resampled) + missing]


class _Octave:
    """The responses of one octave's filters, frame by frame of the signal at the octave's sample rate."""

    def __init__(self, kernel: np.ndarray, hop: int, end: int) -> None:
        # The lowest octave may be cut off at C1; the octave's last bin is number `end` - 1.
        self._first_bin = max(end - N_CHROMA, 0)
        n_bins = end - self._first_bin
        size = kernel.shape[0]
        bins_kernel = kernel.reshape(size, 2, -1)[:, :, -n_bins:]
        self._kernel = np.ascontiguousarray(bins_kernel.reshape(size, -1))
        self._hop = hop
        self._buffered = np.zeros(size // 2, np.float32)
        self._n_samples = 0
        self._n_frames = 0
        self._pending_chroma: list[np.ndarray] = []

    @property
    def ready(self) -> int:
        """Number of frames that can be pulled."""
        return sum(map(len, self._pending_chroma))

    def push(self, samples: np.ndarray, *, last: bool) -> None:
        """Append the next samples and filter the frames that they complete."""
        size = len(self._kernel)
        self._n_samples += len(samples)
        end_padding = np.zeros(size + self._hop if last else 0, np.float32)
        buffered = np.concatenate([self._buffered, samples, end_padding])
        # A hop may be longer than a frame: a frame is complete only when its hop is, too.
        n_frames = min((len(buffered) - size) // self._hop + 1, len(buffered) // self._hop)
        if last:
            n_frames = min(n_frames, 1 + self._n_samples // self._hop - self._n_frames)
        if n_frames > 0:
            windows = np.lib.stride_tricks.sliding_window_view(buffered, size)
            self._filter(windows[:: self._hop][:n_frames])
            self._n_frames += n_frames
            buffered = buffered[n_frames * self._hop :]
        self._buffered = buffered

    def _filter(self, frames: np.ndarray) -> None:
        chroma = np.zeros((len(frames), N_CHROMA), np.float32)
        for start in range(0, len(frames), _BLOCK_FRAMES):
            end = start + _BLOCK_FRAMES
            response = frames[start:end].astype(np.float64) @ self._kernel
            kernels.fold_octaves(response, self._first_bin, chroma[start:end])
        self._pending_chroma.append(chroma)

    def pull(self, count: int) -> np.ndarray:
        """Return and remove the next `count` frames, (count, 12)."""
        pending = np.concatenate([*self._pending_chroma, np.empty((0, N_CHROMA), np.float32)])
        self._pending_chroma = [pending[count:]]
        return pending[:count]
