"""Compute the feature vector of one audio file: decode it once, and analyze its samples.

`jobs.dsp` computes the features of the signal; `jobs.musicnn` embeds it, where its weights are installed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jobs.audio import decoding
from jobs.dsp import features
from jobs.errors import UnusableFile
from jobs.lake.feature_columns import PRETRAINED_COLUMNS
from jobs.musicnn import weights
from jobs.musicnn.clip import ClipAccumulator


class FileFeatures(NamedTuple):
    """The features of one file."""

    values: np.ndarray  # float32, in the order of FEATURE_COLUMNS; NaN where MusiCNN's weights are missing
    duration_s: float  # seconds that were decoded
    sample_rate: int  # hertz


def extract_file_features(path: str) -> FileFeatures:
    """Return the features of an audio file, its duration and its sample rate.

    Raises UnusableFile if the file does not decode, is truncated, or holds a signal without features (too
    short, silent or not finite).
    """
    decoder = decoding.open_audio(path)
    network = weights.load()
    n_samples = 0
    clip = ClipAccumulator(decoder.sample_rate)

    def counted_blocks() -> Iterator[np.ndarray]:
        nonlocal n_samples, clip
        n_samples = 0  # a long file is decoded twice
        clip = ClipAccumulator(decoder.sample_rate)
        for block in decoder.blocks():
            n_samples += len(block)
            if network is not None:
                clip.add(block)
            yield block

    try:
        signal_values = features.extract_features(counted_blocks, sample_rate=decoder.sample_rate)
    except features.SignalError as error:
        raise UnusableFile(str(error)) from error
    duration_s = n_samples / decoder.sample_rate
    decoding.check_duration(decoding.read_header(path).duration_s, duration_s)
    pretrained_values = np.full(len(PRETRAINED_COLUMNS), np.nan, np.float32)
    if network is not None:
        pretrained_values = np.concatenate(clip.result(network))
    values = np.concatenate([signal_values, pretrained_values])
    return FileFeatures(values, duration_s, decoder.sample_rate)
