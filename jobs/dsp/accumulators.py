"""How groups of features gather rows from a signal that is read segment by segment.

A group keeps float32 rows, `width` values a frame. It may be told to give up (the rows of hours of sound would not fit
into memory together); then it gets another reading. Some need a figure of the whole clip before they can say anything:
see `timbre` and `harmony`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jobs.dsp import spectral

# (7, numbers) of a feature over the frames, (numbers,) of a descriptor.
FeatureMap = dict[str, np.ndarray]


@dataclass(frozen=True)
class Segment:
    """Some frames, and what `loops.measure` says of them; the next segment overwrites it."""

    magnitude: np.ndarray
    power: np.ndarray
    frame_stats: np.ndarray
    # One flag per sample that belongs to the frames.
    crossings: np.ndarray


# All groups take memory in blocks of one size: what one gives back, another one can use.
_BLOCK_BYTES = 2**20


class FrameBuffer:
    """Rows (frames, n) that come in pieces and are read column by column, never twice in memory."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []
        self._room = np.empty((0, 0))

    def add(self, piece: np.ndarray) -> None:
        """Keep a copy of the next frames."""
        start = 0
        while start < len(piece):
            if not len(self._room):
                count = _BLOCK_BYTES // piece[0].nbytes
                block = np.empty(_BLOCK_BYTES, np.uint8)[: count * piece[0].nbytes]
                self._room = block.view(piece.dtype).reshape(count, piece.shape[1])
            count = min(len(self._room), len(piece) - start)
            self._room[:count] = piece[start : start + count]
            self._pieces.append(self._room[:count])
            self._room, start = self._room[count:], start + count

    def column(self, number: int) -> np.ndarray:
        """Return one column, (frames,)."""
        return np.concatenate([piece[:, number] for piece in self._pieces])

    def columns(self, count: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield `count` columns from `start`."""
        return (self.column(number) for number in range(start, start + count))

    def all(self) -> np.ndarray:
        """Return all rows, (frames, n)."""
        return np.concatenate(self._pieces)


class FeatureAccumulator:
    """Features that are gathered together."""

    width = 0

    def __init__(self, bank: spectral.FilterBank) -> None:
        self.bank = bank
        self.rows = FrameBuffer()
        # Whether the reading it has just heard was enough.
        self.complete = True

    def add_samples(self, samples: np.ndarray, *, last: bool) -> None:
        """Take the next samples, of which the next segments are made."""

    def add_frames(self, segment: Segment) -> None:
        """Take the next segment."""
        raise NotImplementedError

    def end_pass(self) -> None:
        """Hear that the reading is over."""

    def restart(self) -> None:
        """Forget the rows: the group gets another reading."""
        self.rows, self.complete = FrameBuffer(), False

    def result(self) -> FeatureMap:
        """Return the features, once the signal has been heard to its end."""
        raise NotImplementedError
