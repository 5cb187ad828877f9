"""The constant-Q chroma of a signal that comes in blocks: librosa's recursion over octaves, in bounded memory.

librosa.cqt (84 bins from C1, 12 per octave) filters the top octave, halves the sample rate, filters the next octave
with the same filters, and so on, seven times. Here
- the halving is librosa's own (soxr, quality soxr_hq) as a stream, which gives the same samples bit for bit;
- a filter is applied in the time domain: librosa multiplies a frame's Fourier transform by a sparse matrix, and what
  that does to the frame is one small dense matrix, (samples, 2 x 12), real and imaginary parts side by side. It is the
  same in every octave, since frequency, sample rate and hop are halved together and librosa's scales cancel;
- only the sums over octaves are kept, 12 numbers a frame.
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
# Part of a filter's total magnitude that librosa leaves out of its spectrum.
SPARSITY = 0.01

# Frames of one octave filtered at once: 128 kB of samples at 256 each.
_FRAMES = 128
# Samples pushed through the recursion at once, so that all octaves of them stay in the cache.
_SAMPLES = 65_536


@dataclass(frozen=True)
class CqtPlan:
    """How librosa cuts the work at one sample rate and tuning."""

    # Bins whose pass band lies below half the sample rate; librosa refuses the signal if it is not all 84.
    bins: int
    # The sample rate is divided by this before the first octave.
    early: int
    # (samples, 2 x 12), float32: a frame times this is the response of an octave, real parts, then imaginary ones.
    kernel: np.ndarray


@functools.lru_cache(maxsize=128)
def cqt_plan(sample_rate: int, tuning: float) -> CqtPlan:
    """Return the plan for a sample rate (Hz) and a tuning (parts of a semitone)."""
    frequencies = FMIN * 2.0 ** (tuning / N_CHROMA) * 2.0 ** (np.arange(BINS) / N_CHROMA)
    _, _ = librosa_filters.wavelet_lengths(freqs=frequencies, sr=sample_rate)
    cutoffs = frequencies * (1 + 0.5 * librosa_filters.window_bandwidth("hann") * _ALPHA)
    bins = int(np.count_nonzero(cutoffs <= sample_rate / 2))
    octaves = -(-bins // N_CHROMA)
    spare = int(np.ceil(np.log2(sample_rate / 2 / cutoffs[bins - 1]))) - 2
    twos = HOP_LENGTH.bit_length() - 1
    early = 2 ** min(max(spare, 0), max(twos - octaves + 1, 0))
    return CqtPlan(bins, early, _kernel(frequencies[bins - N_CHROMA : bins], sample_rate / early))


# Relative bandwidth of a filter of 12 per octave: (r^2 - 1) / (r^2 + 1) with r a semitone; Q is its inverse.
_ALPHA = (2 ** (2 / N_CHROMA) - 1) / (2 ** (2 / N_CHROMA) + 1)


def _kernel(frequencies: np.ndarray, sample_rate: float) -> np.ndarray:
    """Return the matrix of one octave's filters, (samples, 2 x 12), float32."""
    alpha = np.full(len(frequencies), _ALPHA)
    basis, lengths = librosa_filters.wavelet(freqs=frequencies, sr=sample_rate, alpha=alpha)
    size = basis.shape[1]
    spectrum = np.fft.fft(basis * (lengths[:, np.newaxis] / size), axis=1)[:, : size // 2 + 1].astype(
        np.complex64
    )
    spectrum = _sparse(spectrum) / np.sqrt(lengths)[:, np.newaxis]
    # sum_k B[k] D[k], with D the transform of the frame, as a sum over its samples.
    padded = np.zeros((len(spectrum), size), np.complex128)
    padded[:, : size // 2 + 1] = spectrum
    kernel = np.fft.fft(padded, axis=1)
    return np.ascontiguousarray(np.concatenate([kernel.real, kernel.imag]).T)


def _sparse(rows: np.ndarray) -> np.ndarray:
    """Return the rows with their smallest values, SPARSITY of the sum of magnitudes, set to 0 (util.sparsify_rows)."""
    magnitudes = np.abs(rows)
    ordered = np.sort(magnitudes, axis=1)
    share = np.cumsum(ordered / magnitudes.sum(axis=1, keepdims=True), axis=1)
    threshold = np.take_along_axis(ordered, np.argmin(share < SPARSITY, axis=1)[:, np.newaxis], axis=1)
    return np.where(magnitudes >= threshold, rows, 0)


class ConstantQ:
    """The constant-Q chroma of one signal, block after block."""

    def __init__(self, sample_rate: int, tuning: float) -> None:
        found = cqt_plan(sample_rate, tuning)
        self._early = _Decimator(found.early) if found.early > 1 else None
        self._octaves: list[_Octave] = []
        hop = HOP_LENGTH // found.early
        for end in range(found.bins, 0, -N_CHROMA):
            self._octaves.append(_Octave(found.kernel, hop, end))
            hop //= 2
        self._halvings = [_Decimator(2) for _ in self._octaves[1:]]

    def __call__(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Take the next samples; return the chroma of the frames that are complete by now, (frames, 12).

        Frames are centred at multiples of HOP samples, zeros beyond both ends; unlike the short-time Fourier transform
        there may be one more at the end, since halving rounds the length up. Chroma is the sum of the magnitudes of a
        pitch class, C first.
        """
        for start in range(0, max(len(samples), 1), _SAMPLES):
            part = samples[start : start + _SAMPLES]
            ending = last and start + _SAMPLES >= len(samples)
            if self._early is not None:
                part = self._early(part, last=ending)
            self._octaves[0].push(part, last=ending)
            for halving, octave in zip(self._halvings, self._octaves[1:], strict=True):
                part = halving(part, last=ending)
                octave.push(part, last=ending)
        ready = min(octave.ready for octave in self._octaves)
        return sum((octave.pull(ready) for octave in self._octaves), np.zeros((ready, N_CHROMA), np.float32))


class _Decimator:
    """librosa.resample(orig_sr=ratio, target_sr=1, scale=True) of a stream of blocks."""

    def __init__(self, ratio: int) -> None:
        self._stream = soxr.ResampleStream(ratio, 1, 1, dtype="float32", quality="soxr_hq")
        self._ratio, self._taken, self._given = ratio, 0, 0

    def __call__(self, samples: np.ndarray, *, last: bool) -> np.ndarray:
        resampled = self._stream.resample_chunk(samples, last=last)
        self._taken, self._given = self._taken + len(samples), self._given + len(resampled)
        if last:  # fix_length: the length is the old one over the ratio, rounded up
            missing = -(-self._taken // self._ratio) - self._given
            resampled = (
                np.pad(resampled, (0, missing)) if missing > 0 else resampled[: len(resampled) + missing]
            )
        # In float64, rounded once, as there: the rounding of loud low notes is as loud as a quiet passage's high ones.
        return (resampled / np.sqrt(1 / self._ratio)).astype(np.float32)


class _Octave:
    """The responses of one octave's filters, frame after frame of the signal at its sample rate."""

    def __init__(self, kernel: np.ndarray, hop: int, end: int) -> None:
        # The lowest octave may be cut off at C1: its last bin is number `end` - 1.
        self._first = max(end - N_CHROMA, 0)
        size, count = kernel.shape[0], end - self._first
        self._kernel = np.ascontiguousarray(kernel.reshape(size, 2, -1)[:, :, -count:].reshape(size, -1))
        self._hop = hop
        self._waiting = np.zeros(size // 2, np.float32)
        self._samples, self._frames = 0, 0
        self._done: list[np.ndarray] = []

    @property
    def ready(self) -> int:
        """Frames that can be pulled."""
        return sum(map(len, self._done))

    def push(self, samples: np.ndarray, *, last: bool) -> None:
        """Take the next samples and filter the frames that they complete."""
        size = len(self._kernel)
        self._samples += len(samples)
        ending = np.zeros(size + self._hop if last else 0, np.float32)
        waiting = np.concatenate([self._waiting, samples, ending])
        # A hop may be longer than a frame: take only frames whose hop is there as well.
        count = min((len(waiting) - size) // self._hop + 1, len(waiting) // self._hop)
        if last:
            count = min(count, 1 + self._samples // self._hop - self._frames)
        if count > 0:
            self._filter(np.lib.stride_tricks.sliding_window_view(waiting, size)[:: self._hop][:count])
            self._frames += count
            waiting = waiting[count * self._hop :]
        self._waiting = waiting

    def _filter(self, frames: np.ndarray) -> None:
        chroma = np.zeros((len(frames), N_CHROMA), np.float32)
        for start in range(0, len(frames), _FRAMES):
            end = start + _FRAMES
            kernels.fold_octaves(
                frames[start:end].astype(np.float64) @ self._kernel, self._first, chroma[start:end]
            )
        self._done.append(chroma)

    def pull(self, count: int) -> np.ndarray:
        """Return the next `count` frames, (count, 12)."""
        done = np.concatenate([*self._done, np.empty((0, N_CHROMA), np.float32)])
        self._done = [done[count:]]
        return done[:count]
