"""What the short-time spectrum says without pitch: timbre, and what the mel spectrum says of timbre and rhythm.

Contrast, MFCC and what follows from them cut their decibels 80 dB below the clip's loudest. Contrast keeps peaks and
valleys until the end; the mel spectrogram is kept up to LONG_FRAMES, beyond that the signal is read a second time.
"""

from collections.abc import Iterator

import numpy as np
import scipy.ndimage

from jobs.dsp import rhythm, spectral
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.spectral import HOP_LENGTH, N_FFT, N_MFCC
from jobs.dsp.summary_statistics import Covariance, summarize

# 15 minutes at 44.1 kHz; in frames, because what it bounds is memory (about 40 MB).
LONG_FRAMES = 77_520

# librosa.feature.delta: the slope of a straight line through nine frames.
_SLOPE = np.arange(-4, 5) / 60


class Timbre(FeatureAccumulator):
    """What a frame's spectrum says by itself: rms, centroid, bandwidth, roll-off, contrast, zero crossings."""

    width = 4 + 2 * (spectral.CONTRAST_OCTAVES + 1) + 1

    def add_frames(self, segment: Segment) -> None:
        """Take the next segment."""
        levels = spectral.peaks_and_valleys(segment.magnitude, self.bank)
        self.rows.add(
            np.hstack([segment.frame_stats, levels, spectral.zero_crossing_rate(segment.crossings)])
        )

    def result(self) -> FeatureMap:
        """Return the features in hertz and dB."""
        bin_hz = np.float32(self.bank.sample_rate / N_FFT)
        return {
            "rmse": summarize([np.sqrt(self.rows.column(0)) / np.float32(N_FFT)]),
            "spectral_centroid": summarize([self.rows.column(1) * bin_hz]),
            "spectral_bandwidth": summarize([self.rows.column(2) * bin_hz]),
            "spectral_rolloff": summarize([self.rows.column(3) * bin_hz]),
            "spectral_contrast": summarize(self._contrast()),
            "zcr": summarize([self.rows.column(4 + 2 * len(self.bank.contrast))]),
        }

    def _contrast(self) -> Iterator[np.ndarray]:
        bands = len(self.bank.contrast)
        # Both levels are cut TOP_DB below the clip's highest of their kind.
        loudest = [
            max(float(row.max()) for row in self.rows.columns(bands, start)) for start in (4, 4 + bands)
        ]
        peak_floor, valley_floor = spectral.power_to_db(np.array(loudest, np.float32)) - np.float32(
            spectral.TOP_DB
        )
        for peak, valley in zip(
            self.rows.columns(bands, 4), self.rows.columns(bands, 4 + bands), strict=True
        ):
            yield np.maximum(spectral.power_to_db(peak), peak_floor) - np.maximum(
                spectral.power_to_db(valley), valley_floor
            )
        for _ in range(bands, spectral.CONTRAST_OCTAVES + 1):
            yield np.zeros(1, np.float32)  # a band beyond the spectrum holds nothing


class Mel(FeatureAccumulator):
    """What is made of the mel spectrum: MFCC, their slope and covariance, and rhythm."""

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        self._loudest = -np.inf
        self._floor: float | None = None
        self._waiting: list[np.ndarray] = []
        self._frames = 0
        self._before: np.ndarray | None = None
        self._covariance = Covariance(N_MFCC)

    def add_frames(self, segment: Segment) -> None:
        """Take the next segment."""
        mel = spectral.mel_power_db(segment.power, self.bank)
        if self._floor is not None:
            self._describe(mel)
            return
        self._loudest = max(self._loudest, float(mel.max()))
        self._frames += len(mel)
        if self._frames > LONG_FRAMES:
            self._waiting, self.complete = [], False
        else:
            self._waiting.append(mel)

    def end_pass(self) -> None:
        """Fix the floor at the end of the first reading; what was kept is described, else the next reading is."""
        self._floor = self._loudest - spectral.TOP_DB
        self.width = N_MFCC + 1
        while self._waiting:
            self._describe(self._waiting.pop(0))

    def restart(self) -> None:
        """Forget the rows: the group gets another reading."""
        super().restart()
        self._before, self._covariance = None, Covariance(N_MFCC)

    def _describe(self, mel: np.ndarray) -> None:
        assert self._floor is not None
        cut = np.maximum(mel, np.float32(self._floor))
        mfcc = cut @ self.bank.dct
        self._covariance.add(mfcc)
        self.rows.add(np.column_stack([mfcc, rhythm.onset_strength(cut, self._before)]))
        self._before = cut[-1:]

    def result(self) -> FeatureMap:
        """Return MFCC and what follows from them."""
        frame_rate = self.bank.sample_rate / HOP_LENGTH
        strength = self.rows.column(N_MFCC)
        correlation, lag_rate = rhythm.autocorrelation(strength, frame_rate)
        slopes = (scipy.ndimage.correlate1d(row, _SLOPE, mode="nearest") for row in self.rows.columns(N_MFCC))
        return {
            "mfcc": summarize(self.rows.columns(N_MFCC)),
            "mfcc_delta": summarize(slopes),
            "mfcc_covariance": self._covariance.upper_triangle(),
            "onset_density": np.array([rhythm.onset_density(strength, frame_rate)]),
            "tempo": np.array([rhythm.tempo(correlation, lag_rate)]),
            "tempogram": rhythm.tempogram(correlation, lag_rate),
        }
