"""Read what the tags of a file say, of any format, and its path where they say nothing.

Each value comes from the first source that has it (docs/operating.md has the table): the format's own
tags (ID3v2, Vorbis comments, MP4 atoms), APEv2, ID3v1, RIFF INFO, FFmpeg, then folder and file names.
"""

import re
from contextlib import suppress
from pathlib import PurePath
from typing import Any
from uuid import UUID

from jobs.audio import tag_sources
from jobs.audio.artist_names import split_artists
from jobs.audio.gains import read_gains
from jobs.audio.path_tags import UNKNOWN_ARTIST as UNKNOWN_ARTIST
from jobs.audio.path_tags import tags_from_path
from jobs.audio.tag_names import RECORDING_ID_OWNER, TAG_NAMES, TagTexts, clean

# A year in a date of any form; "20110719" has no border after it.
_YEAR = re.compile(r"(?<!\d)([12]\d{3})(?:(?!\d)|(?=[01]\d[0-3]\d(?!\d)))")

# A date as ISO 8601 writes it, with or without month, day and hyphens.
_DATE = re.compile(r"([12]\d{3})(?:-?([01]\d))?(?:-?([0-3]\d))?(?:$|[T\s])")

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.I)

# Comments that programs write for themselves.
_PROGRAM_COMMENT = re.compile(r"(?:\s*[0-9A-F]{8}){4,}\s*")

# Characters of a comment that are kept: a catalog in memory has all of them.
_MAX_COMMENT = 1_000

_FALSE = ("", "0", "false", "no")

# Several genres in one text.
_GENRE_SEPARATOR = re.compile(r"\s*;\s*|\s*\\\\\s*")


def read_tags(path: str, library: str) -> dict[str, Any]:
    """Return the columns of TRACKS that tags have, of a file below `library`.

    Unknown values are None; title and artist are always known. A tag that cannot be read costs its values,
    and `tag_error` says so. Raises OSError if the file cannot be read.
    """
    sources = tag_sources.read_sources(path)
    texts = TagTexts(sources.tags)
    from_path = tags_from_path(PurePath(path).relative_to(library))
    return {
        **_names(texts, from_path),
        **_positions(texts, from_path),
        **_dates(texts),
        **_genres(texts),
        **_identifiers(texts),
        **read_gains(texts, sources.tags),
        "bpm": _parse_bpm(texts.first("bpm")),
        "comment": _comment(texts),
        **sources.facts,
        "tag_error": tag_error(sources.error) if sources.error else None,
    }


def tag_error(reason: str) -> str:
    """Return the line about a tag that cannot be read, as REJECTS would say it; the audio is used."""
    return f"expected tags that can be read, found a broken one ({clean(reason)}); write them again"


def _names(texts: TagTexts, from_path: dict[str, Any]) -> dict[str, Any]:
    credited, listed = _lines(texts, "artist"), _lines(texts, "artists")
    album_artists = _lines(texts, "album_artists") or _lines(texts, "album_artist")
    album_artist = texts.first("album_artist") or (", ".join(album_artists) or None)
    artist = next(iter([*credited, *listed]), None) or album_artist or from_path["artist"]
    artists = listed or [name for credit in credited or [artist] for name in split_artists(credit)]
    return {
        "title": texts.first("title") or from_path["title"],
        "artist": artist,
        "artists": list(dict.fromkeys(artists)),
        "album": texts.first("album") or from_path["album"],
        "album_artist": album_artist,
        "album_artists": list(dict.fromkeys(album_artists)),
        **{name: texts.first(name) for name in TAG_NAMES if name.endswith("_sort")},
    }


def _lines(texts: TagTexts, field: str) -> list[str]:
    return [clean(text) for text in texts.all(field)]


def _positions(texts: TagTexts, from_path: dict[str, Any]) -> dict[str, Any]:
    return {
        "track_no": _parse_number(texts.first("track_no"), 1, 9999) or from_path["track_no"],
        "disc_no": _parse_number(texts.first("disc_no"), 1, 999) or from_path["disc_no"],
        "disc_title": texts.first("disc_title"),
        "is_compilation": (texts.first("is_compilation") or "").lower() not in _FALSE,
    }


def _dates(texts: TagTexts) -> dict[str, Any]:
    date, release, original = (texts.all(name) for name in ("date", "release_date", "original_date"))
    return {
        "year": _parse_year(date) or _parse_year(release) or _parse_year(original),
        "release_date": _parse_date(release) or _parse_date(date),
        "original_date": _parse_date(original),
    }


def _genres(texts: TagTexts) -> dict[str, Any]:
    parts = [part for text in _lines(texts, "genres") for part in _GENRE_SEPARATOR.split(text)]
    genres = list(dict.fromkeys(part for part in parts if part))
    return {"genre": genres[0] if genres else None, "genres": genres}


def _identifiers(texts: TagTexts) -> dict[str, Any]:
    codes = [code for text in texts.all("isrc") for code in re.split(r"[;/,\s]+", text.upper())]
    return {
        "isrcs": list(dict.fromkeys(code.replace("-", "") for code in codes if code)),
        "recording_mbid": recording_mbid(texts),
        **{
            name: next(iter(_parse_mbids(texts.all(name))), None)
            for name in ("release_track_mbid", "release_mbid")
        },
        **{name: _parse_mbids(texts.all(name)) for name in ("artist_mbids", "album_artist_mbids")},
    }


def recording_mbid(texts: TagTexts) -> str | None:
    """Return MusicBrainz's recording id (a UUID in lower case), or None if no tag holds a valid one."""
    names = (f"ufid:{RECORDING_ID_OWNER}", *TAG_NAMES["recording_mbid"].all_names)
    return next(iter(_parse_mbids(texts.by_source(*names))), None)


def _parse_mbids(values: Any) -> list[str]:
    """Return MusicBrainz's ids (UUIDs in lower case) in texts; one text may have several."""
    found = []
    for text in values:
        for match in _UUID.finditer(text):
            with suppress(ValueError):
                found.append(str(UUID(match[0])))
    return list(dict.fromkeys(found))


def _comment(texts: TagTexts) -> str | None:
    comments = (text for text in texts.all("comment") if not _PROGRAM_COMMENT.fullmatch(text))
    comment = next(comments, None)
    return comment[:_MAX_COMMENT] if comment else None


def _parse_bpm(text: str | None) -> float | None:
    with suppress(ValueError):
        bpm = float((text or "").replace(",", "."))
        if 1 <= bpm <= 999:
            return round(bpm, 2)
    return None


def _parse_date(texts: list[str]) -> str | None:
    """Return the first date as ISO 8601, as exact as it is known: 2011, 2011-07 or 2011-07-19."""
    for text in texts:
        match = _DATE.match(text.strip())
        if match is not None:
            return "-".join(part for part in match.groups() if part and part != "00")
        year = _parse_year([text])
        if year is not None:
            return str(year)
    return None


def _parse_number(text: str | None, minimum: int, maximum: int) -> int | None:
    """Return the number that a text such as "7/13" or "2011-07-19" begins with, or None outside the range."""
    match = re.match(r"\d+", text or "")
    number = int(match[0][:9]) if match else 0
    return number if minimum <= number <= maximum else None


def _parse_year(texts: list[str]) -> int | None:
    """Return the first year, 1000 to 2999, in dates of any form: "2011-07-19", "19.07.2011", "July 2011"."""
    matches = (_YEAR.search(text) for text in texts)
    return next((int(match[1]) for match in matches if match), None)
