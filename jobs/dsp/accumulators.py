"""Feature accumulators: how groups of features collect frames from a signal that is read segment by segment.

An accumulator stores float32 rows, `width` values per frame. The rows of several groups over hours of audio
would not fit into memory at once: a group may therefore be restarted, which drops its rows and gives it
another pass over the signal. Some groups need a value of the whole clip first (a maximum, the tuning) and use
a second pass or delay their frames: see `timbre` and `harmony`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jobs.dsp import spectral

# By feature: statistics (7, coefficients); by descriptor: values (n,).
FeatureMap = dict[str, np.ndarray]


@dataclass(frozen=True)
class Segment:
    """Consecutive frames and their statistics; the next segment overwrites the arrays.

    Attributes:
        magnitude: M, (frames, bins).
        power: M^2, (frames, bins).
        frame_stats: (frames, 4), see `kernels.frame_statistics`.
        crossings: one flag per sample of the frames, True where the sign changes.
    """

    magnitude: np.ndarray
    power: np.ndarray
    frame_stats: np.ndarray
    crossings: np.ndarray


# All groups allocate blocks of one size, so that one group can reuse what another has freed.
_BLOCK_BYTES = 2**20


class FrameBuffer:
    """Rows (frames, n) that arrive in pieces and are read by column, so that memory holds them only once."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []
        # The rows of the newest block that are still empty.
        self._free_rows = np.empty((0, 0))

    def add(self, piece: np.ndarray) -> None:
        """Append a copy of the next frames, (frames, n)."""
        start = 0
        while start < len(piece):
            if not len(self._free_rows):
                self._free_rows = _new_block(piece)
            count = min(len(self._free_rows), len(piece) - start)
            self._free_rows[:count] = piece[start : start + count]
            self._pieces.append(self._free_rows[:count])
            self._free_rows = self._free_rows[count:]
            start += count

    def column(self, number: int) -> np.ndarray:
        """Return one column, (frames,)."""
        return np.concatenate([piece[:, number] for piece in self._pieces])

    def columns(self, count: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield `count` columns from `start`, (frames,) each."""
        return (self.column(number) for number in range(start, start + count))

    def blocks(self, count: int) -> Iterator[np.ndarray]:
        """Yield all rows in order, `count` at a time, (count, n); the last block may be shorter."""
        pending: list[np.ndarray] = []
        n_pending = 0
        for piece in self._pieces:
            rest = piece
            while n_pending + len(rest) >= count:
                taken = count - n_pending
                yield np.concatenate([*pending, rest[:taken]])
                pending, n_pending, rest = [], 0, rest[taken:]
            if len(rest):
                pending.append(rest)
                n_pending += len(rest)
        if pending:
            yield np.concatenate(pending)

    def all(self) -> np.ndarray:
        """Return all rows, (frames, n)."""
        return np.concatenate(self._pieces)


def _new_block(piece: np.ndarray) -> np.ndarray:
    """Return empty rows of the piece's width and type that fill one block."""
    row_bytes = piece[0].nbytes
    n_rows = _BLOCK_BYTES // row_bytes
    block = np.empty(_BLOCK_BYTES, np.uint8)[: n_rows * row_bytes]
    return block.view(piece.dtype).reshape(n_rows, piece.shape[1])


class FeatureAccumulator:
    """A group of features that are computed from the same frames."""

    width = 0

    def __init__(self, bank: spectral.FilterBank) -> None:
        self.bank = bank
        self.rows = FrameBuffer()
        # Whether the present pass gives the group all that it needs.
        self.complete = True

    def add_samples(self, samples: np.ndarray, *, last: bool) -> None:
        """Process the next samples, which precede the segments made from them; `last` ends the pass."""

    def add_frames(self, segment: Segment) -> None:
        """Process the next segment."""
        raise NotImplementedError

    def end_pass(self) -> None:
        """Finish one pass over the signal."""

    def restart(self) -> None:
        """Drop the rows and request another pass."""
        self.rows = FrameBuffer()
        self.complete = False

    def result(self) -> FeatureMap:
        """Return the features; valid after a complete pass."""
        raise NotImplementedError
