"""Embed a recording from blocks of samples: a few patches of three seconds, spread evenly over it.

    network = weights.load()  # None on a machine without the weights
    clip = ClipAccumulator(sample_rate)
    for block in blocks:
        clip.add(block)
    embedding, tags = clip.result(network)

Memory and work do not depend on the duration. While blocks are read, the samples of at most MAX_CANDIDATES
patches are stored, at equal distances; when there are more, every second one is dropped and the distance
doubles. At the end N_PATCHES of them are resampled to 16 kHz and given to the network.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
import soxr

from jobs.musicnn.log_mel import PATCH_SAMPLES, SAMPLE_RATE, log_mel
from jobs.musicnn.network import Network

N_PATCHES = 3
# 9 MB at 44.1 kHz.
MAX_CANDIDATES = 16

PATCH_S = PATCH_SAMPLES / SAMPLE_RATE
# Between the starts of two candidates, at first.
_SPACING_S = PATCH_S / 2


class ClipResult(NamedTuple):
    """What MusiCNN makes of a recording."""

    embedding: np.ndarray  # float32 (200,), the penultimate layer, mean over the patches
    tags: np.ndarray  # float32 (50,), the probability of each of `tags.TAGS`, mean over the patches


class ClipAccumulator:
    """Collects patches in one pass over a signal.

    Parameters
    ----------
    sample_rate
        Of the signal, Hz. A signal that was resampled to 22,050 Hz for other features serves as well: the
        network's input has nothing above 8,000 Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._candidates: list[_Candidate] = []
        self._spacing = 1  # in units of _SPACING_S
        self._n_samples = 0

    def add(self, block: np.ndarray) -> None:
        """Add the next samples, mono float32 (n,) of any n."""
        end = self._n_samples + len(block)
        while self._next_start() < end:
            if len(self._candidates) == MAX_CANDIDATES:
                self._candidates = self._candidates[::2]
                self._spacing *= 2
            else:
                size = round(PATCH_S * self._sample_rate)
                self._candidates.append(_Candidate(self._next_start(), size))
        for candidate in self._candidates:
            candidate.copy_from(block, self._n_samples)
        self._n_samples = end

    def result(self, network: Network) -> ClipResult:
        """Return the embedding and the tags; a signal shorter than a patch is repeated.

        Raises
        ------
        ValueError
            No samples were added.
        """
        output = network(np.stack([log_mel(patch) for patch in self._patches()]))
        tags = scipy.special.expit(output.logits).mean(axis=0)
        return ClipResult(output.embedding.mean(axis=0), tags)

    def _next_start(self) -> int:
        """Return the sample at which the next candidate starts: the same second at any sample rate."""
        return round(len(self._candidates) * self._spacing * _SPACING_S * self._sample_rate)

    def _patches(self) -> list[np.ndarray]:
        """Return the samples of the chosen patches, (PATCH_SAMPLES,) each, at 16 kHz."""
        if not self._n_samples:
            raise ValueError("expected sound, found no samples")
        complete = [candidate for candidate in self._candidates if candidate.is_complete()]
        complete = complete or self._candidates[:1]
        count = min(N_PATCHES, len(complete))
        middles = (2 * np.arange(count) + 1) * len(complete) // (2 * count)
        return [self._resampled(complete[index].samples()) for index in middles]

    def _resampled(self, samples: np.ndarray) -> np.ndarray:
        resampled = soxr.resample(samples, self._sample_rate, SAMPLE_RATE)
        return np.resize(resampled, PATCH_SAMPLES)


class _Candidate:
    """The samples of one patch, as far as they have been read."""

    def __init__(self, start: int, size: int) -> None:
        self._start = start
        self._size = size
        self._parts: list[np.ndarray] = []
        self._filled = 0

    def copy_from(self, block: np.ndarray, block_start: int) -> None:
        """Copy the part of the block that continues this patch."""
        if self.is_complete():
            return
        first = self._start + self._filled - block_start
        part = np.array(block[first : first + self._size - self._filled], np.float32)
        self._parts.append(part)
        self._filled += len(part)

    def is_complete(self) -> bool:
        return self._filled == self._size

    def samples(self) -> np.ndarray:
        return np.concatenate(self._parts)
