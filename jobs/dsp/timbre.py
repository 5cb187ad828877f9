"""Features of the short-time spectrum without pitch: timbre, and the mel-based features of timbre and rhythm.

Contrast, MFCC and the features computed from them are cut 80 dB below the clip's maximum, which is known only
at the end. Contrast stores peaks and valleys until then; the mel spectrogram is stored up to LONG_FRAMES, and
a longer signal is read a second time.
"""

from collections.abc import Iterator

import numpy as np
import scipy.ndimage

from jobs.dsp import rhythm, spectral
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, Segment
from jobs.dsp.spectral import HOP_LENGTH, N_FFT, N_MFCC
from jobs.dsp.summary_statistics import Covariance, summarize

# 15 minutes at 44.1 kHz; in frames, because the limit is one of memory (about 40 MB).
LONG_FRAMES = 77_520

# librosa.feature.delta: the slope of a straight line through nine frames.
_SLOPE = np.arange(-4, 5) / 60

# Columns of Timbre's rows before the contrast peaks: those of kernels.frame_statistics.
_N_STATS = 4


class Timbre(FeatureAccumulator):
    """Features of each frame's spectrum: rms, centroid, bandwidth, roll-off, contrast, zero crossings."""

    width = _N_STATS + 2 * (spectral.CONTRAST_OCTAVES + 1) + 1

    def add_frames(self, segment: Segment) -> None:
        """Process the next segment."""
        levels = spectral.peaks_and_valleys(segment.magnitude, self.bank)
        crossing_rate = spectral.zero_crossing_rate(segment.crossings)
        self.rows.add(np.hstack([segment.frame_stats, levels, crossing_rate]))

    def result(self) -> FeatureMap:
        """Return the features, in hertz and dB."""
        bin_hz = np.float32(self.bank.sample_rate / N_FFT)
        return {
            "rmse": summarize([np.sqrt(self.rows.column(0)) / np.float32(N_FFT)]),
            "spectral_centroid": summarize([self.rows.column(1) * bin_hz]),
            "spectral_bandwidth": summarize([self.rows.column(2) * bin_hz]),
            "spectral_rolloff": summarize([self.rows.column(3) * bin_hz]),
            "spectral_contrast": summarize(self._contrast()),
            "zcr": summarize([self.rows.column(_N_STATS + 2 * len(self.bank.contrast))]),
        }

    def _contrast(self) -> Iterator[np.ndarray]:
        """Yield the contrast of each band, dB, (frames,)."""
        bands = len(self.bank.contrast)
        # Peaks and valleys are cut TOP_DB below the clip's highest peak and highest valley.
        peak_floor = self._floor(_N_STATS, bands)
        valley_floor = self._floor(_N_STATS + bands, bands)
        peaks = self.rows.columns(bands, _N_STATS)
        valleys = self.rows.columns(bands, _N_STATS + bands)
        for peak, valley in zip(peaks, valleys, strict=True):
            peak_db = np.maximum(spectral.power_to_db(peak), peak_floor)
            valley_db = np.maximum(spectral.power_to_db(valley), valley_floor)
            yield peak_db - valley_db
        for _ in range(bands, spectral.CONTRAST_OCTAVES + 1):
            yield np.zeros(1, np.float32)  # a band beyond the spectrum is empty

    def _floor(self, start: int, bands: int) -> np.float32:
        """Return TOP_DB below the maximum of `bands` columns from `start`, dB."""
        maximum = max(float(row.max()) for row in self.rows.columns(bands, start))
        maximum_db = spectral.power_to_db(np.array([maximum], np.float32))
        return np.float32(maximum_db[0] - np.float32(spectral.TOP_DB))


class Mel(FeatureAccumulator):
    """Features of the mel spectrum: MFCC, their slope and covariance, and rhythm."""

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        self._loudest_db = -np.inf
        # TOP_DB below the maximum; known after the first pass.
        self._floor_db: float | None = None
        # The mel spectrogram of the first pass, until it becomes too long.
        self._pending: list[np.ndarray] = []
        self._n_frames = 0
        self._previous_frame: np.ndarray | None = None
        self._covariance = Covariance(N_MFCC)

    def add_frames(self, segment: Segment) -> None:
        """Process the next segment."""
        mel = spectral.mel_power_db(segment.power, self.bank)
        if self._floor_db is not None:
            self._add_mel(mel, self._floor_db)
            return
        self._loudest_db = max(self._loudest_db, float(mel.max()))
        self._n_frames += len(mel)
        if self._n_frames > LONG_FRAMES:
            self._pending = []
            self.complete = False
        else:
            self._pending.append(mel)

    def end_pass(self) -> None:
        """Set the floor after the first pass and process the stored frames; else a second pass follows."""
        self._floor_db = self._loudest_db - spectral.TOP_DB
        self.width = N_MFCC + 1
        while self._pending:
            self._add_mel(self._pending.pop(0), self._floor_db)

    def restart(self) -> None:
        """Drop the rows and request another pass."""
        super().restart()
        self._previous_frame = None
        self._covariance = Covariance(N_MFCC)

    def _add_mel(self, mel: np.ndarray, floor_db: float) -> None:
        """Add the next frames of the mel spectrum, (frames, bands)."""
        cut = np.maximum(mel, np.float32(floor_db))
        mfcc = cut @ self.bank.dct
        self._covariance.add(mfcc)
        self.rows.add(np.column_stack([mfcc, rhythm.onset_strength(cut, self._previous_frame)]))
        self._previous_frame = cut[-1:]

    def result(self) -> FeatureMap:
        """Return the MFCC features and the rhythm descriptors."""
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
