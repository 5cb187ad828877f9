"""Lyrics of a track: an `.lrc` file beside it, or its tags; with the time of each line where it is known.

Times are milliseconds from the beginning of the track.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutagen.id3 import ID3, SYLT

from jobs.audio import tag_sources
from jobs.audio.tag_names import TagTexts, clean_lines

# Bytes of an .lrc file that are read; a long song has 10 kB.
_MAX_BYTES = 1 << 20

_TIME = re.compile(r"\[(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]")
_WORD_TIME = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>\s?")
_OFFSET = re.compile(r"(?im)^\s*\[offset:\s*([+-]?\d{1,7})\s*\]")
_HEADER = re.compile(r"\s*\[[A-Za-z#]{1,12}:[^\]]*\]\s*")

_MILLISECONDS = 2  # SYLT's unit of time; 1 is MPEG frames


@dataclass(frozen=True)
class Line:
    """One line; `start_ms` is None where no times are known."""

    start_ms: int | None
    text: str


@dataclass(frozen=True)
class Lyrics:
    """Lyrics in one language (ISO 639, "und" if unknown); lines come `offset_ms` earlier than they say."""

    lines: tuple[Line, ...]
    is_synced: bool
    language: str = "und"
    offset_ms: int = 0

    @property
    def text(self) -> str:
        """The lines without their times."""
        return "\n".join(line.text for line in self.lines)


def read_lyrics(path: str) -> list[Lyrics]:
    """Return the lyrics of an audio file, those with times first; [] if there are none.

    Raises OSError if the file cannot be read.
    """
    sources = tag_sources.read_sources(path).tags
    texts = [*_beside(path), *TagTexts(sources).all("synced_lyrics"), *TagTexts(sources).all("lyrics")]
    found = [*timed_frames(sources), *(parse_lyrics(text) for text in texts)]
    unique: dict[str, Lyrics] = {}
    for lyrics in sorted(found, key=lambda lyrics: not lyrics.is_synced):
        if lyrics.text.strip():
            unique.setdefault(lyrics.text, lyrics)
    return list(unique.values())


def parse_lyrics(text: str) -> Lyrics:
    """Return lyrics of a text in LRC form, `[01:02.50] line`, or without times."""
    lines = clean_lines(text).split("\n")
    timed = [Line(start, words) for line in lines for start, words in _timed(line)]
    if not timed:
        return Lyrics(tuple(Line(None, line.strip()) for line in lines if not _HEADER.fullmatch(line)), False)
    match = _OFFSET.search(text)
    timed.sort(key=lambda line: line.start_ms or 0)
    return Lyrics(tuple(timed), True, offset_ms=int(match[1]) if match else 0)


def _timed(line: str) -> Iterable[tuple[int, str]]:
    """Yield the times of a line of LRC and its words; a refrain has several times."""
    starts = []
    position = 0
    while match := _TIME.match(line, position):
        fraction = (match[3] or "").ljust(3, "0")
        starts.append((int(match[1]) * 60 + int(match[2])) * 1000 + int(fraction))
        position = match.end()
    words = _WORD_TIME.sub("", line[position:]).strip()
    return [(start, words) for start in starts]


def _beside(path: str) -> list[str]:
    """Return the text of `song.lrc` beside `song.mp3`, whatever the case of its extension."""
    for suffix in (".lrc", ".LRC", ".Lrc"):
        file = Path(path).with_suffix(suffix)
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as opened:
                return [_decode(opened.read(_MAX_BYTES))]
    return []


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def timed_frames(sources: Iterable[Any]) -> list[Lyrics]:
    """Return the lyrics of ID3's SYLT frames whose times are in milliseconds."""
    found = []
    for tags in sources:
        for frame in tags.getall("SYLT") if isinstance(tags, ID3) else ():
            if frame.format == _MILLISECONDS and frame.type in (0, 1):  # other, lyrics
                found.append(_of_frame(frame))
    return found


def _of_frame(frame: SYLT) -> Lyrics:
    """Return the lines of a frame, which has a time for each line or for each syllable."""
    if any("\n" in text for text, _ in frame.text):
        lines = _join_syllables(frame.text)
    else:
        lines = [Line(int(start), clean_lines(text)) for text, start in frame.text]
    language = frame.lang if frame.lang.isalpha() and frame.lang != "XXX" else "und"
    return Lyrics(tuple(sorted(lines, key=lambda line: line.start_ms or 0)), True, language)


def _join_syllables(texts: list[tuple[str, int]]) -> list[Line]:
    """Return lines of syllables; a line begins at a syllable that begins with a line break."""
    lines: list[tuple[int, str]] = []
    for text, start in texts:
        if text.startswith("\n") or not lines:
            lines.append((int(start), text))
        else:
            first, words = lines.pop()
            lines.append((first, words + text))
    return [Line(start, clean_lines(text)) for start, text in lines]


def to_lrc(lyrics: Lyrics) -> str:
    """Return lyrics as an LRC text, for formats that have no frame for times."""
    if not lyrics.is_synced:
        return lyrics.text
    head = [f"[offset:{lyrics.offset_ms:+d}]"] if lyrics.offset_ms else []
    return "\n".join([*head, *(_lrc_line(line) for line in lyrics.lines)])


def _lrc_line(line: Line) -> str:
    minutes, milliseconds = divmod(line.start_ms or 0, 60_000)
    return f"[{minutes:02d}:{milliseconds / 1000:05.2f}]{line.text}"
