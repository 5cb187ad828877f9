"""Every tag and picture of one file brought over to another, between ID3, MP4 and Vorbis comments.

FFmpeg would carry over less: it joins or drops repeated values, knows few of ID3's frames, takes an Ogg's comments for the
stream's and not the file's, and gives up on the whole file where an embedded picture is broken.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mutagen._vorbis import VCommentDict
from mutagen.flac import Picture
from mutagen.id3 import APIC, ID3, Frames
from mutagen.mp4 import MP4Cover, MP4Tags

from jobs.audio import tags

_FRONT_COVER = 3
_VORBIS_PICTURE = "metadata_block_picture"
_MP4_FORMATS = {"image/jpeg": MP4Cover.FORMAT_JPEG, "image/png": MP4Cover.FORMAT_PNG}


def copy_tags(old: Any, new: Any) -> None:
    """Bring the tags of mutagen's file `old` (None where it has none) to `new`, which FFmpeg has tagged already."""
    if old is None or old.tags is None:
        return
    kind = next((kind for kind in (ID3, MP4Tags, VCommentDict) if isinstance(old.tags, kind)), None)
    if kind is not None and isinstance(new.tags, kind):
        _COPIES[kind](old.tags, new.tags)
    else:
        _translate(old.tags, new.tags)
    if not pictures(new):
        _add_pictures(new.tags, pictures(old))


def _copy_id3(old: Any, new: Any) -> None:
    new.clear()
    for frame in old.values():
        new.add(frame)


def _copy_items(old: Any, new: Any) -> None:
    for key in old.keys():  # noqa: SIM118 - a Vorbis comment iterates over pairs
        new[key] = old[key]


_COPIES: dict[type, Callable[[Any, Any], None]] = {
    ID3: _copy_id3,
    MP4Tags: _copy_items,
    VCommentDict: _copy_items,
}


def _translate(old: Any, new: Any) -> None:
    """Set title, artist, album, number, year and genres with all their values; the rest is what FFmpeg made of it."""
    for names in tags.TAG_NAMES.values():
        id3, mp4, vorbis = names
        found = tags.values(old, names)
        if not found:
            continue
        if isinstance(new, ID3):
            new.setall(id3, [Frames[id3](encoding=3, text=found)])
        elif not isinstance(new, MP4Tags):
            new[vorbis] = found
        elif mp4 != "trkn":  # a pair of numbers, which FFmpeg gets right
            new[mp4] = found


def pictures(tagged: Any) -> list[Picture]:
    """Return the pictures in a file's tags, whatever their kind; broken ones are left out."""
    found = list(getattr(tagged, "pictures", []))
    if isinstance(tagged.tags, ID3):
        found += [_picture(p.data, p.mime, int(p.type), p.desc) for p in tagged.tags.getall("APIC")]
    elif isinstance(tagged.tags, MP4Tags):
        mimes = {number: mime for mime, number in _MP4_FORMATS.items()}
        found += [
            _picture(bytes(c), mimes.get(c.imageformat, "image/jpeg")) for c in tagged.tags.get("covr", [])
        ]
    elif isinstance(tagged.tags, VCommentDict):
        for text in tagged.tags.get(_VORBIS_PICTURE) or []:
            with suppress(Exception):  # mutagen lets struct.error and others through
                found.append(Picture(base64.b64decode(text)))
    return found


def _picture(data: bytes, mime: str, kind: int = _FRONT_COVER, description: str = "") -> Picture:
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = data, mime, kind, description
    return picture


def _add_pictures(new: Any, found: list[Picture]) -> None:
    if isinstance(new, ID3):
        for picture in found:
            while f"APIC:{picture.desc}" in new:  # ID3 tells pictures apart by their description
                picture.desc += " "
            new.add(
                APIC(encoding=3, mime=picture.mime, type=picture.type, desc=picture.desc, data=picture.data)
            )
    elif isinstance(new, MP4Tags):
        covers = [MP4Cover(p.data, _MP4_FORMATS[p.mime]) for p in found if p.mime in _MP4_FORMATS]
        if covers:
            new["covr"] = covers
    elif found:
        new[_VORBIS_PICTURE] = [base64.b64encode(picture.write()).decode() for picture in found]
