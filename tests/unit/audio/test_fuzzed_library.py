"""Damaged files end in exactly one of TRACKS or REJECTS, with one line, and with FFmpeg's duration.

SEGUE_FUZZED_FILES sets their number: 2000 for the whole corpus, a tenth of it in CI.
"""

import os
import subprocess

import numpy as np
import pytest

from jobs.audio import containers, decoding
from jobs.library import scan
from jobs.library.tracks_table import read_track_row
from jobs.steps.compress import compress_file
from jobs.steps.extract import extract_file
from tests.unit.audio.fuzzed_library import write_clips, write_corpus

COUNT = int(os.environ.get("SEGUE_FUZZED_FILES", "200"))
SEED = 26


def ffmpeg_seconds(path):
    """Return the seconds that FFmpeg decodes, as it counts samples."""
    command = [decoding.ffmpeg_path(), "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    command += ["-ac", "1", "-ar", "48000", "-f", "s16le", "pipe:1"]
    return len(subprocess.run(command, capture_output=True, timeout=60).stdout) / 2 / 48_000


@pytest.mark.slow
def test_damaged_file_is_track_or_reject(recordings, tmp_path):
    random = np.random.default_rng(SEED)
    sources = sorted((recordings / "music" / "kevin-macleod-ccby3").glob("*.ogg"))[:3]
    for name in ("clips", "library", "audio"):
        (tmp_path / name).mkdir()
    clips = write_clips(sources, tmp_path / "clips", random)
    paths = write_corpus(clips, tmp_path / "library", COUNT, random)
    wrong = []
    n_tracks = 0
    for path in paths:
        row = {"path": str(path), "library": str(tmp_path / "library"), **scan.file_stat(str(path))}
        row = compress_file(row, audio_root=str(tmp_path / "audio"), bit_rate=64_000, in_place=False)
        if row["outcome"] == "rejected":
            if not row["error"].startswith("expected ") or "\n" in row["error"]:
                wrong.append((path.name, row["error"]))
            continue
        n_tracks += 1
        track = read_track_row(row)
        if row.get("error") or not track["title"] or not track["artist"]:
            wrong.append((path.name, "no title"))
        features = extract_file(track)
        if features.get("error") and "at least 0.5 s" not in features["error"]:
            wrong.append((path.name, features["error"]))
        expected_s = ffmpeg_seconds(path)
        has_links = bool(containers.inspect(str(path)).links)  # FFmpeg alone stops at the second one
        if not has_links and abs(row["duration_s"] - expected_s) > 0.1:
            wrong.append((path.name, row["outcome"], row["duration_s"], expected_s))
    assert not wrong, "\n".join(map(str, wrong))
    assert 0.3 * COUNT < n_tracks < 0.95 * COUNT
