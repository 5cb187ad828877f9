"""Known faults of FMA's archives, told from the files and the metadata: github.com/mdeff/fma, issues 8, 27, 44 and 49.

Some clips were cut where their track had ended already, since its length was wrong in the archive's own catalogue: they
are short or hold no audio at all. Some records give bit rates that no MP3 has.
"""

import re
from collections.abc import Iterable
from typing import Any

CLIP_S = 30.0
# Clips are 29.98 to 30.02 s; a second less is another matter.
_TOLERANCE_S = 1.0

# MPEG-1 Layer III and below, bits per second.
_MIN_BIT_RATE, _MAX_BIT_RATE = 8_000, 448_000

# FMA's number of a file: its name but for leading zeros and the extension. Java reads it as Python does.
_TRACK_FILE = r"(?:^|/)0*([0-9]+)\.[^./]+$"


def track_number(path: str) -> str | None:
    """Return the track_id that a path's name stands for, None where it is no number."""
    found = re.search(_TRACK_FILE, path)
    return found[1] if found else None


def short_clips(files: Iterable[dict[str, Any]], metadata: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return by path why files are no clips to learn from: much shorter than the track that the metadata describes.

    `files` has FILES' path and duration_s, `metadata` FMA_METADATA's rows by track_id.
    """
    found = {}
    for file in files:
        row = metadata.get(track_number(file["path"]) or "")
        if row is None or row["track_duration"] is None or file["duration_s"] is None:
            continue
        expected = min(CLIP_S, row["track_duration"])
        if file["duration_s"] < expected - _TOLERANCE_S:
            found[file["path"]] = (
                f"expected a clip of {expected:.0f} s of a track of {row['track_duration']} s "
                f"(tracks.csv line {row['line']}), found {file['duration_s']:.1f} s: a known fault, mdeff/fma issue 8"
            )
    return found


def wrong_bit_rates(files: Iterable[dict[str, Any]], metadata: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return by path which files' metadata gives a bit rate that no MP3 has; the files themselves are used."""
    found = {}
    for file in files:
        row = metadata.get(track_number(file["path"]) or "")
        rate = row["track_bit_rate"] if row is not None else None
        if row is not None and rate is not None and not _MIN_BIT_RATE <= rate <= _MAX_BIT_RATE:
            found[file["path"]] = (
                f"expected a bit rate of 8,000 to 448,000 bits/s (tracks.csv line {row['line']}), found {rate:,}: not used, "
                "the track is, with the bit rate of its file; a known fault, mdeff/fma issue 27"
            )
    return found
