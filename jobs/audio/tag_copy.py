"""Copy every tag and picture from one file to another, between ID3, MP4 and Vorbis comments.

FFmpeg would copy less: it joins or drops repeated values, knows few of ID3's frames, takes an Ogg's comments
for the stream's and not the file's, and gives up on the whole file if an embedded picture is broken.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Private, but the one class that all Vorbis comments share; tests/unit/audio/test_tag_copy.py checks that it
# stays so.
from mutagen._vorbis import VCommentDict
from mutagen.flac import Picture
from mutagen.id3 import APIC, ID3, Frames
from mutagen.mp4 import MP4Cover, MP4Tags

from jobs.audio import tags

_FRONT_COVER = 3
_VORBIS_PICTURE = "metadata_block_picture"
_MP4_FORMATS = {"image/jpeg": MP4Cover.FORMAT_JPEG, "image/png": MP4Cover.FORMAT_PNG}


def copy_tags(source: Any, target: Any) -> None:
    """Copy the tags of mutagen's file `source` to `target`, which FFmpeg has tagged already.

    `source` is None for a file that mutagen does not understand: nothing is copied then.
    """
    if source is None or source.tags is None:
        return
    for tag_type, copy in _COPY_FUNCTIONS.items():
        if isinstance(source.tags, tag_type) and isinstance(target.tags, tag_type):
            copy(source.tags, target.tags)
            break
    else:
        _translate(source.tags, target.tags)
    if not pictures(target):
        _add_pictures(target.tags, pictures(source))


def _copy_id3(source_tags: Any, target_tags: Any) -> None:
    target_tags.clear()
    for frame in source_tags.values():
        target_tags.add(frame)


def _copy_items(source_tags: Any, target_tags: Any) -> None:
    for key in source_tags.keys():  # noqa: SIM118 - a Vorbis comment iterates over pairs
        target_tags[key] = source_tags[key]


_COPY_FUNCTIONS: dict[type, Callable[[Any, Any], None]] = {
    ID3: _copy_id3,
    MP4Tags: _copy_items,
    VCommentDict: _copy_items,
}


def _translate(source_tags: Any, target_tags: Any) -> None:
    """Set title, artist, album, number, year and genres with all their values.

    Other tags stay as FFmpeg has translated them.
    """
    for names in tags.TAG_NAMES.values():
        texts = tags.values(source_tags, names)
        if texts:
            _set_values(target_tags, names, texts)


def _set_values(target_tags: Any, names: tuple[str, str, str], texts: list[str]) -> None:
    id3_name, mp4_name, vorbis_name = names
    if isinstance(target_tags, ID3):
        target_tags.setall(id3_name, [Frames[id3_name](encoding=3, text=texts)])
    elif not isinstance(target_tags, MP4Tags):
        target_tags[vorbis_name] = texts
    elif mp4_name != "trkn":  # a pair of numbers, which FFmpeg translates correctly
        target_tags[mp4_name] = texts


def add_missing(sources: list[Any], target_tags: Any) -> None:
    """Set the values that `target_tags` lacks from a file's other tags (APEv2, RIFF INFO), in their order."""
    for names in tags.TAG_NAMES.values():
        if tags.values(target_tags, names):
            continue
        texts = next(filter(None, (tags.values(source, names) for source in sources)), [])
        if texts:
            _set_values(target_tags, names, texts)


def pictures(tagged_file: Any) -> list[Picture]:
    """Return the pictures in a file's tags, of any format; broken ones are left out."""
    found = list(getattr(tagged_file, "pictures", []))
    tag_block = tagged_file.tags
    if isinstance(tag_block, ID3):
        for frame in tag_block.getall("APIC"):
            found.append(_picture(frame.data, frame.mime, int(frame.type), frame.desc))
    elif isinstance(tag_block, MP4Tags):
        mime_types = {image_format: mime for mime, image_format in _MP4_FORMATS.items()}
        for cover in tag_block.get("covr", []):
            found.append(_picture(bytes(cover), mime_types.get(cover.imageformat, "image/jpeg")))
    elif isinstance(tag_block, VCommentDict):
        for text in tag_block.get(_VORBIS_PICTURE) or []:
            with suppress(Exception):  # on a broken picture mutagen raises struct.error and others
                found.append(Picture(base64.b64decode(text)))
    return found


def _picture(data: bytes, mime: str, picture_type: int = _FRONT_COVER, description: str = "") -> Picture:
    picture = Picture()
    picture.data = data
    picture.mime = mime
    picture.type = picture_type
    picture.desc = description
    return picture


def _add_pictures(target_tags: Any, new_pictures: list[Picture]) -> None:
    if isinstance(target_tags, ID3):
        for picture in new_pictures:
            while f"APIC:{picture.desc}" in target_tags:  # ID3 identifies a picture by its description
                picture.desc += " "
            frame = APIC(
                encoding=3, mime=picture.mime, type=picture.type, desc=picture.desc, data=picture.data
            )
            target_tags.add(frame)
    elif isinstance(target_tags, MP4Tags):
        covers = [
            MP4Cover(picture.data, _MP4_FORMATS[picture.mime])
            for picture in new_pictures
            if picture.mime in _MP4_FORMATS
        ]
        if covers:
            target_tags["covr"] = covers
    elif new_pictures:
        target_tags[_VORBIS_PICTURE] = [
            base64.b64encode(picture.write()).decode() for picture in new_pictures
        ]
