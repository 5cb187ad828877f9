"""What the spectrum says of pitch: chroma, tonnetz and key, at the clip's tuning.

librosa estimates the tuning from M^2 for one chroma and from M for the other ones. Both are estimated once, on the whole
clip up to TUNING_FRAMES, else on the first TUNING_FRAMES; the frames wait for it.
"""

import librosa.filters as librosa_filters
import numpy as np

from jobs.dsp import kernels, spectral, tonality
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, FrameBuffer, Segment
from jobs.dsp.constant_q import ConstantQ
from jobs.dsp.spectral import N_CHROMA
from jobs.dsp.summary_statistics import summarize

# 2 minutes at 44.1 kHz; in frames, because what it bounds is memory (about 40 MB).
TUNING_FRAMES = 10_336

# librosa.feature.chroma_cens smooths over 41 frames: a Hann window without its two zeros.
_CENS_WINDOW = librosa_filters.get_window("hann", 43, fftbins=False)
_CENS_WINDOW /= _CENS_WINDOW.sum()
_CENS_FRAMES = 8_192


class StftChroma(FeatureAccumulator):
    """Chroma of the short-time Fourier transform."""

    width = N_CHROMA

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        self._tuning = spectral.TuningEstimator(bank)
        self._frames = 0
        self._waiting: list[np.ndarray] = []
        self._filters: np.ndarray | None = None

    def add_frames(self, segment: Segment) -> None:
        """Take the next segment."""
        if self._filters is not None:
            self.rows.add(spectral.chroma(segment.power, self._filters))
            return
        self._tuning.add(segment.power)
        self._waiting.append(segment.power.copy())
        self._frames += len(segment.power)
        if self._frames >= TUNING_FRAMES:
            self._flush_pending()

    def restart(self) -> None:
        """Forget the rows, not the tuning: the group gets another reading."""
        super().restart()
        self._tuning, self._waiting, self._frames = spectral.TuningEstimator(self.bank), [], 0

    def _flush_pending(self) -> None:
        self._filters = spectral.chroma_filters(self.bank.sample_rate, self._tuning.estimate())
        while self._waiting:
            self.rows.add(spectral.chroma(self._waiting.pop(0), self._filters))

    def result(self) -> FeatureMap:
        """Return the chroma."""
        if self._filters is None:
            self._flush_pending()
        return {"chroma_stft": summarize(self.rows.columns(N_CHROMA))}


class ConstantQHarmony(FeatureAccumulator):
    """What is made of the constant-Q transform: two chromas, tonnetz (of chroma_cens, as in FMA's script) and key."""

    # A chroma, and for chroma_cens a quantised one in bytes.
    width = N_CHROMA + N_CHROMA // 4

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        self._tuning = spectral.TuningEstimator(bank)
        self._settled: float | None = None
        self._frames = 0
        self._waiting: list[tuple[np.ndarray, bool]] = []
        self._transform: ConstantQ | None = None
        self._sum = np.zeros(N_CHROMA)
        self._quantised = FrameBuffer()

    def add_samples(self, samples: np.ndarray, *, last: bool) -> None:
        """Take the next samples."""
        if self._transform is not None:
            self._keep(self._transform(samples, last=last))
        else:
            self._waiting.append((samples, last))
            if self._settled is not None:
                self._flush_pending()

    def add_frames(self, segment: Segment) -> None:
        """Take the next segment, for the tuning alone."""
        if self._settled is None:
            self._tuning.add(segment.magnitude)
            self._frames += len(segment.magnitude)
            if self._frames >= TUNING_FRAMES:
                self._flush_pending()

    def _flush_pending(self) -> None:
        if self._settled is None:
            self._settled = self._tuning.estimate()
        self._transform = ConstantQ(self.bank.sample_rate, self._settled)
        for samples, last in self._waiting:
            self._keep(self._transform(samples, last=last))
        self._waiting = []

    def _keep(self, chroma: np.ndarray) -> None:
        self._sum += chroma.sum(axis=0)
        self.rows.add(kernels.normalised(chroma, True))
        self._quantised.add(kernels.cens_quantize(chroma))

    def restart(self) -> None:
        """Forget the rows, not the tuning: the group gets another reading."""
        super().restart()
        self._tuning, self._frames = spectral.TuningEstimator(self.bank), 0
        self._transform, self._waiting = None, []
        self._sum, self._quantised = np.zeros(N_CHROMA), FrameBuffer()

    def flush_pending(self) -> None:
        """Turn what still waits for the tuning into rows."""
        if self._transform is None:
            self._flush_pending()

    def result(self) -> FeatureMap:
        """Return the chromas, tonnetz and key."""
        self.flush_pending()
        found = {"chroma_cqt": summarize(self.rows.columns(N_CHROMA))}
        index, strength = tonality.estimate_key(self._sum)  # what is loud counts
        self.rows = FrameBuffer()  # hours of two chromas are never there at once
        cens, centroids = self._cens()
        found["chroma_cens"] = summarize(cens.columns(N_CHROMA))
        found["tonnetz"] = summarize(centroids.columns(6))
        return {**found, "key": np.array([index]), "key_strength": np.array([strength])}

    def _cens(self) -> tuple[FrameBuffer, FrameBuffer]:
        """Return chroma_cens and its tonnetz, made in blocks that overlap by half the smoothing window."""
        quantised, half = self._quantised.all(), len(_CENS_WINDOW) // 2
        cens, centroids = FrameBuffer(), FrameBuffer()
        for start in range(0, len(quantised), _CENS_FRAMES):
            before = min(half, start)
            around = quantised[start - before : start + _CENS_FRAMES + half]
            block = kernels.cens_smooth(around, _CENS_WINDOW)[before : before + _CENS_FRAMES]
            cens.add(block)
            centroids.add(tonality.tonnetz(block))
        return cens, centroids
