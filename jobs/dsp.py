"""Signal -> features: what a recording sounds like, in 308 numbers. No files, no Spark, no paths in here.

Conventions
- A signal is mono float32 in about -1..1, at the file's own sample rate (Hz); times are in seconds, frequencies in Hz.
- Frames are librosa's: n_fft 2,048, hop 512, periodic Hann window, centred (1,024 zeros at both ends), so that n
  samples make 1 + n // 512 frames. In here and in `spectra` frames are the first axis.
- Columns are `<feature>_<statistic>_<number>`, sorted by feature, statistic, number from 01: the names and the order of
  FMA's features.csv. Chroma starts at C, contrast at its lowest band, MFCC 01 is the loudness-like one.
- The numbers are those of plain librosa 0.11 calls at the signal's sample rate (tests/unit/test_dsp.py holds them side
  by side). mdeff/fma's features.py left `sr` at 22,050 Hz for chroma, centroid, bandwidth, contrast and roll-off,
  whatever the file had: those columns of the published features.csv are not comparable with these.

A clip-wide figure is needed three times, and frames wait for it as little as memory allows:
- MFCC and contrast cut their decibels 80 dB below the clip's loudest. Contrast keeps peaks and valleys until the end;
  the mel spectrogram is kept up to LONG_FRAMES, beyond that the signal is read a second time.
- Chroma needs the tuning: estimated on the whole clip up to TUNING_FRAMES, else on the first TUNING_FRAMES.

BLAS products are small and gain nothing from threads: give a worker OPENBLAS_NUM_THREADS=1.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np

from jobs import spectra
from jobs.moments import STATISTICS, describe
from jobs.spectra import HOP, N_CHROMA, N_FFT, N_MFCC

# The set and the numerical version of this code: raise it when any column changes by more than rounding.
FEATURE_VERSION = "basic-1"

FEATURES = {
    "chroma_stft": N_CHROMA,
    "mfcc": N_MFCC,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "zcr": 1,
}
COLUMNS: tuple[str, ...] = tuple(
    f"{feature}_{statistic}_{number:02d}"
    for feature, size in FEATURES.items()
    for statistic in STATISTICS
    for number in range(1, size + 1)
)

OVERLAP = N_FFT - HOP
# Frames computed at a time: their spectrum (2 MB in float64) stays in one core's cache.
SEGMENT_FRAMES = 128

MIN_DURATION_S = 0.5
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 400_000
# Far above any real recording, and far below where float32 power overflows.
MAX_PEAK = 1e6
# 15 and 2 minutes at 44.1 kHz; in frames, because what they bound is memory (about 40 MB each).
LONG_FRAMES = 77_520
TUNING_FRAMES = 10_336


class SignalError(ValueError):
    """The signal has no features; the message is one line: what was expected, what was found."""


def features(blocks: Callable[[], Iterator[np.ndarray]], *, sample_rate: int) -> np.ndarray:
    """Return the features of one signal, float32, shape (308,), in the order of `COLUMNS`, always finite.

    `blocks()` starts the decoding afresh and yields mono blocks, 1-D, of any lengths; it is called a second time only
    for a signal of more than LONG_FRAMES frames. sample_rate: Hz, 4,000 to 400,000.

    Per frame, with M the magnitude spectrum at the frequencies f (librosa's default parameters):
    - chroma_stft: M^2 on 12 pitch classes at the clip's tuning, divided by the frame's largest; 0..1
    - mfcc: orthonormal DCT-II of the 128-band mel power spectrum in dB, coefficients 1..20
    - rmse: root of the frame's mean power (of the windowed frame), in the unit of the signal
    - spectral_centroid: sum(f M) / sum(M); spectral_bandwidth: root of sum((f - centroid)^2 M) / sum(M); Hz
    - spectral_contrast: dB between the loudest and the softest 2 % of each band (0-200 Hz, then octaves); a band that
      would start at or above half the sample rate (below 12,800 Hz) holds nothing and gives 0
    - spectral_rolloff: the frequency below which 85 % of sum(M) lies; Hz
    - zcr: changes of sign per sample; 0..1
    A silent frame has centroid, bandwidth, roll-off, rmse, zcr and chroma 0.

    Raises SignalError for a signal that is empty, shorter than MIN_DURATION_S, silent throughout (every sample exactly
    0), not finite or beyond MAX_PEAK, and for a sample rate out of range.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise SignalError(f"expected a sample rate of {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, found {sample_rate}")
    bank = spectra.bank(sample_rate)
    reading = _Reading(bank)
    for spectrum, crossings in _spectra(blocks(), bank):
        reading.add(spectrum, crossings)
    frames = reading.finish()
    if "mfcc" not in frames:
        frames["mfcc"] = _mfcc_again(blocks(), bank, reading.loudest_mel - spectra.TOP_DB, len(frames["zcr"]))
    return np.concatenate([describe(frames.pop(name).T).ravel() for name in FEATURES]).astype(np.float32)


def warm_up() -> None:
    """Run the whole engine on one synthetic second, so that librosa's compiled parts and the caches are there."""
    time = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    features(lambda: iter([tone]), sample_rate=44_100)


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
    size = SEGMENT_FRAMES * HOP + OVERLAP
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
    whole = filled // HOP * HOP
    if whole > OVERLAP:
        yield samples[:whole], crossings[:whole]


def _spectra(blocks: Iterable[np.ndarray], bank: spectra.Bank) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield magnitudes, (frames, bins), and zero crossings, one flag per sample, of segment after segment."""
    transform = spectra.Transform(bank.window, SEGMENT_FRAMES)
    for samples, crossings in _segments(_checked(blocks, bank.sample_rate)):
        yield transform(samples), crossings


class _Reading:
    """One reading of the signal: per-frame rows, and what waits for a clip-wide figure."""

    def __init__(self, bank: spectra.Bank) -> None:
        self.bank = bank
        self.loudest_mel = -np.inf
        self._rows: dict[str, list[np.ndarray]] = defaultdict(list)
        self._mel: list[np.ndarray] | None = []
        self._untuned: list[np.ndarray] = []
        self._chroma_filters: np.ndarray | None = None
        self._count = 0

    def add(self, spectrum: np.ndarray, crossings: np.ndarray) -> None:
        """Take the magnitudes and the zero crossings of the next segment."""
        power = spectrum * spectrum
        self._count += len(spectrum)
        centroid, bandwidth = spectra.centroid_and_bandwidth(spectrum, self.bank)
        peaks, valleys = spectra.peaks_and_valleys(spectrum, self.bank)
        rows = {
            "rmse": spectra.rms(power),
            "spectral_bandwidth": bandwidth,
            "spectral_centroid": centroid,
            "peaks": peaks,
            "valleys": valleys,
            "spectral_rolloff": spectra.rolloff(spectrum, self.bank.sample_rate),
            "zcr": spectra.zero_crossing_rate(crossings),
        }
        for name, row in rows.items():
            self._rows[name].append(row)
        self._add_mel(spectra.mel_decibels(power, self.bank))
        self._add_chroma(power)

    def _add_mel(self, mel: np.ndarray) -> None:
        self.loudest_mel = max(self.loudest_mel, float(mel.max()))
        if self._count > LONG_FRAMES:
            self._mel = None
        if self._mel is not None:
            self._mel.append(mel)

    def _add_chroma(self, power: np.ndarray) -> None:
        if self._chroma_filters is None:
            self._untuned.append(power)
            if self._count >= TUNING_FRAMES:
                self._settle_tuning()
        else:
            self._rows["chroma_stft"].append(spectra.chroma(power, self._chroma_filters))

    def _settle_tuning(self) -> None:
        tuning = spectra.tuning(self._untuned, self.bank)
        filters = spectra.chroma_filters(self.bank.sample_rate, tuning)
        self._rows["chroma_stft"] = [spectra.chroma(power, filters) for power in self._untuned]
        self._untuned, self._chroma_filters = [], filters

    def finish(self) -> dict[str, np.ndarray]:
        """Return every feature as (frames, numbers); without "mfcc" where the mel spectrum was too long to keep."""
        if self._chroma_filters is None:
            self._settle_tuning()
        if self._mel is not None:
            self._rows["mfcc"] = [spectra.mfcc(mel, self.loudest_mel - spectra.TOP_DB, self.bank) for mel in self._mel]
            self._mel = None
        # pop: hours of frames are not there twice, in pieces and as a whole.
        frames = {name: np.concatenate(self._rows.pop(name)) for name in list(self._rows)}
        frames["spectral_contrast"] = spectra.contrast(frames.pop("peaks"), frames.pop("valleys"), self.bank)
        return frames


def _mfcc_again(blocks: Iterable[np.ndarray], bank: spectra.Bank, floor: float, count: int) -> np.ndarray:
    """Return the MFCC of a second reading, (frames, 20), for a floor (dB) that the first one found."""
    rows = []
    for spectrum, _ in _spectra(blocks, bank):
        rows.append(spectra.mfcc(spectra.mel_decibels(spectrum * spectrum, bank), floor, bank))
    found = sum(map(len, rows))
    if found != count:
        raise SignalError(f"expected {count} frames in the second reading as in the first, found {found}")
    return np.concatenate(rows)
