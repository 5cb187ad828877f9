"""The embedding of a recording does not depend on how it is read, and hardly on its sample rate."""

import numpy as np
import pytest
import soxr

from jobs.musicnn import clip, weights
from jobs.musicnn.clip import ClipAccumulator, ClipResult
from jobs.musicnn.network import Network

RATE = 22_050


@pytest.fixture(scope="module")
def network() -> Network:
    found = weights.load()
    assert found is not None, "set-up installs the weights: python -m jobs.runtime.install"
    return found


def melody(duration_s: float, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(duration_s * rate)) / rate
    notes = 220 * 2 ** (np.floor(time * 3) % 7 / 6)
    tone = np.sin(2 * np.pi * np.cumsum(notes) / rate) * np.exp(-3 * (time * 3 % 1))
    return (0.3 * tone + 0.01 * np.random.default_rng(1).standard_normal(time.size)).astype(np.float32)


def embed(network: Network, signal: np.ndarray, rate: int = RATE, size: int = 10**9) -> ClipResult:
    accumulator = ClipAccumulator(rate)
    for start in range(0, len(signal), size):
        accumulator.add(signal[start : start + size])
    return accumulator.result(network)


@pytest.mark.parametrize("size", [997, 22_050, 65_536])
def test_block_size_does_not_change_the_result(network: Network, size: int) -> None:
    signal = melody(20)
    whole, pieces = embed(network, signal), embed(network, signal, size=size)
    np.testing.assert_array_equal(pieces.embedding, whole.embedding)
    np.testing.assert_array_equal(pieces.tags, whole.tags)
    assert whole.embedding.shape == (200,) and whole.tags.shape == (50,)
    assert (whole.tags > 0).all() and (whole.tags < 1).all()


def test_sample_rate_hardly_changes_the_embedding(network: Network) -> None:
    signal = melody(10)
    here = embed(network, signal).embedding
    there = embed(network, soxr.resample(signal, RATE, 44_100), 44_100).embedding
    assert here @ there > 0.98 * np.linalg.norm(here) * np.linalg.norm(there)


def test_short_signal_is_repeated(network: Network) -> None:
    second = melody(1)
    once, thrice = embed(network, second), embed(network, np.tile(second, 4)[: int(3.008 * RATE)])
    similarity = once.embedding @ thrice.embedding
    assert similarity > 0.95 * np.linalg.norm(once.embedding) * np.linalg.norm(thrice.embedding)


def test_long_recording_holds_few_candidates() -> None:
    accumulator = ClipAccumulator(1_000)
    for _ in range(3_600):
        accumulator.add(np.ones(1_000, np.float32))
        assert len(accumulator._candidates) <= clip.MAX_CANDIDATES
    assert len(accumulator._patches()) == clip.N_PATCHES


def test_no_samples_are_refused(network: Network) -> None:
    with pytest.raises(ValueError, match="expected sound, found no samples"):
        ClipAccumulator(RATE).result(network)
