"""Loudness in tags: ReplayGain's decibels, ID3's RVA2 frames, and Opus' R128 gains."""

import re
from typing import Any

from mutagen.id3 import ID3, RVA2

from jobs.audio.tag_names import TagTexts

# R128 gains aim at -23 LUFS, ReplayGain 2.0 at -18 LUFS (RFC 7845, section 5.2.1).
_R128_OFFSET_DB = 5.0
_R128_UNIT_DB = 1 / 256

# Gains and peaks beyond these are errors of a program.
_MAX_GAIN_DB = 60.0
_MAX_PEAK = 100.0

_NUMBER = re.compile(r"\s*([+-]?\d+(?:[.,]\d+)?)\s*(?:dB)?\s*", re.I)


def read_gains(texts: TagTexts, sources: list[Any]) -> dict[str, float | None]:
    """Return the gains in decibels (ReplayGain 2.0, -18 LUFS) and the peaks (1 is full scale) of the tags."""
    frames = _rva2_frames(sources)
    found: dict[str, float | None] = {}
    for kind in ("track", "album"):
        gain = _parse(texts.first(f"{kind}_gain"), -_MAX_GAIN_DB, _MAX_GAIN_DB)
        peak = _parse(texts.first(f"{kind}_peak"), 0.0, _MAX_PEAK)
        if gain is None:
            r128 = _parse(texts.first(f"r128_{kind}_gain"), -(2**15), 2**15)
            gain = None if r128 is None else round(r128 * _R128_UNIT_DB + _R128_OFFSET_DB, 2)
        if gain is None and kind in frames:
            gain = round(float(frames[kind].gain), 2)
            peak = peak or float(frames[kind].peak) or None
        found |= {f"{kind}_gain_db": gain, f"{kind}_peak": peak}
    return found


def r128_value(gain_db: float) -> int:
    """Return a ReplayGain in decibels as the integer of Opus' R128 tags."""
    return max(-(2**15), min(2**15 - 1, round((gain_db - _R128_OFFSET_DB) / _R128_UNIT_DB)))


def _rva2_frames(sources: list[Any]) -> dict[str, RVA2]:
    """Return the frames of the master volume by what they are for: track or album."""
    frames = [frame for tags in sources if isinstance(tags, ID3) for frame in tags.getall("RVA2")]
    return {frame.desc.lower(): frame for frame in frames if frame.channel == 1}  # 1: master volume


def _parse(text: str | None, minimum: float, maximum: float) -> float | None:
    match = _NUMBER.fullmatch(text or "")
    value = float(match[1].replace(",", ".")) if match else None
    return value if value is not None and minimum <= value <= maximum else None
