"""Features of pitch: chroma, tonnetz and key, at the clip's tuning.

librosa estimates the tuning from M^2 for chroma_stft and from M for the constant-Q chromas. Both are
estimated once, from the whole clip up to TUNING_FRAMES, else from the first TUNING_FRAMES; until then the
frames are stored.
"""

import librosa.filters as librosa_filters
import numpy as np

from jobs.dsp import kernels, spectral, tonality
from jobs.dsp.accumulators import FeatureAccumulator, FeatureMap, FrameBuffer, Segment
from jobs.dsp.constant_q import ConstantQ
from jobs.dsp.spectral import N_CHROMA
from jobs.dsp.summary_statistics import summarize

# 2 minutes at 44.1 kHz; in frames, because the limit is one of memory (about 40 MB).
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
        self._tuning_estimator = spectral.TuningEstimator(bank)
        self._n_frames = 0
        self._pending: list[np.ndarray] = []
        # The chroma filters at the clip's tuning, once it is known.
        self._filters: np.ndarray | None = None

    def add_frames(self, segment: Segment) -> None:
        """Process the next segment."""
        if self._filters is not None:
            self.rows.add(spectral.chroma(segment.power, self._filters))
            return
        self._tuning_estimator.add(segment.power)
        self._pending.append(segment.power.copy())
        self._n_frames += len(segment.power)
        if self._n_frames >= TUNING_FRAMES:
            self._flush_pending()

    def restart(self) -> None:
        """Drop the rows, but not the tuning, and request another pass."""
        super().restart()
        self._tuning_estimator = spectral.TuningEstimator(self.bank)
        self._pending = []
        self._n_frames = 0

    def _flush_pending(self) -> None:
        """Estimate the tuning and compute the chroma of the stored frames."""
        self._filters = spectral.chroma_filters(self.bank.sample_rate, self._tuning_estimator.estimate())
        while self._pending:
            self.rows.add(spectral.chroma(self._pending.pop(0), self._filters))

    def result(self) -> FeatureMap:
        """Return the chroma."""
        if self._filters is None:
            self._flush_pending()
        return {"chroma_stft": summarize(self.rows.columns(N_CHROMA))}


class ConstantQHarmony(FeatureAccumulator):
    """Features of the constant-Q transform: two chromas, tonnetz and key.

    Tonnetz is computed from chroma_cens, as in FMA's script.
    """

    # A chroma, and for chroma_cens a quantized one in bytes.
    width = N_CHROMA + N_CHROMA // 4

    def __init__(self, bank: spectral.FilterBank) -> None:
        super().__init__(bank)
        self._tuning_estimator = spectral.TuningEstimator(bank)
        self._tuning: float | None = None
        self._n_frames = 0
        self._pending: list[tuple[np.ndarray, bool]] = []
        self._transform: ConstantQ | None = None
        self._sum = np.zeros(N_CHROMA)
        self._quantized = FrameBuffer()

    def add_samples(self, samples: np.ndarray, *, last: bool) -> None:
        """Process the next samples."""
        if self._transform is not None:
            self._add_chroma(self._transform(samples, last=last))
        else:
            self._pending.append((samples, last))
            if self._tuning is not None:
                self._transform_pending()

    def add_frames(self, segment: Segment) -> None:
        """Process the next segment, for the tuning only."""
        if self._tuning is None:
            self._tuning_estimator.add(segment.magnitude)
            self._n_frames += len(segment.magnitude)
            if self._n_frames >= TUNING_FRAMES:
                self._transform_pending()

    def _transform_pending(self) -> None:
        """Create the transform at the clip's tuning and process the stored samples."""
        if self._tuning is None:
            self._tuning = self._tuning_estimator.estimate()
        self._transform = ConstantQ(self.bank.sample_rate, self._tuning)
        for samples, last in self._pending:
            self._add_chroma(self._transform(samples, last=last))
        self._pending = []

    def _add_chroma(self, chroma: np.ndarray) -> None:
        self._sum += chroma.sum(axis=0)
        self.rows.add(kernels.normalize_max(chroma))
        self._quantized.add(kernels.cens_quantize(chroma))

    def restart(self) -> None:
        """Drop the rows, but not the tuning, and request another pass."""
        super().restart()
        self._tuning_estimator = spectral.TuningEstimator(self.bank)
        self._n_frames = 0
        self._transform = None
        self._pending = []
        self._sum = np.zeros(N_CHROMA)
        self._quantized = FrameBuffer()

    def flush_pending(self) -> None:
        """Process the samples that still wait for the tuning."""
        if self._transform is None:
            self._transform_pending()

    def result(self) -> FeatureMap:
        """Return the chromas, tonnetz and key."""
        self.flush_pending()
        chroma_cqt = summarize(self.rows.columns(N_CHROMA))
        key, strength = tonality.estimate_key(self._sum)  # of the plain sum: loud passages count more
        self.rows = FrameBuffer()  # free the first chroma of hours of audio before the second one is computed
        cens, centroids = self._cens()
        return {
            "chroma_cqt": chroma_cqt,
            "chroma_cens": summarize(cens.columns(N_CHROMA)),
            "tonnetz": summarize(centroids.columns(6)),
            "key": np.array([key]),
            "key_strength": np.array([strength]),
        }

    def _cens(self) -> tuple[FrameBuffer, FrameBuffer]:
        """Return chroma_cens and its tonnetz, in blocks that overlap by half the smoothing window."""
        quantized = self._quantized.all()
        half = len(_CENS_WINDOW) // 2
        cens = FrameBuffer()
        centroids = FrameBuffer()
        for start in range(0, len(quantized), _CENS_FRAMES):
            before = min(half, start)
            overlapping = quantized[start - before : start + _CENS_FRAMES + half]
            block = kernels.cens_smooth(overlapping, _CENS_WINDOW)[before : before + _CENS_FRAMES]
            cens.add(block)
            centroids.add(tonality.tonnetz(block))
        return cens, centroids
