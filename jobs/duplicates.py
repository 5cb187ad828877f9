"""Which tracks are one recording: close features and a like duration name the pairs, Chromaprint's fingerprints decide.

Conservative throughout: a remix, a live take or another loop of the same drums is another recording, and where there is
any doubt two tracks stay apart. A false pair takes a piece of music out of every recommendation.
"""

import subprocess
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from jobs import audio
from jobs.errors import BadFile
from jobs.paths import to_path

# Seconds and share by which two durations of one recording may differ: an encoder's padding, silence cut at an end.
_DURATION_S, _DURATION_SHARE = 2.0, 0.01

# Of the distance in standardised features to be looked at more closely; per feature, root mean square.
CLOSE = 0.35

# Chromaprint hears a third of a second every eighth of one. This many frames are three seconds and a half: in less
# there is too little to tell two pieces apart.
LEAST_FRAMES = 28
# Frames by which one may begin later: two seconds and a half.
_SHIFT = 20
# Of the shorter fingerprint, that both must share.
_LEAST_OVERLAP = 0.9
# Two encodings of one recording differ in 1 to 10 of 100 bits, two recordings in 35 to 55.
MOST_BIT_ERRORS = 0.15
# A drone or a beat box has few different frames: no fingerprint at all.
_LEAST_DIFFERENT = 0.1

# More than this of a piece is not listened to.
_MOST_S = 600


def candidates(features: np.ndarray, durations: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of rows (i < j) that may be one recording: features (tracks, n), durations (tracks,) in seconds."""
    if len(features) < 2:
        return []
    scale = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1)
    pairs = cKDTree(standard).query_pairs(CLOSE * np.sqrt(features.shape[1]), output_type="ndarray")
    first, second = durations[pairs[:, 0]], durations[pairs[:, 1]]
    near = np.abs(first - second) <= np.maximum(_DURATION_S, _DURATION_SHARE * np.maximum(first, second))
    return [(int(i), int(j)) for i, j in pairs[near]]


def fingerprint(path: str) -> np.ndarray:
    """Return Chromaprint's fingerprint of a file: uint32 (frames,), one frame each 0.124 s. BadFile where there is none."""
    command = [
        audio.ffmpeg_path(),
        "-nostdin",
        "-v",
        "error",
        "-t",
        str(_MOST_S),
        "-i",
        f"file:{path}",
        "-map",
        "0:a:0",
    ]
    try:
        done = subprocess.run(
            [*command, "-f", "chromaprint", "-fp_format", "raw", "pipe:1"],
            capture_output=True,
            timeout=audio.FFMPEG_LIMIT_S,
            preexec_fn=audio.die_with_parent,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise BadFile(f"expected a fingerprint, found: {error}") from error
    return np.frombuffer(done.stdout, dtype="<u4")


def bit_errors(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the share of bits that differ where the two fit best, 0 to 1; None where they are too short or too plain."""
    short, long = sorted((one, other), key=len)
    if len(short) < LEAST_FRAMES or min(len(np.unique(f)) / len(f) for f in (short, long)) < _LEAST_DIFFERENT:
        return None
    found = []
    for shift in range(-_SHIFT, len(long) - len(short) + _SHIFT + 1):
        here = short[max(0, -shift) : len(long) - shift]
        there = long[max(0, shift) :][: len(here)]
        if len(here) >= _LEAST_OVERLAP * len(short):
            found.append(np.bitwise_count(here ^ there).mean() / 32)
    return float(min(found))


def judge(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of PAIRS with its verdict; `audio_path` and `other_path` are the two tracks' files."""
    try:
        share = bit_errors(*(fingerprint(to_path(row[name])) for name in ("audio_path", "other_path")))
    except BadFile:
        share = None  # in doubt, apart
    return {**row, "bit_errors": share, "same": int(share is not None and share <= MOST_BIT_ERRORS)}


def groups(pairs: pa.Table) -> dict[str, str]:
    """Return for each content_hash that PAIRS knows more than once a name, the same for all of one recording."""
    same = [(row["content_hash"], row["other_hash"]) for row in pairs.to_pylist() if row["same"]]
    hashes = sorted({content_hash for pair in same for content_hash in pair})
    place = {content_hash: i for i, content_hash in enumerate(hashes)}
    edges = np.array([[place[a], place[b]] for a, b in same], dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(hashes), len(hashes)))
    _, labels = connected_components(graph, directed=False) if hashes else (0, np.empty(0, int))
    first = {label: content_hash for content_hash, label in zip(hashes[::-1], labels[::-1], strict=True)}
    return {content_hash: first[label] for content_hash, label in zip(hashes, labels, strict=True)}


def with_recordings(tracks: DataFrame, found: dict[str, str]) -> DataFrame:
    """Return tracks (track_id, content_hash) with recording_id: of each group the shortest track_id, the first by name."""
    names = tracks.sparkSession.createDataFrame(list(found.items()), "content_hash string, recording string")
    same = Window.partitionBy(F.coalesce("recording", "track_id")).orderBy(F.length("track_id"), "track_id")
    grouped = tracks.join(F.broadcast(names), "content_hash", "left")
    return grouped.withColumn("recording_id", F.first("track_id").over(same)).drop("recording")
