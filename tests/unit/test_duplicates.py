"""Two encodings of one recording are found; everything else, and everything doubtful, stays apart."""

import numpy as np
import pyarrow as pa
import pytest

from jobs import duplicates
from jobs.tables import PAIRS

RANDOM = np.random.default_rng(8)


def frames(count):
    return RANDOM.integers(0, 2**32, count, dtype=np.uint32)


def flipped(fingerprint, share):
    bits = RANDOM.random((len(fingerprint), 32)) < share
    return fingerprint ^ (bits * 2 ** np.arange(32)).sum(axis=1).astype(np.uint32)


def test_the_share_of_bits_that_differ():
    one = frames(200)
    assert duplicates.bit_errors(one, one) == 0
    assert duplicates.bit_errors(one, ~one) > 0.4
    assert duplicates.bit_errors(one, frames(200)) > 0.4
    assert duplicates.bit_errors(one, flipped(one, 0.1)) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("cut", [1, 10, 20])
def test_one_may_begin_later(cut):
    one = frames(300)
    assert duplicates.bit_errors(one, one[cut:]) == duplicates.bit_errors(one[cut:], one) == 0
    assert duplicates.bit_errors(one[:-cut], one[cut:]) == 0


def test_a_part_is_not_the_whole():
    one = frames(300)
    assert duplicates.bit_errors(one, np.concatenate([one[:150], frames(150)])) > duplicates.MOST_BIT_ERRORS


def test_what_is_too_short_or_plain_has_no_share():
    assert duplicates.bit_errors(frames(27), frames(300)) is None
    assert duplicates.bit_errors(np.full(300, 7, np.uint32), np.full(300, 7, np.uint32)) is None


def test_candidates_sound_and_last_alike():
    features = RANDOM.normal(size=(50, 32))
    features[1] = features[0] + 0.05
    features[3] = features[2]
    durations = np.full(50, 100.0)
    durations[3] = 103.0
    assert duplicates.candidates(features, durations) == [(0, 1)]
    assert duplicates.candidates(features[:1], durations[:1]) == []


def test_groups_join_what_is_linked():
    rows = [("a", "b", 1), ("b", "c", 1), ("d", "e", 0), ("x", "y", 1)]
    pairs = [{"content_hash": a, "other_hash": b, "same": same} for a, b, same in rows]
    table = pa.Table.from_pylist(pairs, schema=PAIRS.arrow_schema())
    assert duplicates.groups(table) == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}
    assert duplicates.groups(table.slice(0, 0)) == {}


def test_two_bit_rates_of_one_sound(sound):
    """Noise of other seeds is other music; the same at 192 and 48 kbit/s, mp3 and ogg, is not."""
    good, poor = sound("good.ogg", seconds=15.0), sound("poor.mp3", "-b:a", "48k", seconds=15.0)
    row = {"audio_path": str(good), "other_path": str(poor)}
    judged = duplicates.judge(row)
    assert judged["same"] == 1 and judged["bit_errors"] < duplicates.MOST_BIT_ERRORS
    assert duplicates.judge({**row, "other_path": "/nowhere.mp3"})["same"] == 0
