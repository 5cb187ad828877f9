"""Read title, artist, album, number and disc of a file from its path, where its tags say nothing."""

import re
from pathlib import PurePath
from typing import Any

from jobs.audio.tag_names import clean

# Track numbers in names: "07 Title", "07. Title", "7 - Title", "[07] Title", "1-07 Title" (disc 1).
_NUMBER_PREFIX = re.compile(
    r"^(?:(?P<disc>\d{1,2})-(?=\d\d\b))?"
    r"(?:(?P<number>\d{1,3})(?:\s*[-.)]\s*|\s+)|[\[(](?P<in_brackets>\d{1,3})[\])]\s*[-.]?\s*)(?=\S)"
)

# The same after an artist, where only a dash or a point makes it a number: not "Artist - 99 Problems".
_NUMBER_AFTER_ARTIST = re.compile(r"^(\d{1,3})\s*(?:\s-|\.)\s+(?=\S)")

# A folder of one medium of an album: "CD 1", "Disc 02", "disk2 - Live", "LP A", "Side B".
_DISC_FOLDER = re.compile(
    r"(?:cd|dis[ck]|dvd|lp|vinyl|side|tape)[\s.#-]*(?P<disc>\d{1,2}|[a-h]|i{1,3}|iv)(?:\W.*)?", re.I
)
_ROMAN_DISCS = ("i", "ii", "iii", "iv")

UNKNOWN_ARTIST = "Unknown artist"


def tags_from_path(path: PurePath) -> dict[str, Any]:
    """Return title, artist, album, track_no and disc_no as parsed from a path below the library.

    Understands `Artist/Album/07 Title.mp3`, `Artist/Album/CD 1/07 Title.mp3`, `Artist/Album/1-07 Title.mp3`,
    `Artist/Title.mp3`, `Artist - Title.mp3` and `Artist - Album - 07 Title.mp3`. Folders whose names are
    numbers, as in FMA's archives, are ignored.
    """
    stem = path.stem.replace("_", " ").strip()
    folders = [folder.replace("_", " ") for folder in path.parts[:-1] if not folder.isdecimal()]
    disc = None
    while len(folders) > 1 and (disc_folder := _DISC_FOLDER.fullmatch(folders[-1].strip())):
        disc = disc or _parse_disc(disc_folder["disc"])
        folders.pop()
    prefix = _NUMBER_PREFIX.match(stem)
    if prefix is not None and prefix["disc"]:
        disc = int(prefix["disc"]) or disc
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
        "title": clean(title or path.name) or path.name,
        "artist": clean(artist) or UNKNOWN_ARTIST,
        "album": clean(album) or None if album else None,
        "track_no": number,
        "disc_no": disc,
    }


def album_folder(path: PurePath) -> PurePath:
    """Return the folder of the album that a file belongs to: its own, or the one above `CD 1`."""
    folder = path.parent
    return folder.parent if _DISC_FOLDER.fullmatch(folder.name.replace("_", " ").strip()) else folder


def _parse_disc(text: str) -> int | None:
    if text.isdecimal():
        return int(text) or None
    lowered = text.lower()
    return _ROMAN_DISCS.index(lowered) + 1 if lowered in _ROMAN_DISCS else ord(lowered) - ord("a") + 1


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
    return int(match["number"] or match["in_brackets"]) or None, text[match.end() :]


def _artist_folder(folders: list[str]) -> str:
    """Return the artist as named by the folders of a file: .../Artist/Album or Artist."""
    if len(folders) > 1:
        return folders[-2]
    return folders[0] if folders else UNKNOWN_ARTIST
