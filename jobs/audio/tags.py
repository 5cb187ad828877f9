"""Read title, artist, album, number, year and genres of a file from its tags, else from its path."""

import re
from contextlib import suppress
from pathlib import PurePath
from typing import Any
from uuid import UUID

from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

from jobs.audio import decoding

# Names of the same tags in ID3v2, MP4 and Vorbis comments.
TAG_NAMES = {
    "title": ("TIT2", "\xa9nam", "title"),
    "artist": ("TPE1", "\xa9ART", "artist"),
    "album": ("TALB", "\xa9alb", "album"),
    "track_no": ("TRCK", "trkn", "tracknumber"),
    "year": ("TDRC", "\xa9day", "date"),
    "genres": ("TCON", "\xa9gen", "genre"),
}

# Names of MusicBrainz's recording id in lower case: ID3's UFID, the TXXX frames that some writers use, Vorbis
# comments and APE, MP4, ASF. (A "release track id" is another thing.)
_RECORDING_ID_NAMES = (
    "ufid:http://musicbrainz.org",
    "txxx:musicbrainz track id",
    "txxx:musicbrainz_trackid",
    "txxx:musicbrainz recording id",
    "musicbrainz_trackid",
    "----:com.apple.itunes:musicbrainz track id",
    "musicbrainz/track id",
)

# Track numbers in names: "07 Title", "07. Title", "7 - Title"
_NUMBER_PREFIX = re.compile(r"^(\d{1,3})(?:\s*[-.]\s*|\s+)(?=\S)")

UNKNOWN_ARTIST = "Unknown artist"


def read_tags(path: str, library: str) -> dict[str, Any]:
    """Return TRACKS' columns title to genres, and recording_mbid, of a file below `library`.

    Unknown values are None; title and artist are always known.
    """
    tagged_file = decoding.open_tags(path)
    tags = tagged_file.tags if tagged_file is not None else None
    texts: dict[str, list[str]] = {name: [] for name in TAG_NAMES}
    if tags is not None:
        texts = {name: values(tags, names) for name, names in TAG_NAMES.items()}
    from_path = tags_from_path(PurePath(path).relative_to(library))
    genres = list(dict.fromkeys(texts["genres"]))
    return {
        "title": _first(texts["title"]) or from_path["title"],
        "artist": _first(texts["artist"]) or from_path["artist"],
        "album": _first(texts["album"]) or from_path["album"],
        "track_no": _parse_number(_first(texts["track_no"]), 1, 9999) or from_path["track_no"],
        "year": _parse_number(_first(texts["year"]), 1000, 2999),
        "genre": _first(genres),
        "genres": genres,
        "recording_mbid": recording_mbid(tags) if tags is not None else None,
    }


def recording_mbid(tags: Any) -> str | None:
    """Return MusicBrainz's recording id (a UUID in lower case), or None if no tag holds a valid one."""
    keys = {str(key).lower(): key for key in tags.keys()}  # noqa: SIM118 - Vorbis comments iterate over pairs
    for name in _RECORDING_ID_NAMES:
        if name not in keys:
            continue
        for text in _tag_texts(tags[keys[name]]):
            with suppress(ValueError):
                return str(UUID(text.strip()))
    return None


def _tag_texts(tag: Any) -> list[str]:
    """Return the texts of a tag of any format: an ID3 frame, MP4's bytes, or a list of either."""
    content = getattr(tag, "data", None) or getattr(tag, "text", tag)
    items = content if isinstance(content, list) else [content]
    return [item.decode("ascii", "replace") if isinstance(item, bytes) else str(item) for item in items]


def values(tags: Any, names: tuple[str, str, str]) -> list[str]:
    """Return one tag's values as text without surrounding space, empty ones left out.

    `names` are the tag's names in ID3v2, MP4 and Vorbis comments, as in TAG_NAMES.
    """
    # Some writers end a tag with NUL.
    texts = (_valid_utf8(str(value).replace("\0", " ")) for value in _raw_values(tags, names))
    return [text for text in texts if text]


def _raw_values(tags: Any, names: tuple[str, str, str]) -> list[Any]:
    id3_name, mp4_name, vorbis_name = names
    if isinstance(tags, ID3):
        frame = tags.get(id3_name)
        if frame is None:
            return []
        return list(frame.genres if id3_name == "TCON" else frame.text)
    if isinstance(tags, MP4Tags):
        return [value[0] if isinstance(value, tuple) else value for value in tags.get(mp4_name, [])]
    found = tags.get(vorbis_name)
    if not found and vorbis_name == "date":
        found = tags.get("year")
    return list(found or [])


def _valid_utf8(text: str) -> str:
    """Return the text without surrounding space, with lone surrogates (no valid UTF-8) replaced by "?"."""
    return text.encode("utf-8", "replace").decode().strip()


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _parse_number(text: str | None, minimum: int, maximum: int) -> int | None:
    """Return the number that a text such as "7/13" or "2011-07-19" begins with, or None outside the range."""
    match = re.match(r"\d+", text or "")
    number = int(match[0][:9]) if match else 0
    return number if minimum <= number <= maximum else None


def tags_from_path(path: PurePath) -> dict[str, Any]:
    """Return title, artist, album and track_no as parsed from a path below the library.

    Understands `Artist/Album/07 Title.mp3`, `Artist/Title.mp3` and `Artist - Title.mp3`. Folders whose names
    are numbers, as in FMA's archives, are ignored.
    """
    stem = path.stem.replace("_", " ").strip()
    folders = [folder.replace("_", " ") for folder in path.parts[:-1] if not folder.isdecimal()]
    prefix = _NUMBER_PREFIX.match(stem)
    title = stem[prefix.end() :] if prefix else stem
    artist, dash, title_after_dash = title.partition(" - ")
    if dash and artist.strip() and title_after_dash.strip():
        title = title_after_dash.strip()
    else:
        artist = _artist_folder(folders)
    return {
        "title": _valid_utf8(title or path.name),
        "artist": _valid_utf8(artist),
        "album": _valid_utf8(folders[-1]) if len(folders) > 1 else None,
        "track_no": (int(prefix[1]) or None) if prefix else None,
    }


def _artist_folder(folders: list[str]) -> str:
    """Return the artist as named by the folders of a file: .../Artist/Album or Artist."""
    if len(folders) > 1:
        return folders[-2]
    return folders[0] if folders else UNKNOWN_ARTIST
