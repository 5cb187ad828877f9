"""Read title, artist, album, number, year and genres of a file from its tags, else from its path.

Each value comes from the first source that has it (docs/operating.md has the table): the format's own
tags (ID3v2, Vorbis comments, MP4 atoms), APEv2, ID3v1, RIFF INFO, FFmpeg, then folder and file names.
"""

import html
import re
import unicodedata
from contextlib import suppress
from pathlib import PurePath
from typing import Any
from uuid import UUID

from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

from jobs.audio import tag_sources

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

# Further names of a value, in the order of precedence: release and original date, and the artist of an album.
_FURTHER_NAMES = {
    "artist": (("TPE2", "aART", "albumartist"),),
    "year": (("TDRL", "", "year"), ("TDOR", "", "originaldate")),
}

# Names of the list of all artists that MusicBrainz Picard writes beside the artist as credited.
_ARTISTS_NAMES = ("TXXX:ARTISTS", "----:com.apple.iTunes:ARTISTS", "artists")

# APEv2's names where they are not those of Vorbis comments.
_APE_NAMES = {"tracknumber": "track", "date": "year", "albumartist": "album artist"}

_ASF_NAMES = {
    "title": "Title",
    "artist": "Author",
    "album": "WM/AlbumTitle",
    "tracknumber": "WM/TrackNumber",
    "date": "WM/Year",
    "genre": "WM/Genre",
    "albumartist": "WM/AlbumArtist",
    "artists": "WM/ARTISTS",
}

# Track numbers in names: "07 Title", "07. Title", "7 - Title", "[07] Title", "1-07 Title" (disc 1).
_NUMBER_PREFIX = re.compile(
    r"^(?:\d{1,2}-(?=\d\d\b))?(?:(\d{1,3})(?:\s*[-.)]\s*|\s+)|[\[(](\d{1,3})[\])]\s*[-.]?\s*)(?=\S)"
)

# The same after an artist, where only a dash or a point makes it a number: not "Artist - 99 Problems".
_NUMBER_AFTER_ARTIST = re.compile(r"^(\d{1,3})\s*(?:\s-|\.)\s+(?=\S)")

# A folder of one medium of an album: "CD 1", "Disc 02", "disk2 - Live", "LP A", "Side B".
_DISC_FOLDER = re.compile(
    r"(?:cd|dis[ck]|dvd|lp|vinyl|side|tape)[\s.#-]*(?:\d{1,2}|[a-h]|i{1,3}|iv)(?:\W.*)?", re.I
)

# An entity as HTML writes it; "&" without ";" is an ordinary character.
_HTML_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

# A year in a date of any form; "20110719" has no border after it.
_YEAR = re.compile(r"(?<!\d)([12]\d{3})(?:(?!\d)|(?=[01]\d[0-3]\d(?!\d)))")

UNKNOWN_ARTIST = "Unknown artist"


def read_tags(path: str, library: str) -> dict[str, Any]:
    """Return TRACKS' columns title to genres, artists, recording_mbid and tag_error, of a file below
    `library`.

    Unknown values are None; title and artist are always known. A tag that cannot be read costs its values,
    and `tag_error` says so. Raises OSError if the file cannot be read.
    """
    sources = tag_sources.read_sources(path)
    texts = {name: _first_values(sources.tags, name) for name in TAG_NAMES}
    credited = texts["artist"]
    listed = _first_of(sources.tags, (_ARTISTS_NAMES,))
    from_path = tags_from_path(PurePath(path).relative_to(library))
    genres = list(dict.fromkeys(texts["genres"]))
    artist = _first(credited) or _first(listed) or from_path["artist"]
    return {
        "title": _first(texts["title"]) or from_path["title"],
        "artist": artist,
        "artists": list(dict.fromkeys(listed or credited)) or [artist],
        "album": _first(texts["album"]) or from_path["album"],
        "track_no": _parse_number(_first(texts["track_no"]), 1, 9999) or from_path["track_no"],
        "year": _parse_year(texts["year"]),
        "genre": _first(genres),
        "genres": genres,
        "recording_mbid": next(filter(None, map(recording_mbid, sources.tags)), None),
        "tag_error": tag_error(sources.error) if sources.error else None,
    }


def tag_error(reason: str) -> str:
    """Return the line about a tag that cannot be read, as REJECTS would say it; the audio is used."""
    return f"expected tags that can be read, found a broken one ({_clean(reason)}); write them again"


def _first_values(sources: list[Any], name: str) -> list[str]:
    """Return the values of TAG_NAMES' `name` in the first source that has any."""
    return _first_of(sources, (TAG_NAMES[name], *_FURTHER_NAMES.get(name, ())))


def _first_of(sources: list[Any], alternatives: tuple[tuple[str, str, str], ...]) -> list[str]:
    """Return the first non-empty values, by alternative, then by source; HTML entities are decoded once."""
    for names in alternatives:
        for tags in sources:
            texts = [_decode_entities(text) for text in values(tags, names)]
            if any(texts):
                return [text for text in texts if text]
    return []


def _decode_entities(text: str) -> str:
    """Return the text with HTML entities such as `&quot;` as the characters that they mean."""
    return _clean(_HTML_ENTITY.sub(lambda match: html.unescape(match[0]), text))


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
    texts = (_clean(str(value)) for value in _raw_values(tags, names))
    return [text for text in texts if text]


def _raw_values(tags: Any, names: tuple[str, str, str]) -> list[Any]:
    id3_name, mp4_name, vorbis_name = names
    if isinstance(tags, ID3):
        frame = tags.get(id3_name)
        if frame is None:
            return []
        return list(frame.genres if id3_name == "TCON" else frame.text)
    if isinstance(tags, MP4Tags):
        found = tags.get(mp4_name, [])
        return [value[0] if isinstance(value, tuple) else _decode_bytes(value) for value in found]
    if isinstance(tags, APEv2):
        for name in (_APE_NAMES.get(vorbis_name, ""), vorbis_name):
            if name in tags and tags[name].kind == 0:  # text
                return list(tags[name])
        return []
    if isinstance(tags, ASFTags):
        return list(tags.get(_ASF_NAMES.get(vorbis_name, ""), []) or tags.get(vorbis_name, []))
    return list(tags.get(vorbis_name) or [])


def _decode_bytes(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _clean(text: str) -> str:
    """Return valid UTF-8 text in one line without surrounding space, composed (NFC).

    Some writers end a tag with NUL or leave a byte order mark; lone surrogates (no valid UTF-8) become "?".
    macOS writes names decomposed, so that "Björk" of a folder and of a tag would be two artists.
    """
    printable = "".join(
        " " if unicodedata.category(c) == "Cc" else c for c in text if c not in "\ufeff\ufffe"
    )
    return unicodedata.normalize("NFC", printable.encode("utf-8", "replace").decode()).strip()


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _parse_number(text: str | None, minimum: int, maximum: int) -> int | None:
    """Return the number that a text such as "7/13" or "2011-07-19" begins with, or None outside the range."""
    match = re.match(r"\d+", text or "")
    number = int(match[0][:9]) if match else 0
    return number if minimum <= number <= maximum else None


def _parse_year(texts: list[str]) -> int | None:
    """Return the first year, 1000 to 2999, in dates of any form: "2011-07-19", "19.07.2011", "July 2011"."""
    matches = (_YEAR.search(text) for text in texts)
    return next((int(match[1]) for match in matches if match), None)


def tags_from_path(path: PurePath) -> dict[str, Any]:
    """Return title, artist, album and track_no as parsed from a path below the library.

    Understands `Artist/Album/07 Title.mp3`, `Artist/Album/CD 1/07 Title.mp3`, `Artist/Album/1-07 Title.mp3`,
    `Artist/Title.mp3`, `Artist - Title.mp3` and `Artist - Album - 07 Title.mp3`. Folders whose names are
    numbers, as in FMA's archives, are ignored.
    """
    stem = path.stem.replace("_", " ").strip()
    folders = [folder.replace("_", " ") for folder in path.parts[:-1] if not folder.isdecimal()]
    while len(folders) > 1 and _DISC_FOLDER.fullmatch(folders[-1].strip()):
        folders.pop()
    number, title = _split_number(stem)
    album = folders[-1] if len(folders) > 1 else None
    artist, dash, title_after_dash = title.partition(" - ")
    if dash and artist.strip() and title_after_dash.strip():
        title = title_after_dash.strip()
        if number is None:
            number, title, album_in_name = _split_album(title)
            album = album_in_name or album
    else:
        artist = _artist_folder(folders)
    return {
        "title": _clean(title or path.name) or path.name,
        "artist": _clean(artist) or UNKNOWN_ARTIST,
        "album": _clean(album) or None if album else None,
        "track_no": number,
    }


def _split_album(text: str) -> tuple[int | None, str, str]:
    """Return number, title and album of a name's part after the artist: "Album - 07 Title", "07 - Title"."""
    match = _NUMBER_AFTER_ARTIST.match(text)
    if match is not None:
        return int(match[1]) or None, text[match.end() :], ""
    album, dash, last = text.rpartition(" - ")
    number, title = _split_number(last)
    if dash and number is not None:
        return number, title, album.strip()
    return None, text, ""


def _split_number(text: str) -> tuple[int | None, str]:
    """Return the track number that a name begins with, None without one, and the rest of the name."""
    match = _NUMBER_PREFIX.match(text)
    if match is None:
        return None, text
    return int(match[1] or match[2]) or None, text[match.end() :]


def _artist_folder(folders: list[str]) -> str:
    """Return the artist as named by the folders of a file: .../Artist/Album or Artist."""
    if len(folders) > 1:
        return folders[-2]
    return folders[0] if folders else UNKNOWN_ARTIST
