"""Two encodings of one recording are found; everything else, and everything doubtful, stays apart."""

import itertools
import subprocess

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from jobs.audio import decoding
from jobs.audio.fingerprint import fingerprint
from jobs.lake.schemas import DUPLICATE_PAIRS
from jobs.library import duplicates

RANDOM = np.random.default_rng(8)


def frames(count):
    return RANDOM.integers(0, 2**32, count, dtype=np.uint32)


def flipped(fingerprint, share):
    bits = RANDOM.random((len(fingerprint), 32)) < share
    return fingerprint ^ (bits * 2 ** np.arange(32)).sum(axis=1).astype(np.uint32)


def test_bit_errors():
    one = frames(200)
    assert duplicates.bit_errors(one, one) == 0
    assert duplicates.bit_errors(one, ~one) > 0.4
    assert duplicates.bit_errors(one, frames(200)) > 0.4
    assert duplicates.bit_errors(one, flipped(one, 0.1)) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("cut", [1, 10, 20])
def test_bit_errors_allow_shift(cut):
    one = frames(300)
    assert duplicates.bit_errors(one, one[cut:]) == duplicates.bit_errors(one[cut:], one) == 0
    assert duplicates.bit_errors(one[:-cut], one[cut:]) == 0


def test_half_equal_tracks_differ():
    one = frames(300)
    assert (
        duplicates.bit_errors(one, np.concatenate([one[:150], frames(150)])) > duplicates.MAX_BIT_ERROR_RATE
    )


def test_short_or_plain_fingerprint_has_no_rate():
    assert duplicates.bit_errors(frames(19), frames(300)) is None
    assert duplicates.bit_errors(np.full(300, 7, np.uint32), np.full(300, 7, np.uint32)) is None


def test_candidates_share_frames_and_duration():
    plain = [frames(200) for _ in range(30)]
    plain[1] = np.where(np.arange(200) % 20, plain[1], plain[0])  # ten frames are the same
    plain[3] = plain[2]
    plain[5] = np.where(np.arange(200) % 80, plain[5], plain[4])  # three are
    durations = np.full(30, 100.0)
    durations[3] = 103.0
    assert duplicates.candidate_pairs(plain, durations) == [(0, 1)]
    assert duplicates.candidate_pairs([], np.empty(0)) == []
    assert duplicates.candidate_pairs([frames(0), frames(0)], np.zeros(2)) == []


def test_candidates_equal_brute_force():
    some = [(RANDOM.zipf(1.3, RANDOM.integers(0, 120)) % 5000).astype(np.uint32) for _ in range(90)]
    durations = RANDOM.choice([30.0, 31.0, 33.0, 200.0, 201.9, 205.0], 90)
    expected = []
    for i, j in itertools.combinations(range(90), 2):
        one, other = (set(each.tolist()) for each in (some[i], some[j]))
        near = abs(durations[i] - durations[j]) <= max(2.0, 0.01 * max(durations[i], durations[j]))
        if near and len(one & other) >= max(4, 0.02 * min(len(one), len(other))):
            expected.append((i, j))
    assert len(expected) > 100 and duplicates.candidate_pairs(some, durations) == expected


def test_common_silence_makes_no_candidates():
    """Silence at the beginning of many tracks says nothing about them."""
    silence = frames(30)
    some = [np.concatenate([silence, frames(100)]) for _ in range(120)]
    assert duplicates.candidate_pairs(some, np.full(120, 60.0)) == []


def test_compare_pairs_finds_same_recording():
    one, other = frames(200), frames(200)
    half = np.concatenate([one[:100], other[100:]])
    rows = duplicates.compare_pairs(["c", "b", "a"], [one, flipped(one, 0.05), half], np.full(3, 25.0))
    assert [(row["content_hash"], row["other_hash"], row["is_same"]) for row in rows if row["is_same"]] == [
        ("b", "c", True)
    ]
    assert {(row["content_hash"], row["other_hash"]) for row in rows} >= {
        ("a", "c"),
        ("b", "c"),
    }  # half of it is not it


def test_recording_groups_are_connected_components():
    rows = [("a", "b", True), ("b", "c", True), ("d", "e", False), ("x", "y", True)]
    pairs = [{"content_hash": a, "other_hash": b, "is_same": same} for a, b, same in rows]
    table = pa.Table.from_pylist(pairs, schema=DUPLICATE_PAIRS.arrow_schema())
    assert duplicates.recording_groups(table) == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}
    assert duplicates.recording_groups(table.slice(0, 0)) == {}


def test_two_encodings_of_noise_match(sound):
    """Pink noise: the hardest there is."""
    paths = sound("good.ogg", seconds=15.0), sound("poor.mp3", "-b:a", "48k", seconds=15.0)
    good, poor = (fingerprint(str(path)) for path in paths)
    assert len(good) > 90 and duplicates.bit_errors(good, poor) <= duplicates.MAX_BIT_ERROR_RATE


@pytest.mark.slow
def test_pairs_of_real_recordings(recordings):
    """Each of librosa's recordings is there at two sampling and bit rates; nothing else may be a pair."""
    paths = sorted((recordings / "music" / "librosa-data").glob("*.ogg")) + sorted(
        recordings.glob("fma_small/*/*.mp3")
    )
    prints = [fingerprint(str(path)) for path in paths]
    durations = np.array([decoding.read_header(str(path)).duration_s for path in paths])
    names = [str(path) for path in paths]
    found = {
        (a["content_hash"], a["other_hash"])
        for a in duplicates.compare_pairs(names, prints, durations)
        if a["is_same"]
    }
    twice = {(name, name.replace(".hq.ogg", ".ogg")) for name in names if ".hq." in name}
    assert found == {pair for pair in twice if "bird-whistling" not in pair[0]}  # a second of bird
    assert len(found) == 13


def signal_prints(tmp_path, signals):
    """Return the fingerprints of signals (44.1 kHz), and of the first one once more as MP3 of 48 kbit/s."""
    prints = []
    for number, signal in enumerate(signals):
        soundfile.write(tmp_path / f"{number}.wav", signal.astype(np.float32), 44_100)
        prints.append(fingerprint(str(tmp_path / f"{number}.wav")))
    command = [decoding.ffmpeg_path(), "-v", "error", "-i", str(tmp_path / "0.wav"), "-b:a", "48k"]
    subprocess.run([*command, str(tmp_path / "0.mp3")], check=True)
    return [*prints, fingerprint(str(tmp_path / "0.mp3"))]


def white_noise(seed):
    return 0.3 * np.random.default_rng(seed).standard_normal(20 * 44_100)


def rain(seed):
    random = np.random.default_rng(seed)
    drops = np.zeros(20 * 44_100)
    drops[random.integers(0, drops.size - 50, drops.size // 400)] = 1
    drop = np.exp(-np.arange(50) / 8) * np.sin(0.9 * np.arange(50))
    return 0.3 * np.convolve(drops * random.standard_normal(drops.size), drop, "same")


def sparse(seed):
    """A note of a second, then five seconds of digital silence."""
    time = np.arange(44_100) / 44_100
    signal = np.zeros(36 * 44_100)
    for start in range(0, signal.size - 44_100, 6 * 44_100):
        pitch = np.random.default_rng((seed, start)).choice([220, 262, 294, 330, 392, 440])
        signal[start : start + 44_100] = 0.4 * np.exp(-4 * time) * np.sin(2 * np.pi * pitch * time)
    return signal


@pytest.mark.parametrize("make", [white_noise, rain, sparse])
def test_different_plain_pieces_are_no_pair(tmp_path, make):
    prints = signal_prints(tmp_path, [make(seed) for seed in range(4)])
    rows = duplicates.compare_pairs(list("abcdz"), prints, np.full(5, 20.0))
    pairs = [(row["content_hash"], row["other_hash"]) for row in rows if row["is_same"]]
    # Two encodings of one sparse piece or noise may be found, and nothing else.
    assert set(pairs) <= {("a", "z")}


def test_common_silence_is_no_evidence():
    silence = np.full(25, 7, np.uint32)
    one, other = (np.concatenate([frames(60), silence]) for _ in range(2))
    assert duplicates.bit_errors(one, one) == 0
    assert duplicates.bit_errors(one, other) > 0.4
