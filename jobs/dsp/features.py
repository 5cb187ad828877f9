"""Signal to features: the numbers of one recording that FEATURES holds. No files, no Spark, no paths.

Conventions
- A signal is mono float32 in about -1..1, at the file's own sample rate (Hz); times are in seconds,
  frequencies in Hz.
- Frames are librosa's: n_fft 2,048, hop 512, periodic Hann window, centred (1,024 zeros at both ends), so
  that n samples give 1 + n // 512 frames. Frames are the first axis.
- `FMA_COLUMNS` (jobs/lake/feature_columns.py) are the 518 of FMA's features.csv, with the values of plain
  librosa 0.11 calls at the signal's sample rate (tests/unit/dsp/test_features.py compares them), following
  mdeff/fma's features.py: 84 constant-Q bins, tonnetz of chroma_cens. That script left `sr` at 22,050 Hz for
  chroma_stft, centroid, bandwidth, contrast and roll-off, whatever the file's rate: those columns of the
  published features.csv are not comparable with these.

The columns agree with librosa's to a median of 1e-7 of a column's spread over 60 recordings (56 free
ones and 4 clips of FMA), and to 1e-3 throughout. The worst are minima of chroma_cqt in frames of near
silence, which are divided by their largest value: there only the rounding of librosa's complex64 transform is
left.

One pass over the signal is enough up to 15 minutes (at 44.1 kHz); `timbre` says what needs a second one.
Memory is bounded by MAX_BUFFERED_VALUES for any length. BLAS products are small and gain nothing from
threads: give a worker OPENBLAS_NUM_THREADS=1.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from jobs.dsp import kernels, spectral
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.fixed_band import FixedBand
from jobs.dsp.harmony import ConstantQHarmony, StftChroma
from jobs.dsp.spectral import HOP_LENGTH, N_FFT
from jobs.dsp.timbre import Mel, Timbre
from jobs.lake.feature_columns import DESCRIPTORS, FEATURE_SIZES, FEATURE_VERSION

__all__ = ["FEATURE_VERSION", "GROUPS", "SignalError", "extract_groups", "extract_features", "warm_up"]

Blocks = Callable[[], Iterator[np.ndarray]]

# In the order in which they keep their rows: the last is restarted first, the first never.
GROUPS: tuple[type[FeatureAccumulator], ...] = (
    Mel,
    Timbre,
    StftChroma,
    FixedBand,
    ConstantQHarmony,
)

OVERLAP = N_FFT - HOP_LENGTH
# Frames computed at a time: their spectrum (2 MB in float64) stays in one core's cache.
SEGMENT_FRAMES = 128

MIN_DURATION_S = 0.5
MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 400_000
# Far above any real recording, and far below where float32 power overflows.
MAX_PEAK = 1e6
# float32 values stored of a signal at a time: 380 MB.
MAX_BUFFERED_VALUES = 95_000_000


class SignalError(ValueError):
    """The signal has no features; the message is one line: expected …, found …."""


def extract_features(blocks: Blocks, *, sample_rate: int) -> np.ndarray:
    """Return all features of one signal, float32 (1448,), in the order of SIGNAL_COLUMNS, always finite.

    Per frame, with M the magnitude spectrum at the frequencies f (librosa's default parameters):
    - chroma_stft: M^2 on 12 pitch classes at the clip's tuning, divided by the frame's largest; 0..1
    - chroma_cqt: the same of 84 constant-Q magnitudes from C1, without the bins whose pass band exceeds half
      the sample rate (below 8,500 Hz); chroma_cens: quantized, smoothed over 41 frames, of norm 1; tonnetz:
      its tonal centroids
    - mfcc: orthonormal DCT-II of the 128-band mel power spectrum in dB, coefficients 1..20; mfcc_delta: their
      slope over 9 frames, per frame
    - rmse: root of the (windowed) frame's mean power, in the unit of the signal
    - spectral_centroid: sum(f M) / sum(M); spectral_bandwidth: root of sum((f - centroid)^2 M) / sum(M); Hz
    - spectral_contrast: dB between the loudest and the softest 2 % of each band (0-200 Hz, then octaves); a
      band that would start at or above half the sample rate (below 12,800 Hz) is empty and gives 0
    - spectral_rolloff: the frequency below which 85 % of sum(M) lies; Hz
    - zcr: changes of sign per sample; 0..1
    A silent frame has centroid, bandwidth, roll-off, rmse, zcr and chroma_stft 0; its constant-Q chroma is
    that of the resampler's rounding, as in librosa. Per recording: DESCRIPTORS of
    jobs/lake/feature_columns.py.

    Parameters
    ----------
    blocks
        Starts decoding from the beginning and yields mono blocks, 1-D, of any lengths; it is called a second
        time only for long signals.
    sample_rate
        Hz, 4,000 to 400,000.

    Raises
    ------
    SignalError
        The signal is empty, shorter than MIN_DURATION_S, silent (every sample exactly 0), not finite or
        beyond MAX_PEAK, or the sample rate is out of range.
    """
    features = extract_groups(blocks, sample_rate=sample_rate)
    values = [features[name].ravel() for name in (*FEATURE_SIZES, *DESCRIPTORS)]
    return np.concatenate(values).astype(np.float32)


def extract_groups(
    blocks: Blocks,
    *,
    sample_rate: int,
    groups: Sequence[Callable[[spectral.FilterBank], FeatureAccumulator]] = GROUPS,
) -> FeatureMap:
    """Return the features of some groups by name: (7, coefficients) each, (n,) for a descriptor.

    Parameters
    ----------
    blocks
        As in `extract_features`.
    sample_rate
        As in `extract_features`.
    groups
        Classes, or functions that create an accumulator for a filter bank.

    Raises
    ------
    SignalError
        As in `extract_features`; also if two passes read different numbers of frames.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise SignalError(
            f"expected a sample rate of {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, found {sample_rate}"
        )
    bank = spectral.filter_bank(sample_rate)
    pending = [group(bank) for group in groups]
    features: FeatureMap = {}
    n_frames: int | None = None
    while pending:
        n_read = _read_pass(blocks(), bank, pending)
        if n_frames not in (None, n_read):
            raise SignalError(
                f"expected {n_frames} frames in the second pass as in the first, found {n_read}"
            )
        n_frames = n_read
        incomplete = [group for group in pending if not group.complete]
        while pending:  # one by one, so that a group's rows are freed before the next group's result
            group = pending.pop(0)
            if group.complete:
                features.update(group.result())
        pending = incomplete
    return features


def _read_pass(
    blocks: Iterable[np.ndarray], bank: spectral.FilterBank, groups: Sequence[FeatureAccumulator]
) -> int:
    """Feed the groups one pass over the signal; return the number of frames.

    While the rows of all groups together exceed MAX_BUFFERED_VALUES, the last group is restarted.
    """
    active = list(groups)
    n_frames = 0
    for group in groups:
        group.complete = True

    def feed_samples() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for block, crossings in _checked(blocks, bank.sample_rate):
            for group in active:
                group.add_samples(block, last=False)
            yield block, crossings
        for group in active:
            group.add_samples(np.zeros(0, np.float32), last=True)

    for segment in _transformed(_segments(feed_samples()), bank):
        n_frames += len(segment.power)
        for group in active:
            group.add_frames(segment)
        while len(active) > 1 and n_frames * sum(group.width for group in active) > MAX_BUFFERED_VALUES:
            active.pop().restart()
    for group in groups:
        group.end_pass()
    return n_frames


def warm_up() -> None:
    """Compile the loops by extracting one synthetic second; numba caches the machine code on disk."""
    time = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    extract_features(lambda: iter([tone]), sample_rate=44_100)


def _checked(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each block with its zero crossings: True where a sample's sign differs from that of the sample
    before.

    Raises
    ------
    SignalError
        See `extract_features`.
    """
    n_samples = 0
    peak = 0.0
    previous_negative: np.ndarray | None = None
    for block in blocks:
        if block.size == 0:
            continue
        block_peak = float(np.abs(block).max())
        if not block_peak <= MAX_PEAK:
            raise SignalError(f"expected finite samples of about -1 to 1, found {block_peak:g}")
        n_samples += block.size
        peak = max(peak, block_peak)
        # librosa counts samples down to -1e-10 as zeros.
        negative = block < -1e-10
        previous = negative[:1] if previous_negative is None else previous_negative
        yield block, np.diff(negative, prepend=previous)
        previous_negative = negative[-1:]
    if n_samples == 0:
        raise SignalError("expected sound, found no samples")
    if n_samples < MIN_DURATION_S * sample_rate:
        raise SignalError(
            f"expected at least {MIN_DURATION_S} s of sound, found {n_samples / sample_rate:.3f} s"
        )
    if peak == 0:
        raise SignalError(f"expected sound, found no sound: all {n_samples} samples are zero")


def _segments(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the padded signal and its zero crossings in overlapping segments of whole frames.

    A segment of k frames has (k + 3) * HOP_LENGTH samples, k <= SEGMENT_FRAMES; the next one overwrites it.
    """
    size = SEGMENT_FRAMES * HOP_LENGTH + OVERLAP
    samples = np.empty(size, np.float32)
    crossings = np.empty(size, bool)
    padding = np.zeros(N_FFT // 2, np.float32), np.zeros(N_FFT // 2, bool)
    filled = 0
    for block, block_crossings in chain([padding], pairs, [padding]):
        start = 0
        while start < block.size:
            count = min(size - filled, block.size - start)
            samples[filled : filled + count] = block[start : start + count]
            crossings[filled : filled + count] = block_crossings[start : start + count]
            start += count
            filled += count
            if filled == size:
                yield samples, crossings
                samples[:OVERLAP] = samples[-OVERLAP:]
                crossings[:OVERLAP] = crossings[-OVERLAP:]
                filled = OVERLAP
    whole = filled // HOP_LENGTH * HOP_LENGTH
    if whole > OVERLAP:
        yield samples[:whole], crossings[:whole]


def _transformed(
    segments: Iterable[tuple[np.ndarray, np.ndarray]], bank: spectral.FilterBank
) -> Iterator[Segment]:
    """Yield the spectra and statistics of each segment's frames."""
    stft = spectral.STFT(bank.window, SEGMENT_FRAMES)
    magnitudes = np.empty((2, SEGMENT_FRAMES, N_FFT // 2 + 1), np.float32)
    for samples, crossings in segments:
        spectrum = stft(samples)
        magnitude, power = magnitudes[:, : len(spectrum)]
        frame_stats = np.empty((len(spectrum), 4), np.float32)
        kernels.frame_statistics(spectrum, spectral.ROLL_PERCENT, magnitude, power, frame_stats)
        yield Segment(magnitude, power, frame_stats, crossings)
