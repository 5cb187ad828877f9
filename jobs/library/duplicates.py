"""Which tracks are one recording, by Chromaprint's acoustic fingerprints and the duration.

Conservative throughout: a remix, a live take or another loop of the same drums is another recording, and where there is
any doubt two tracks stay apart. A false pair takes a piece of music out of every recommendation.
"""

import functools
import os
import subprocess
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.audio import decoding
from jobs.errors import UnusableFile
from jobs.paths import to_path
from jobs.runtime.parent_death import kill_on_parent_exit

# Seconds and share by which two durations of one recording may differ: an encoder's padding, silence cut at an end.
_DURATION_S, _DURATION_SHARE = 2.0, 0.01

# Of a piece, that is listened to: the same two minutes and the same duration are the same piece.
_FINGERPRINTED_S = 120

# Chromaprint hears two seconds and a half every eighth of one: this many frames are five seconds. In less there is too
# little to tell two pieces apart.
MIN_FRAMES = 20
# Frames by which one may begin later: two seconds and a half.
_SHIFT = 20
# Of the shorter fingerprint, that both must share.
_MIN_OVERLAP = 0.9
# Measured over the recordings in ../shared/data: two encodings of one differ in .01 to .17 of the bits, from source to
# 64 kbit/s and from 44 to 22 kHz; two recordings in .40 or more.
MAX_BIT_ERROR_RATE = 0.2
# A drone or a beat box has few different frames: no fingerprint at all.
_MIN_DIFFERENT = 0.1

# Pairs are looked at that have this share of frames in common bit for bit, and so many: of two encodings .04 to .8, of two
# recordings two or three frames at most.
_MIN_COMMON_FRACTION, _MIN_COMMON = 0.02, 4
# A frame that more tracks have is silence, or says as little.
_MAX_TRACKS = 100


def candidate_pairs(fingerprints: list[np.ndarray], durations: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs (i < j) worth comparing: alike in duration (seconds), and with some frames in common."""
    distinct = [np.unique(fingerprint) for fingerprint in fingerprints]
    frames = np.concatenate([*distinct, np.empty(0, np.uint32)])
    owners = np.repeat(np.arange(len(distinct), dtype=np.int32), [len(each) for each in distinct])
    order = np.argsort(frames, kind="stable")
    frames, owners = frames[order], owners[order]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(frames)) + 1, [len(frames)]])
    ends = np.repeat(edges[1:], np.diff(edges))
    at = np.flatnonzero(np.repeat(np.diff(edges) <= _MAX_TRACKS, np.diff(edges)))
    found, step = [np.empty(0, np.int64)], 0
    # Every pair of owners of a frame: each with the next, the next but one ... Chance has two of any hundred tracks share
    # some frame; of their pairs few are alike in duration, and only those are held.
    while len(at := at[at + (step := step + 1) < ends[at]]):
        one, other = owners[at].astype(np.int64), owners[at + step]  # ascending: the sort is stable
        alike = _alike(durations[one], durations[other])
        found.append((one * len(distinct) + other)[alike])
    keys, common = np.unique(np.concatenate(found), return_counts=True)
    i, j = np.divmod(keys, max(len(distinct), 1))
    sizes = np.array([len(each) for each in distinct], dtype=int)
    enough = common >= np.maximum(_MIN_COMMON, _MIN_COMMON_FRACTION * np.minimum(sizes[i], sizes[j]))
    return list(zip(i[enough].tolist(), j[enough].tolist(), strict=True))


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where two durations (seconds) may be of one recording."""
    return np.abs(one - other) <= np.maximum(_DURATION_S, _DURATION_SHARE * np.maximum(one, other))


def fingerprint(path: str) -> np.ndarray:
    """Return Chromaprint's fingerprint of a file: uint32 (frames,), one frame each 0.124 s. BadFile where there is none."""
    command = [
        decoding.ffmpeg_path(),
        "-nostdin",
        "-v",
        "error",
        "-t",
        str(_FINGERPRINTED_S),
        "-i",
        f"file:{path}",
        "-map",
        "0:a:0",
    ]
    try:
        done = subprocess.run(
            [*command, "-f", "chromaprint", "-fp_format", "raw", "pipe:1"],
            capture_output=True,
            timeout=decoding.FFMPEG_LIMIT_S,
            preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise UnusableFile(f"expected a fingerprint, found: {error}") from error
    return np.frombuffer(done.stdout, dtype="<u4")


def fingerprint_track(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of FINGERPRINTS of a track's `audio_path`: no frames where there is no fingerprint to be had."""
    try:
        frames = fingerprint(to_path(row["audio_path"]))
    except UnusableFile:
        frames = np.empty(0, np.uint32)  # in doubt, apart
    return {**row, "fingerprint": frames.view(np.int32)}


def bit_errors(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the share of bits that differ where the two fit best, 0 to 1; None where they are too short or too plain."""
    short, long = sorted((one, other), key=len)
    if len(short) < MIN_FRAMES or min(len(np.unique(f)) / len(f) for f in (short, long)) < _MIN_DIFFERENT:
        return None
    found = []
    for shift in range(-_SHIFT, len(long) - len(short) + _SHIFT + 1):
        here = short[max(0, -shift) : len(long) - shift]
        there = long[max(0, shift) :][: len(here)]
        if len(here) >= _MIN_OVERLAP * len(short):
            found.append(np.bitwise_count(here ^ there).mean() / 32)
    return float(min(found))


def compare_pairs(
    hashes: list[str], fingerprints: list[np.ndarray], durations: np.ndarray
) -> list[dict[str, Any]]:
    """Return DUPLICATE_PAIRS' rows: every pair of contents that was compared, with its verdict."""
    rows = []
    for i, j in candidate_pairs(fingerprints, durations):
        share = bit_errors(fingerprints[i], fingerprints[j])
        one, other = sorted((hashes[i], hashes[j]))
        same = share is not None and share <= MAX_BIT_ERROR_RATE
        rows.append({"content_hash": one, "other_hash": other, "bit_errors": share, "is_same": same})
    return sorted(rows, key=lambda row: (row["content_hash"], row["other_hash"]))


def recording_groups(pairs: pa.Table) -> dict[str, str]:
    """Return for each content_hash that DUPLICATE_PAIRS knows more than once a name, the same for all of one recording."""
    same = [(row["content_hash"], row["other_hash"]) for row in pairs.to_pylist() if row["is_same"]]
    hashes = sorted({content_hash for pair in same for content_hash in pair})
    place = {content_hash: i for i, content_hash in enumerate(hashes)}
    edges = np.array([[place[a], place[b]] for a, b in same], dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(hashes), len(hashes)))
    _, labels = connected_components(graph, directed=False) if hashes else (0, np.empty(0, int))
    first = {label: content_hash for content_hash, label in zip(hashes[::-1], labels[::-1], strict=True)}
    return {content_hash: first[label] for content_hash, label in zip(hashes, labels, strict=True)}


def add_recording_id(tracks: DataFrame, found: dict[str, str]) -> DataFrame:
    """Return tracks (track_id, content_hash) with recording_id: of each group the shortest track_id, the first by name."""
    names = tracks.sparkSession.createDataFrame(list(found.items()), "content_hash string, recording string")
    same = Window.partitionBy(F.coalesce("recording", "track_id")).orderBy(F.length("track_id"), "track_id")
    grouped = tracks.join(F.broadcast(names), "content_hash", "left")
    return grouped.withColumn("recording_id", F.first("track_id").over(same)).drop("recording")
