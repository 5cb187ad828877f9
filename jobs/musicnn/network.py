"""MusiCNN: log-mel patches of three seconds to an embedding and 50 tags.

The network of J. Pons and X. Serra, "musicnn: pre-trained convolutional neural networks for music audio
tagging", ISMIR late-breaking demo 2019, and of J. Pons et al., "End-to-end learning for music audio tagging
at scale", ISMIR 2018: `build_musicnn` in the package musicnn's models.py. Inference only, in float32.

Conventions: a patch is (187 frames, 96 mel bands), a batch (patches, 187, 96). Every convolution is followed
by ReLU and then by a batch normalization, which in inference is a gain and an offset per channel.

- Front end, on the normalized patch: *timbral* filters span 7 frames and 38 or 67 bands and see every band
  offset; *temporal* filters span 128, 64 or 32 frames of one band. Each takes its maximum over the bands, so
  that a frame has one number per filter.
- Middle: three convolutions over 7 frames, 64 channels each; the second and the third add their input.
- Back end: maximum and mean over the frames of all channels, a dense layer of 200 (the embedding), and one of
  50 (the tags' logits).

Most filters of the front end are zero in the trained weights (weight decay; 64 of 561 are left), and
`weights` drops them. So few are left that both convolutions are fastest as one product each with a banded
matrix, which holds the filter at every offset: that has 2.5 times the multiplications, but BLAS runs it at
the speed of a large product, and nothing is copied but the 7 frames of a row.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

N_FRAMES = 187
N_MELS = 96
EMBEDDING_SIZE = 200
N_TAGS = 50

TIMBRAL = ("timbral_38", "timbral_67")
TEMPORAL = ("temporal_128", "temporal_64", "temporal_32")
MIDDLE = ("middle_1", "middle_2", "middle_3")

# Frames that a timbral filter and a convolution of the middle span.
CONTEXT = 7


class Output(NamedTuple):
    """What the network makes of a batch."""

    embedding: np.ndarray  # float32 (patches, 200), the penultimate layer
    logits: np.ndarray  # float32 (patches, 50)


class Layer(NamedTuple):
    """What follows a convolution: y -> gain * max(y + bias, 0) + offset, each (channels,)."""

    bias: np.ndarray
    gain: np.ndarray
    offset: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the layer's output, of the shape of `values` (..., channels)."""
        return np.maximum(values + self.bias, 0) * self.gain + self.offset


class Network:
    """The network with one set of weights.

    Parameters
    ----------
    arrays
        As `weights.convert` returns them, any float type.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        self._timbral = [
            _banded_over_bands(self._arrays[f"{name}/kernel"] * _sign(self._layer(name))) for name in TIMBRAL
        ]
        self._temporal = _banded_over_frames(
            [self._arrays[f"{name}/kernel"] * _sign(self._layer(name)) for name in TEMPORAL]
        )
        self._front = _joined([self._layer(name) for name in (*TIMBRAL, *TEMPORAL)])

    def __call__(self, patches: np.ndarray) -> Output:
        """Return the embedding and the logits of a batch (patches, 187, 96) of log-mel spectrograms."""
        pooled = np.stack([self._pooled(patch) for patch in np.asarray(patches, np.float32)])
        hidden = self._layer("embedding")(pooled @ self._arrays["embedding/kernel"])
        logits = hidden @ self._arrays["tags/kernel"] + self._arrays["tags/bias"]
        return Output(hidden, logits)

    def _pooled(self, patch: np.ndarray) -> np.ndarray:
        """Return the maximum, then the mean over the frames of each channel of one patch."""
        normalized = patch * self._arrays["input/gain"] + self._arrays["input/offset"]
        channels = [self._front_end(normalized)]
        for name in MIDDLE:
            layer = self._layer(name)(_windows(channels[-1]) @ self._arrays[f"{name}/kernel"])
            channels.append(layer if name == MIDDLE[0] else layer + channels[-1])
        features = np.concatenate(channels, axis=1)
        return np.concatenate([features.max(axis=0), features.mean(axis=0)])

    def _front_end(self, normalized: np.ndarray) -> np.ndarray:
        """Return the output of all filters of the front end (frames, filters)."""
        rows = _windows(normalized)
        maxima = []
        for matrix in self._timbral:
            outputs = (rows @ matrix.reshape(rows.shape[1], -1)).reshape(N_FRAMES, *matrix.shape[1:])
            maxima.append(outputs.max(axis=2))
        temporal = self._temporal.reshape(-1, N_FRAMES) @ normalized
        maxima.append(temporal.reshape(N_FRAMES, -1, N_MELS).max(axis=2))
        return self._front(np.concatenate(maxima, axis=1) * _sign(self._front))

    def _layer(self, name: str) -> Layer:
        return Layer(*(self._arrays[f"{name}/{part}"] for part in Layer._fields))


def _sign(layer: Layer) -> np.ndarray:
    """Return -1 for a channel whose gain is negative, else 1.

    The maximum over the bands is taken before bias, ReLU and gain, which is the same where the gain is
    positive. Where it is negative the maximum belongs to the convolution's minimum: such a filter is negated
    and so is its maximum.
    """
    return np.where(layer.gain < 0, np.float32(-1), np.float32(1))


def _joined(layers: list[Layer]) -> Layer:
    return Layer(*(np.concatenate(parts) for parts in zip(*layers, strict=True)))


def _windows(rows: np.ndarray) -> np.ndarray:
    """Return the CONTEXT rows around each row, zeros beyond the ends: (rows, CONTEXT * columns)."""
    padded = np.pad(rows, ((CONTEXT // 2, CONTEXT // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded.ravel(), CONTEXT * rows.shape[1])
    return np.ascontiguousarray(windows[:: rows.shape[1]])


def _banded_over_bands(kernel: np.ndarray) -> np.ndarray:
    """Return the matrix of timbral filters: (CONTEXT * 96, filters, 97 - bands) from (7, bands, filters).

    Column (filter, offset) holds the filter at that offset of bands, zero elsewhere.
    """
    context, n_bands, n_filters = kernel.shape
    matrix = np.zeros((context, N_MELS, n_filters, N_MELS - n_bands + 1), np.float32)
    for offset in range(matrix.shape[3]):
        matrix[:, offset : offset + n_bands, :, offset] = kernel
    return matrix.reshape(context * N_MELS, n_filters, -1)


def _banded_over_frames(kernels: list[np.ndarray]) -> np.ndarray:
    """Return the matrix of temporal filters: (187, filters, 187) from (frames, filters) each.

    Row (t, filter) holds the filter around frame t, cut at the ends of the patch: TensorFlow's padding
    "same", which for an even length has one zero more at the end.
    """
    matrices = []
    for kernel in kernels:
        length, n_filters = kernel.shape
        matrix = np.zeros((N_FRAMES, n_filters, N_FRAMES), np.float32)
        for frame in range(N_FRAMES):
            start = frame - (length - 1) // 2
            first, end = max(start, 0), min(start + length, N_FRAMES)
            matrix[frame, :, first:end] = kernel[first - start : end - start].T
        matrices.append(matrix)
    return np.concatenate(matrices, axis=1)
