"""What each group of features gathers from one reading of a signal, and what it makes of it in the end.

A group takes the signal segment by segment and keeps float32 rows, `width` values a frame. It may be told to give up
(the rows of hours of sound would not fit into memory together); then it gets another reading. Some need a figure of the
whole clip before they can say anything; frames wait for it as little as memory allows:
- MFCC, what follows from them, and contrast cut their decibels 80 dB below the clip's loudest. Contrast keeps peaks and
  valleys until the end; the mel spectrogram is kept up to LONG_FRAMES, beyond that the signal is read a second time.
- Both chromas need the tuning, one from M^2, one from M, as librosa estimates it for each: on the whole clip up to
  TUNING_FRAMES, else on the first TUNING_FRAMES.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import librosa.filters as librosa_filters
import numpy as np
import scipy.ndimage

from jobs import loops, rhythm, spectra, tonality
from jobs.constantq import ConstantQ
from jobs.moments import Covariance, describe
from jobs.spectra import HOP, N_CHROMA, N_FFT, N_MFCC
from jobs.tables import STATISTICS

# 15 and 2 minutes at 44.1 kHz; in frames, because what they bound is memory (about 40 MB each).
LONG_FRAMES = 77_520
TUNING_FRAMES = 10_336

# (7, numbers) of a feature over the frames, (numbers,) of a descriptor.
Found = dict[str, np.ndarray]

# librosa.feature.chroma_cens smooths over 41 frames: a Hann window without its two zeros.
_CENS_WINDOW = librosa_filters.get_window("hann", 43, fftbins=False)
_CENS_WINDOW /= _CENS_WINDOW.sum()
# librosa.feature.delta: the slope of a straight line through nine frames.
_SLOPE = np.arange(-4, 5) / 60


@dataclass(frozen=True)
class Segment:
    """Some frames, and what `loops.measure` says of them; the next segment overwrites it."""

    magnitude: np.ndarray
    power: np.ndarray
    said: np.ndarray
    # One flag per sample that belongs to the frames.
    crossings: np.ndarray


class Rows:
    """Rows (frames, n) that come in pieces and are read column by column, never twice in memory."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []

    def add(self, piece: np.ndarray) -> None:
        """Keep the next frames."""
        self._pieces.append(piece)

    def column(self, number: int) -> np.ndarray:
        """Return one column, (frames,)."""
        return np.concatenate([piece[:, number] for piece in self._pieces])

    def columns(self, count: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield `count` columns from `start`."""
        return (self.column(number) for number in range(start, start + count))

    def drain(self) -> Iterator[np.ndarray]:
        """Yield the pieces and forget them."""
        self._pieces.reverse()
        while self._pieces:
            yield self._pieces.pop()


class Group:
    """Features that are gathered together."""

    width = 0

    def __init__(self, bank: spectra.Bank) -> None:
        self.bank = bank
        self.rows = Rows()
        # Whether the reading it has just heard was enough.
        self.complete = True

    def hear(self, samples: np.ndarray, *, last: bool) -> None:
        """Take the next samples, of which the next segments are made."""

    def add(self, segment: Segment) -> None:
        """Take the next segment."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Forget the rows: the group gets another reading."""
        self.rows, self.complete = Rows(), False

    def finish(self) -> Found:
        """Return the features, once the signal has been heard to its end."""
        raise NotImplementedError


class Timbre(Group):
    """What a frame's spectrum says by itself: rms, centroid, bandwidth, roll-off, contrast, zero crossings."""

    width = 4 + 2 * (spectra.CONTRAST_OCTAVES + 1) + 1

    def add(self, segment: Segment) -> None:
        """Take the next segment."""
        levels = spectra.peaks_and_valleys(segment.magnitude, self.bank)
        self.rows.add(np.hstack([segment.said, levels, spectra.zero_crossing_rate(segment.crossings)]))

    def finish(self) -> Found:
        """Return the features in hertz and dB."""
        bin_hz = np.float32(self.bank.sample_rate / N_FFT)
        return {
            "rmse": describe([np.sqrt(self.rows.column(0)) / np.float32(N_FFT)]),
            "spectral_centroid": describe([self.rows.column(1) * bin_hz]),
            "spectral_bandwidth": describe([self.rows.column(2) * bin_hz]),
            "spectral_rolloff": describe([self.rows.column(3) * bin_hz]),
            "spectral_contrast": describe(self._contrast()),
            "zcr": describe([self.rows.column(4 + 2 * len(self.bank.contrast))]),
        }

    def _contrast(self) -> Iterator[np.ndarray]:
        bands = len(self.bank.contrast)
        # Both levels are cut TOP_DB below the clip's highest of their kind.
        loudest = [max(float(row.max()) for row in self.rows.columns(bands, start)) for start in (4, 4 + bands)]
        peak_floor, valley_floor = spectra.decibels(np.array(loudest, np.float32)) - np.float32(spectra.TOP_DB)
        for peak, valley in zip(self.rows.columns(bands, 4), self.rows.columns(bands, 4 + bands), strict=True):
            yield np.maximum(spectra.decibels(peak), peak_floor) - np.maximum(spectra.decibels(valley), valley_floor)
        for _ in range(bands, spectra.CONTRAST_OCTAVES + 1):
            yield np.zeros(1, np.float32)  # a band beyond the spectrum holds nothing


class Mel(Group):
    """What is made of the mel spectrum: MFCC, their slope and covariance, and rhythm."""

    def __init__(self, bank: spectra.Bank) -> None:
        super().__init__(bank)
        self._loudest = -np.inf
        self._floor: float | None = None
        self._waiting: Rows = Rows()
        self._frames = 0
        self._before: np.ndarray | None = None
        self._covariance = Covariance(N_MFCC)

    def add(self, segment: Segment) -> None:
        """Take the next segment."""
        mel = spectra.mel_decibels(segment.power, self.bank)
        if self._floor is not None:
            self._describe(mel)
            return
        self._loudest = max(self._loudest, float(mel.max()))
        self._frames += len(mel)
        if self._frames > LONG_FRAMES:
            self._waiting, self.complete = Rows(), False
        else:
            self._waiting.add(mel)

    def settle(self) -> None:
        """Fix the floor at the end of the first reading; what was kept is described, else the next reading is."""
        self._floor = self._loudest - spectra.TOP_DB
        self.width = N_MFCC + 1
        for mel in self._waiting.drain():
            self._describe(mel)

    def give_up(self) -> None:
        """Forget the rows: the group gets another reading."""
        super().give_up()
        self._before, self._covariance = None, Covariance(N_MFCC)

    def _describe(self, mel: np.ndarray) -> None:
        assert self._floor is not None
        cut = np.maximum(mel, np.float32(self._floor))
        mfcc = cut @ self.bank.dct
        self._covariance.add(mfcc)
        self.rows.add(np.column_stack([mfcc, rhythm.onset_strength(cut, self._before)]))
        self._before = cut[-1:]

    def finish(self) -> Found:
        """Return MFCC and what follows from them."""
        frame_rate = self.bank.sample_rate / HOP
        strength = self.rows.column(N_MFCC)
        correlation, lag_rate = rhythm.autocorrelation(strength, frame_rate)
        slopes = (scipy.ndimage.correlate1d(row, _SLOPE, mode="nearest") for row in self.rows.columns(N_MFCC))
        return {
            "mfcc": describe(self.rows.columns(N_MFCC)),
            "mfcc_delta": describe(slopes),
            "mfcc_covariance": self._covariance.triangle(),
            "onset_density": np.array([rhythm.onset_density(strength, frame_rate)]),
            "tempo": np.array([rhythm.tempo(correlation, lag_rate)]),
            "tempogram": rhythm.tempogram(correlation, lag_rate),
        }


class Chroma(Group):
    """Chroma of the short-time Fourier transform."""

    width = N_CHROMA

    def __init__(self, bank: spectra.Bank) -> None:
        super().__init__(bank)
        self._tuning = spectra.Tuning(bank)
        self._frames = 0
        self._waiting = Rows()
        self._filters: np.ndarray | None = None

    def add(self, segment: Segment) -> None:
        """Take the next segment."""
        if self._filters is not None:
            self.rows.add(spectra.chroma(segment.power, self._filters))
            return
        self._tuning.add(segment.power)
        self._waiting.add(segment.power.copy())
        self._frames += len(segment.power)
        if self._frames >= TUNING_FRAMES:
            self._settle()

    def _settle(self) -> None:
        self._filters = spectra.chroma_filters(self.bank.sample_rate, self._tuning.estimate())
        for power in self._waiting.drain():
            self.rows.add(spectra.chroma(power, self._filters))

    def finish(self) -> Found:
        """Return the chroma."""
        if self._filters is None:
            self._settle()
        return {"chroma_stft": describe(self.rows.columns(N_CHROMA))}


class Harmony(Group):
    """What is made of the constant-Q transform: two chromas, tonnetz (of chroma_cens, as in FMA's script) and key."""

    width = 2 * N_CHROMA

    def __init__(self, bank: spectra.Bank) -> None:
        super().__init__(bank)
        self._tuning = spectra.Tuning(bank)
        self._settled: float | None = None
        self._frames = 0
        self._waiting: list[tuple[np.ndarray, bool]] = []
        self._transform: ConstantQ | None = None

    def hear(self, samples: np.ndarray, *, last: bool) -> None:
        """Take the next samples."""
        if self._transform is not None:
            self._keep(self._transform(samples, last=last))
        else:
            self._waiting.append((samples, last))
            if self._settled is not None:
                self._settle()

    def add(self, segment: Segment) -> None:
        """Take the next segment, for the tuning alone."""
        if self._settled is None:
            self._tuning.add(segment.magnitude)
            self._frames += len(segment.magnitude)
            if self._frames >= TUNING_FRAMES:
                self._settle()

    def _settle(self) -> None:
        if self._settled is None:
            self._settled = self._tuning.estimate()
        self._transform = ConstantQ(self.bank.sample_rate, self._settled)
        for samples, last in self._waiting:
            self._keep(self._transform(samples, last=last))
        self._waiting = []

    def _keep(self, chroma: np.ndarray) -> None:
        self.rows.add(np.hstack([loops.normalised(chroma, True), loops.quantised(chroma)]))

    def give_up(self) -> None:
        """Forget the rows, not the tuning: the group gets another reading."""
        super().give_up()
        self._transform, self._waiting = None, []

    def finish(self) -> Found:
        """Return the chromas, tonnetz and key."""
        if self._transform is None:
            self._settle()
        found = {"chroma_cqt": describe(self.rows.columns(N_CHROMA))}
        mean = found["chroma_cqt"][STATISTICS.index("mean")]
        index, strength = tonality.key(mean)
        quantised = np.concatenate([piece[:, N_CHROMA:] for piece in self.rows.drain()])
        cens = loops.smoothed(quantised, _CENS_WINDOW)
        del quantised
        found["chroma_cens"] = describe(cens.T)
        found["tonnetz"] = describe(tonality.tonnetz(cens).T)
        return {**found, "key": np.array([index]), "key_strength": np.array([strength])}


GROUPS: tuple[type[Group], ...] = (Mel, Timbre, Chroma, Harmony)
