"""Compute the acoustic fingerprint of one file with Chromaprint, through FFmpeg."""

import functools
import os
import subprocess
from typing import Any

import numpy as np

from jobs.audio import decoding
from jobs.errors import UnusableFile, raise_if_system_fault
from jobs.paths import to_path
from jobs.runtime.parent_death import kill_on_parent_exit

# Only the beginning of a track is fingerprinted: the same two minutes and the same duration are the same
# recording.
_FINGERPRINTED_S = 120


def fingerprint(path: str) -> np.ndarray:
    """Return Chromaprint's fingerprint of a file: uint32, shape (frames,), one frame per 0.124 s.

    Raises UnusableFile if FFmpeg cannot compute one, and OSError if the file cannot be read.
    """
    command = [decoding.ffmpeg_path(), "-nostdin", "-v", "error"]
    command += [*decoding.ffmpeg_inputs(path), *decoding.ffmpeg_mapping(path)]
    command += ["-t", str(_FINGERPRINTED_S), "-f", "chromaprint", "-fp_format", "raw", "pipe:1"]
    try:
        completed = subprocess.run(
            command,
            capture_output=True,
            timeout=decoding.FFMPEG_LIMIT_S,
            preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise UnusableFile(f"expected a fingerprint, found: {error}") from error
    return np.frombuffer(completed.stdout, dtype="<u4")


def fingerprint_track(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of FINGERPRINTS for a track, from its `audio_path`.

    No frames if it cannot be fingerprinted; `deduplicate` tries again with its next run. Raises StepError if
    the disk or the machine fails.
    """
    try:
        frames = fingerprint(to_path(row["audio_path"]))
    except OSError as error:
        raise_if_system_fault(error, row["audio_path"])
        frames = np.empty(0, np.uint32)
    except UnusableFile:
        frames = np.empty(0, np.uint32)  # a track without fingerprint is no duplicate of any other
    return {**row, "fingerprint": frames.view(np.int32)}
