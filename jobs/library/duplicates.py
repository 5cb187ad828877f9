"""Find the tracks that are one recording, by Chromaprint's acoustic fingerprints and the duration.

The comparison is conservative: a remix, a live take or another loop of the same drums is another recording,
and tracks in doubt stay apart. A false pair would remove a piece of music from every recommendation.
Features confirm nothing: between copies of one recording they differ as much as between recordings, see
docs/fma.md.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# Two durations of one recording may differ by the larger of these: an encoder's padding, silence cut at an
# end.
_MAX_DURATION_DIFFERENCE_S = 2.0
_MAX_DURATION_DIFFERENCE_FRACTION = 0.01

# A Chromaprint frame describes 2.5 seconds, and a new one begins every eighth of a second: this many frames
# cover five seconds. Less audio is too little to distinguish two recordings.
MIN_FRAMES = 20

# Frames by which one fingerprint may begin later than the other: 2.5 seconds.
_MAX_SHIFT = 20

# Fraction of the shorter fingerprint that must overlap with the longer one.
_MIN_OVERLAP = 0.9

# Measured on librosa's example recordings and Creative Commons tracks of the FMA: two encodings of one
# recording differ in .01 to .17 of the bits, from source to 64 kbit/s and from 44 to 22 kHz; two recordings
# in .40 or more.
MAX_BIT_ERROR_RATE = 0.2

# Fingerprints with a smaller fraction of distinct frames (a drone, a beat box) are too plain to identify a
# recording.
_MIN_DISTINCT_FRACTION = 0.1

# Fraction of the frames from which on a repeated frame is silence or a standing sound: where two fingerprints
# agree in such a frame, they agree in nothing that identifies a recording.
_MIN_REPEATED_FRACTION = 0.05

# Fingerprints with more of such frames (single notes in digital silence) are too plain.
_MAX_REPEATED_FRACTION = 1 / 3

# The error rate of one recording must be below this fraction of the rate that chance gives, by how often each
# bit is set in the two fingerprints. Chance gives .4 to .5 for music, and .16 for two white noises or two
# rains, whose encodings differ in .05 to .1; below _MIN_CHANCE_RATE a fingerprint identifies nothing.
_MAX_FRACTION_OF_CHANCE = 0.5
_MIN_CHANCE_RATE = 0.1

# Only pairs with at least this fraction of equal frames, and at least this many, are compared. Two encodings
# have .04 to .8 of their frames in common, two recordings two or three frames at most.
_MIN_COMMON_FRACTION = 0.02
_MIN_COMMON_FRAMES = 4

# A frame that more tracks have is silence, or as uninformative.
_MAX_TRACKS_PER_FRAME = 100


def candidate_pairs(fingerprints: list[np.ndarray], durations: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs (i < j) worth comparing.

    Of similar duration (seconds), and with enough equal frames.
    """
    n_tracks = len(fingerprints)
    distinct = [np.unique(frames) for frames in fingerprints]
    n_distinct = np.array([len(frames) for frames in distinct], dtype=int)
    pairs, n_common = np.unique(_common_frames(distinct, durations), return_counts=True)
    i, j = np.divmod(pairs, max(n_tracks, 1))
    min_common = _MIN_COMMON_FRACTION * np.minimum(n_distinct[i], n_distinct[j])
    is_candidate = n_common >= np.maximum(_MIN_COMMON_FRAMES, min_common)
    return list(zip(i[is_candidate].tolist(), j[is_candidate].tolist(), strict=True))


def _common_frames(distinct: list[np.ndarray], durations: np.ndarray) -> np.ndarray:
    """Return `i * n_tracks + j` (int64) for each frame that tracks i < j of similar duration have in common.

    All frames are sorted, so that the tracks with an equal frame form a run:

        frame  7 7 7 9 9
        track  0 2 5 1 2

    In each run every entry is paired with the next one (here tracks 0-2, 2-5 and 1-2), then with the next but
    one (0-5), and so on, until no run is long enough. Of any hundred tracks chance makes some share a frame;
    few of these pairs have similar durations, and only those are stored.
    """
    n_tracks = len(distinct)
    frames = np.concatenate([*distinct, np.empty(0, np.uint32)])
    tracks = np.repeat(np.arange(n_tracks, dtype=np.int32), [len(values) for values in distinct])
    order = np.argsort(frames, kind="stable")  # stable: tracks ascend within a run
    frames = frames[order]
    tracks = tracks[order]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(frames)) + 1, [len(frames)]])
    run_lengths = np.diff(edges)
    run_end = np.repeat(edges[1:], run_lengths)  # of each entry
    first = np.flatnonzero(np.repeat(run_lengths <= _MAX_TRACKS_PER_FRAME, run_lengths))
    pairs = [np.empty(0, np.int64)]
    for distance in range(1, _MAX_TRACKS_PER_FRAME):
        first = first[first + distance < run_end[first]]
        i = tracks[first].astype(np.int64)
        j = tracks[first + distance]
        is_similar = _has_similar_duration(durations[i], durations[j])
        pairs.append((i * n_tracks + j)[is_similar])
    return np.concatenate(pairs)


def is_near(durations: np.ndarray, duration: float) -> bool:
    """Return whether one of the durations (seconds, ascending) may be of the recording of another."""
    tolerance = max(_MAX_DURATION_DIFFERENCE_S, 2 * _MAX_DURATION_DIFFERENCE_FRACTION * duration)
    first, last = np.searchsorted(durations, [duration - tolerance, duration + tolerance])
    return bool(first < last)


def _has_similar_duration(durations_a: np.ndarray, durations_b: np.ndarray) -> np.ndarray:
    """Return, elementwise, whether two durations (seconds) may be of one recording."""
    tolerance = _MAX_DURATION_DIFFERENCE_FRACTION * np.maximum(durations_a, durations_b)
    return np.abs(durations_a - durations_b) <= np.maximum(_MAX_DURATION_DIFFERENCE_S, tolerance)


def bit_errors(fingerprint_a: np.ndarray, fingerprint_b: np.ndarray) -> float | None:
    """Return the bit error rate, 0 to 1, of two fingerprints at the shift where they fit best.

    Returns None if one of them is too short or too plain to identify a recording.
    """
    short, long = sorted((fingerprint_a, fingerprint_b), key=len)
    if len(short) < MIN_FRAMES:
        return None
    if min(_distinct_fraction(short), _distinct_fraction(long)) < _MIN_DISTINCT_FRACTION:
        return None
    if max(_repeated_fraction(short), _repeated_fraction(long)) > _MAX_REPEATED_FRACTION:
        return None
    repeated = np.intersect1d(_repeated_frames(short), _repeated_frames(long))
    rates = []
    for shift in range(-_MAX_SHIFT, len(long) - len(short) + _MAX_SHIFT + 1):
        short_part = short[max(0, -shift) : len(long) - shift]
        long_part = long[max(0, shift) :][: len(short_part)]
        if len(short_part) < _MIN_OVERLAP * len(short):
            continue
        differing = np.bitwise_count(short_part ^ long_part)
        is_telling = (differing > 0) | ~np.isin(short_part, repeated)
        if is_telling.sum() >= MIN_FRAMES:
            rates.append(differing[is_telling].mean() / 32)
    return float(min(rates)) if rates else None


def chance_rate(fingerprint_a: np.ndarray, fingerprint_b: np.ndarray) -> float:
    """Return the bit error rate, 0 to 0.5, that chance gives two fingerprints with these bits in any order.

    Fingerprints of noise have the same bits set nearly all the time, whatever the noise.
    """
    set_a, set_b = (_set_fraction(each) for each in (fingerprint_a, fingerprint_b))
    return float(np.mean(set_a * (1 - set_b) + set_b * (1 - set_a)))


def _set_fraction(frames: np.ndarray) -> np.ndarray:
    """Return the fraction of the frames in which each bit is set, shape (32,); silence does not count."""
    telling = frames[~np.isin(frames, _repeated_frames(frames))]
    bits = telling[:, np.newaxis] >> np.arange(32, dtype=np.uint32) & 1
    return bits.mean(axis=0) if len(telling) else np.zeros(32)


def _repeated_frames(frames: np.ndarray) -> np.ndarray:
    distinct, counts = np.unique(frames, return_counts=True)
    return distinct[counts >= max(2, _MIN_REPEATED_FRACTION * len(frames))]


def _repeated_fraction(frames: np.ndarray) -> float:
    return float(np.isin(frames, _repeated_frames(frames)).mean())


def is_same_recording(fingerprint_a: np.ndarray, fingerprint_b: np.ndarray, rate: float | None) -> bool:
    """Return whether two fingerprints with this bit error rate are of one recording; None is no rate."""
    if rate is None or rate > MAX_BIT_ERROR_RATE:
        return False
    chance = chance_rate(fingerprint_a, fingerprint_b)
    return chance >= _MIN_CHANCE_RATE and rate <= _MAX_FRACTION_OF_CHANCE * chance


def _distinct_fraction(frames: np.ndarray) -> float:
    return len(np.unique(frames)) / len(frames)


def compare_pairs(
    hashes: list[str], fingerprints: list[np.ndarray], durations: np.ndarray
) -> list[dict[str, Any]]:
    """Return DUPLICATE_PAIRS' rows.

    Every pair of contents that was compared, and whether it is one recording.
    """
    rows = []
    for i, j in candidate_pairs(fingerprints, durations):
        rate = bit_errors(fingerprints[i], fingerprints[j])
        first_hash, second_hash = sorted((hashes[i], hashes[j]))
        rows.append(
            {
                "content_hash": first_hash,
                "other_hash": second_hash,
                "bit_errors": rate,
                "is_same": is_same_recording(fingerprints[i], fingerprints[j], rate),
            }
        )
    return sorted(rows, key=lambda row: (row["content_hash"], row["other_hash"]))


def recording_groups(pairs: pa.Table) -> dict[str, str]:
    """Return the group of each content_hash that has duplicates according to DUPLICATE_PAIRS.

    A group is named by its first content_hash in sorted order.
    """
    # Here, since Spark's workers import this module for other functions: a third of a second each.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    same = [(row["content_hash"], row["other_hash"]) for row in pairs.to_pylist() if row["is_same"]]
    if not same:
        return {}
    hashes = sorted({content_hash for pair in same for content_hash in pair})
    index = {content_hash: i for i, content_hash in enumerate(hashes)}
    first = [index[content_hash] for content_hash, _ in same]
    second = [index[content_hash] for _, content_hash in same]
    graph = coo_array((np.ones(len(same)), (first, second)), shape=(len(hashes), len(hashes)))
    _, labels = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    groups = {}
    for content_hash, label in zip(hashes, labels.tolist(), strict=True):
        groups[content_hash] = names.setdefault(label, content_hash)
    return groups


def add_recording_id(tracks: DataFrame, groups: dict[str, str]) -> DataFrame:
    """Return tracks (track_id, content_hash, ...) with recording_id; `groups` is from `recording_groups`."""
    spark = tracks.sparkSession
    group_rows = spark.createDataFrame(list(groups.items()), "content_hash string, recording_group string")
    grouped = tracks.join(group_rows, "content_hash", "left")
    return grouped.withColumn("recording_id", first_track_id("recording_group")).drop("recording_group")


def first_track_id(group_column: str) -> Column:
    """Return a column with the track_id that names a group of tracks: the shortest, then the first by name.

    A track whose group is null is a group of its own.
    """
    group = Window.partitionBy(F.coalesce(group_column, "track_id"))
    return F.first("track_id").over(group.orderBy(F.length("track_id"), "track_id"))
