"""Known faults of FMA's archives, found by comparing files and metadata: mdeff/fma issues 8, 27, 44 and 49.

Some clips were cut beyond the end of their track, because the archive's own database had a wrong length:
they are short or hold no audio at all. Some records give bit rates that no MP3 has.
"""

import re
from collections.abc import Iterable
from typing import Any

CLIP_S = 30.0
# Clips are 29.98 to 30.02 s long; a difference above one second is a fault.
_TOLERANCE_S = 1.0

# MPEG-1 Layer III and below, bits per second.
_MIN_BIT_RATE = 8_000
_MAX_BIT_RATE = 448_000

# FMA's layout: 000/000002.mp3 is track 2; the folder is the first half of the number.
_FMA_FILE = re.compile(r"(?:^|/)([0-9]{3})/\1[0-9]{3}\.[^./]+$")
_NUMBERED_FILE = re.compile(r"(?:^|/)0*([0-9]+)\.[^./]+$")


def fma_number(path: str, *, any_folder: bool = False) -> str | None:
    """Return the number of the track that a file of FMA is, without leading zeros; None for other files.

    Parameters
    ----------
    path
        Path of a file.
    any_folder
        Take any name that is a number for FMA's, whatever the folder. Else only FMA's own layout counts: a
        collection has a 02.mp3 in many folders.
    """
    if not any_folder and not _FMA_FILE.search(path):
        return None
    match = _NUMBERED_FILE.search(path)
    return match[1] if match else None


def short_clips(files: Iterable[dict[str, Any]], metadata: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the clips that are much shorter than their track, which are not used, with the reason.

    Parameters
    ----------
    files
        Rows of FILES with path, fma_id and duration_s.
    metadata
        Rows of FMA_METADATA by track_id.

    Returns
    -------
    The reason by path.
    """
    reasons = {}
    for file in files:
        row = metadata.get(file["fma_id"] or "")
        if row is None or row["track_duration"] is None or file["duration_s"] is None:
            continue
        expected_s = min(CLIP_S, row["track_duration"])
        if file["duration_s"] < expected_s - _TOLERANCE_S:
            reasons[file["path"]] = (
                f"expected a clip of {expected_s:.0f} s of a track of {row['track_duration']} s "
                f"(tracks.csv line {row['line']}), found {file['duration_s']:.1f} s: "
                "a known fault, mdeff/fma issue 8"
            )
    return reasons


def wrong_bit_rates(files: Iterable[dict[str, Any]], metadata: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return by path the files whose metadata gives a bit rate that no MP3 has.

    The files themselves are used.
    """
    reasons = {}
    for file in files:
        row = metadata.get(file["fma_id"] or "")
        if row is None or row["track_bit_rate"] is None:
            continue
        bit_rate = row["track_bit_rate"]
        if not _MIN_BIT_RATE <= bit_rate <= _MAX_BIT_RATE:
            reasons[file["path"]] = (
                f"expected a bit rate of 8,000 to 448,000 bits/s (tracks.csv line {row['line']}), found "
                f"{bit_rate:,}: ignored, the track is used with the bit rate of its file; a known fault, "
                "mdeff/fma issue 27"
            )
    return reasons
