"""Compute the feature vector of one audio file: decode it, and analyze its samples with `jobs.dsp`."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jobs.audio import decoding
from jobs.dsp import features
from jobs.errors import UnusableFile


class FileFeatures(NamedTuple):
    """The features of one file."""

    values: np.ndarray  # float32, in the order of FEATURE_COLUMNS
    duration_s: float  # seconds that were decoded
    sample_rate: int  # hertz


def extract_file_features(path: str) -> FileFeatures:
    """Return the features of an audio file, its duration and its sample rate.

    Raises UnusableFile if the file does not decode, is truncated, or holds a signal without features (too
    short, silent or not finite).
    """
    decoder = decoding.open_audio(path)
    n_samples = 0

    def counted_blocks() -> Iterator[np.ndarray]:
        nonlocal n_samples
        n_samples = 0  # a long file is decoded twice
        for block in decoder.blocks():
            n_samples += len(block)
            yield block

    try:
        values = features.extract_features(counted_blocks, sample_rate=decoder.sample_rate)
    except features.SignalError as error:
        raise UnusableFile(str(error)) from error
    duration_s = n_samples / decoder.sample_rate
    decoding.check_duration(decoding.read_header(path).duration_s, duration_s)
    return FileFeatures(values, duration_s, decoder.sample_rate)
