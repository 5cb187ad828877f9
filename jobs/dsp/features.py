"""Signal -> features: what a recording sounds like, in the numbers that `tables` names. No files, no Spark, no paths.

Conventions
- A signal is mono float32 in about -1..1, at the file's own sample rate (Hz); times are in seconds, frequencies in Hz.
- Frames are librosa's: n_fft 2,048, hop 512, periodic Hann window, centred (1,024 zeros at both ends), so that n
  samples make 1 + n // 512 frames. Frames are the first axis.
- `tables.FMA_COLUMNS` are the 518 of FMA's features.csv, with the numbers of plain librosa 0.11 calls at the signal's
  sample rate (tests/unit/dsp/test_features.py holds them side by side), as mdeff/fma's features.py makes them: 84 constant-Q
  bins, tonnetz of chroma_cens. That script left `sr` at 22,050 Hz for chroma_stft, centroid, bandwidth, contrast and
  roll-off, whatever the file had: those columns of the published features.csv are not comparable with these.

They agree with librosa's to a median of 1e-7 of a column's spread over the 60 recordings of ../shared/data, and to 1e-3
throughout. The worst are minima of chroma_cqt in frames of near silence, which are divided by their largest value: what
is left there is the rounding of librosa's complex64 transform.

One reading of the signal is enough up to 15 minutes (at 44.1 kHz); see `timbre` for what needs another one. Memory is
bounded by KEPT_VALUES for any length. BLAS products are small and gain nothing from threads: give a worker
OPENBLAS_NUM_THREADS=1.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from jobs.dsp import kernels, spectral
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.harmony import ConstantQHarmony, StftChroma
from jobs.dsp.spectral import HOP_LENGTH, N_FFT
from jobs.dsp.timbre import Mel, Timbre
from jobs.lake.feature_columns import DESCRIPTORS, FEATURE_SIZES, FEATURE_VERSION

__all__ = ["FEATURE_VERSION", "GROUPS", "SignalError", "extract_groups", "extract_features", "warm_up"]

Blocks = Callable[[], Iterator[np.ndarray]]

# The first one never gives up.
GROUPS: tuple[type[FeatureAccumulator], ...] = (Mel, Timbre, StftChroma, ConstantQHarmony)

OVERLAP = N_FFT - HOP_LENGTH
# Frames computed at a time: their spectrum (2 MB in float64) stays in one core's cache.
SEGMENT_FRAMES = 128

MIN_DURATION_S = 0.5
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 400_000
# Far above any real recording, and far below where float32 power overflows.
MAX_PEAK = 1e6
# float32 values that are kept of a signal at a time: 380 MB.
MAX_BUFFERED_VALUES = 95_000_000


class SignalError(ValueError):
    """The signal has no features; the message is one line: what was expected, what was found."""


def extract_features(blocks: Blocks, *, sample_rate: int) -> np.ndarray:
    """Return all features of one signal, float32, in the order of `tables.FEATURE_COLUMNS`, always finite.

    `blocks()` starts the decoding afresh and yields mono blocks, 1-D, of any lengths; it is called again only for long
    signals. sample_rate: Hz, 4,000 to 400,000.

    Per frame, with M the magnitude spectrum at the frequencies f (librosa's default parameters):
    - chroma_stft: M^2 on 12 pitch classes at the clip's tuning, divided by the frame's largest; 0..1
    - chroma_cqt: the same of 84 constant-Q magnitudes from C1, those left out whose pass band reaches beyond half the
      sample rate (below 8,500 Hz); chroma_cens: quantised, smoothed over 41 frames, of length 1; tonnetz: its centroids
    - mfcc: orthonormal DCT-II of the 128-band mel power spectrum in dB, coefficients 1..20; mfcc_delta: their slope over
      9 frames, per frame
    - rmse: root of the frame's mean power (of the windowed frame), in the unit of the signal
    - spectral_centroid: sum(f M) / sum(M); spectral_bandwidth: root of sum((f - centroid)^2 M) / sum(M); Hz
    - spectral_contrast: dB between the loudest and the softest 2 % of each band (0-200 Hz, then octaves); a band that
      would start at or above half the sample rate (below 12,800 Hz) holds nothing and gives 0
    - spectral_rolloff: the frequency below which 85 % of sum(M) lies; Hz
    - zcr: changes of sign per sample; 0..1
    A silent frame has centroid, bandwidth, roll-off, rmse, zcr and chroma_stft 0; its constant-Q chroma is that of the
    resampler's rounding, as in librosa. Of the whole recording: `tables.DESCRIPTORS`.

    Raises SignalError for a signal that is empty, shorter than MIN_DURATION_S, silent throughout (every sample exactly
    0), not finite or beyond MAX_PEAK, and for a sample rate out of range.
    """
    found = extract_groups(blocks, sample_rate=sample_rate)
    return np.concatenate([found[name].ravel() for name in (*FEATURE_SIZES, *DESCRIPTORS)]).astype(np.float32)


def extract_groups(
    blocks: Blocks,
    *,
    sample_rate: int,
    groups: Sequence[Callable[[spectral.FilterBank], FeatureAccumulator]] = GROUPS,
) -> FeatureMap:
    """Return the features of some groups by name: (7, numbers) each, (numbers,) for a descriptor."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise SignalError(
            f"expected a sample rate of {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, found {sample_rate}"
        )
    bank = spectral.filter_bank(sample_rate)
    waiting, found, frames = [group(bank) for group in groups], FeatureMap(), None
    while waiting:
        counted = _read(blocks(), bank, waiting)
        if frames not in (None, counted):
            raise SignalError(
                f"expected {frames} frames in the second reading as in the first, found {counted}"
            )
        frames = counted
        again = [group for group in waiting if not group.complete]
        while waiting:
            group = waiting.pop(0)
            found.update(group.result() if group.complete else {})
        waiting = again
    return found


def _read(
    blocks: Iterable[np.ndarray], bank: spectral.FilterBank, groups: Sequence[FeatureAccumulator]
) -> int:
    """Let the groups hear the signal once; those whose rows become too many give up. Return the number of frames."""
    hearing, frames = list(groups), 0
    for group in groups:
        group.complete = True

    def overheard() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for block, crossings in _checked(blocks, bank.sample_rate):
            for group in hearing:
                group.add_samples(block, last=False)
            yield block, crossings
        for group in hearing:
            group.add_samples(np.zeros(0, np.float32), last=True)

    for segment in _measured(_segments(overheard()), bank):
        frames += len(segment.power)
        for group in hearing:
            group.add_frames(segment)
        while len(hearing) > 1 and frames * sum(group.width for group in hearing) > MAX_BUFFERED_VALUES:
            hearing.pop().restart()
    for group in groups:
        group.end_pass()
    return frames


def warm_up() -> None:
    """Run the engine on one synthetic second: its loops are compiled, and kept on disk for every later process."""
    time = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    extract_features(lambda: iter([tone]), sample_rate=44_100)


def _checked(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each block with its zero crossings: True where a sample's sign differs from the sample's before."""
    count, peak = 0, 0.0
    negative_before: np.ndarray | None = None
    for block in blocks:
        if block.size == 0:
            continue
        block_peak = float(np.abs(block).max())
        if not block_peak <= MAX_PEAK:
            raise SignalError(f"expected finite samples of about -1 to 1, found {block_peak:g}")
        count, peak = count + block.size, max(peak, block_peak)
        # librosa takes samples down to -1e-10 for zeros.
        negative = block < -1e-10
        before = negative[:1] if negative_before is None else negative_before
        yield block, np.diff(negative, prepend=before)
        negative_before = negative[-1:]
    if count == 0:
        raise SignalError("expected sound, found no samples")
    if count < MIN_DURATION_S * sample_rate:
        raise SignalError(f"expected at least {MIN_DURATION_S} s of sound, found {count / sample_rate:.3f} s")
    if peak == 0:
        raise SignalError(f"expected sound, found no sound: all {count} samples are zero")


def _segments(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the padded signal and its zero crossings in overlapping segments that hold whole frames.

    A segment of k frames has (k + 3) * HOP samples, k <= SEGMENT_FRAMES; the next one overwrites it.
    """
    size = SEGMENT_FRAMES * HOP_LENGTH + OVERLAP
    samples, crossings = np.empty(size, np.float32), np.empty(size, bool)
    padding = np.zeros(N_FFT // 2, np.float32), np.zeros(N_FFT // 2, bool)
    filled = 0
    for block, block_crossings in chain([padding], pairs, [padding]):
        start = 0
        while start < block.size:
            taken = min(size - filled, block.size - start)
            samples[filled : filled + taken] = block[start : start + taken]
            crossings[filled : filled + taken] = block_crossings[start : start + taken]
            start, filled = start + taken, filled + taken
            if filled == size:
                yield samples, crossings
                samples[:OVERLAP], crossings[:OVERLAP] = samples[-OVERLAP:], crossings[-OVERLAP:]
                filled = OVERLAP
    whole = filled // HOP_LENGTH * HOP_LENGTH
    if whole > OVERLAP:
        yield samples[:whole], crossings[:whole]


def _measured(
    segments: Iterable[tuple[np.ndarray, np.ndarray]], bank: spectral.FilterBank
) -> Iterator[Segment]:
    """Yield what is said of each segment's frames."""
    transform = spectral.STFT(bank.window, SEGMENT_FRAMES)
    magnitudes = np.empty((2, SEGMENT_FRAMES, N_FFT // 2 + 1), np.float32)
    for samples, crossings in segments:
        spectrum = transform(samples)
        magnitude, power = magnitudes[:, : len(spectrum)]
        said = np.empty((len(spectrum), 4), np.float32)
        kernels.frame_statistics(spectrum, spectral.ROLL_PERCENT, magnitude, power, said)
        yield Segment(magnitude, power, said, crossings)
