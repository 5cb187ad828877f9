"""Title, artist, album, number, year and genres of a file: from its tags, else from its folders and its name."""

import re
from contextlib import suppress
from pathlib import PurePath
from typing import Any
from uuid import UUID

from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

from jobs.audio import decoding

# The names that ID3v2, MP4 and Vorbis comments have for the same things.
TAG_NAMES = {
    "title": ("TIT2", "\xa9nam", "title"),
    "artist": ("TPE1", "\xa9ART", "artist"),
    "album": ("TALB", "\xa9alb", "album"),
    "track_no": ("TRCK", "trkn", "tracknumber"),
    "year": ("TDRC", "\xa9day", "date"),
    "genres": ("TCON", "\xa9gen", "genre"),
}

# What MusicBrainz's recording id is called, in small letters: in ID3 (a TXXX by some), Vorbis comments and APE, MP4, ASF.
# A "release track id" is something else.
_RECORDING = (
    "ufid:http://musicbrainz.org",
    "txxx:musicbrainz track id",
    "txxx:musicbrainz_trackid",
    "txxx:musicbrainz recording id",
    "musicbrainz_trackid",
    "----:com.apple.itunes:musicbrainz track id",
    "musicbrainz/track id",
)

# "07 Title", "07. Title", "7 - Title"
_NUMBERED = re.compile(r"^(\d{1,3})(?:\s*[-.]\s*|\s+)(?=\S)")

UNKNOWN_ARTIST = "Unknown artist"


def read_tags(path: str, library: str) -> dict[str, Any]:
    """Return TRACKS' columns title to genres, and recording_mbid, of a file below `library`; what nothing says is None."""
    tagged = decoding.open_tags(path)
    tags = tagged.tags if tagged is not None else None
    found = {name: values(tags, names) if tags is not None else [] for name, names in TAG_NAMES.items()}
    named = tags_from_path(PurePath(path).relative_to(library))
    genres = list(dict.fromkeys(found["genres"]))
    return {
        "title": _first(found["title"]) or named["title"],
        "artist": _first(found["artist"]) or named["artist"],
        "album": _first(found["album"]) or named["album"],
        "track_no": _number(_first(found["track_no"]), 1, 9999) or named["track_no"],
        "year": _number(_first(found["year"]), 1000, 2999),
        "genre": _first(genres),
        "genres": genres,
        "recording_mbid": recording_mbid(tags) if tags is not None else None,
    }


def recording_mbid(tags: Any) -> str | None:
    """Return MusicBrainz's id of the recording, in small letters; None where no tag holds one that is a UUID."""
    named = {str(key).lower(): key for key in tags.keys()}  # noqa: SIM118 - Vorbis comments iterate over pairs
    for name in _RECORDING:
        found = tags[named[name]] if name in named else None
        for value in _plain(found):
            with suppress(ValueError):
                return str(UUID(value.strip()))
    return None


def _plain(found: Any) -> list[str]:
    """Return the texts of a tag of any format: a frame of ID3, MP4's bytes, a list, or none."""
    if found is None:
        return []
    found = getattr(found, "data", None) or getattr(found, "text", found)
    several = found if isinstance(found, list) else [found]
    return [v.decode("ascii", "replace") if isinstance(v, bytes) else str(v) for v in several]


def values(tags: Any, names: tuple[str, str, str]) -> list[str]:
    """Return one tag's values as text without surrounding space, empty ones left out."""
    id3, mp4, vorbis = names
    if isinstance(tags, ID3):
        frame = tags.get(id3)
        found = (frame.genres if id3 == "TCON" else frame.text) if frame is not None else []
    elif isinstance(tags, MP4Tags):
        found = [value[0] if isinstance(value, tuple) else value for value in tags.get(mp4, [])]
    else:
        found = tags.get(vorbis) or (tags.get("year") or [] if vorbis == "date" else [])
    # A NUL ends a tag in some writers' files, and no UTF-8 text may hold a lone surrogate.
    texts = (str(value).replace("\0", " ").encode("utf-8", "replace").decode().strip() for value in found)
    return [text for text in texts if text]


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _number(text: str | None, least: int, most: int) -> int | None:
    """Return the number that a text such as "7/13" or "2011-07-19" begins with, None outside the range."""
    match = re.match(r"\d+", text or "")
    number = int(match[0][:9]) if match else 0
    return number if least <= number <= most else None


def tags_from_path(path: PurePath) -> dict[str, Any]:
    """Return title, artist, album and track_no as a path below the library tells them.

    `Artist/Album/07 Title.mp3`, `Artist/Title.mp3` and `Artist - Title.mp3` are understood; folders that are numbers, as
    FMA's archives have them, say nothing.
    """
    stem = path.stem.replace("_", " ").strip()
    folders = [folder.replace("_", " ") for folder in path.parts[:-1] if not folder.isdecimal()]
    number = _NUMBERED.match(stem)
    title = stem[number.end() :] if number else stem
    artist, dash, rest = title.partition(" - ")
    if dash and artist.strip() and rest.strip():
        title = rest.strip()
    else:
        artist = folders[-2] if len(folders) > 1 else folders[-1] if folders else UNKNOWN_ARTIST
    return {
        "title": _clean(title or path.name),
        "artist": _clean(artist),
        "album": _clean(folders[-1]) if len(folders) > 1 else None,
        "track_no": int(number[1]) or None if number else None,
    }


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().strip()
