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
from mutagen.apev2 import APEv2
from mutagen.flac import Picture
from mutagen.id3 import APIC, COMM, ID3, TXXX, USLT, Frames
from mutagen.mp4 import MP4Cover, MP4Tags
from mutagen.oggopus import OggOpus

from jobs.audio.gains import r128_value, read_gains
from jobs.audio.lyrics import timed_frames, to_lrc
from jobs.audio.tag_names import TAG_NAMES, TagName, TagTexts
from jobs.audio.tags import recording_mbid

_FRONT_COVER, _BACK_COVER = 3, 4
_APE_BINARY = 1
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
    if isinstance(target, OggOpus):
        _set_r128(source.tags, target.tags)
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
    """Set every tag of TAG_NAMES with all its values; other tags stay as FFmpeg has translated them."""
    texts = TagTexts([source_tags])
    for field, name in TAG_NAMES.items():
        values = texts.all(field)
        if values:
            _set_values(target_tags, name, values)
    _copy_gains(source_tags, texts, target_tags)
    recording = recording_mbid(texts)  # ID3 has it in a frame of its own kind
    if recording and not texts.all("recording_mbid"):
        _set_values(target_tags, TAG_NAMES["recording_mbid"], [recording])
    timed = [] if isinstance(target_tags, ID3) else timed_frames([source_tags])
    if timed:
        _set_values(target_tags, TAG_NAMES["lyrics"], [to_lrc(timed[0])])


def add_missing(sources: list[Any], target_tags: Any) -> None:
    """Set the values that `target_tags` lacks from a file's other tags (APEv2, RIFF INFO), in their order."""
    present = TagTexts([target_tags])
    texts = TagTexts(sources)
    for field, name in TAG_NAMES.items():
        values = texts.all(field)
        if values and not present.all(field):
            _set_values(target_tags, name, values)


def _copy_gains(source_tags: Any, texts: TagTexts, target_tags: Any) -> None:
    """Set the gains as ReplayGain, which players of every format read."""
    gains = read_gains(texts, [source_tags])
    for kind in ("track", "album"):
        gain, peak = gains[f"{kind}_gain_db"], gains[f"{kind}_peak"]
        if gain is not None:
            _set_values(target_tags, TAG_NAMES[f"{kind}_gain"], [f"{gain:.2f} dB"])
        if peak is not None:
            _set_values(target_tags, TAG_NAMES[f"{kind}_peak"], [f"{peak:.6f}"])


def _set_r128(source_tags: Any, target_tags: Any) -> None:
    """Set the gains that players of Opus read (RFC 7845), beside ReplayGain."""
    gains = read_gains(TagTexts([source_tags]), [source_tags])
    for kind in ("track", "album"):
        gain = gains[f"{kind}_gain_db"]
        if gain is not None:
            target_tags[f"r128_{kind}_gain"] = str(r128_value(gain))


def _set_values(target_tags: Any, name: TagName, texts: list[str]) -> None:
    # FFmpeg joins several values, and may have them under another name of the tag.
    for key in [key for key in target_tags.keys() if key.lower() in name.all_names]:  # noqa: SIM118
        if key not in ("trkn", "disk"):
            del target_tags[key]
    if isinstance(target_tags, ID3):
        _set_frame(target_tags, name.id3, texts)
    elif not isinstance(target_tags, MP4Tags):
        target_tags[name.vorbis] = texts
    elif name.mp4.startswith("----"):
        target_tags[name.mp4] = [text.encode() for text in texts]
    elif name.mp4 == "cpil":
        target_tags["cpil"] = texts[0].lower() not in ("0", "false", "no")
    elif name.mp4 == "tmpo":
        target_tags["tmpo"] = [round(float(text)) for text in texts if text.replace(".", "").isdigit()]
    elif name.mp4 not in ("trkn", "disk"):  # pairs of numbers, which FFmpeg translates correctly
        target_tags[name.mp4] = texts


def _set_frame(target_tags: ID3, name: str, texts: list[str]) -> None:
    kind, _, description = name.partition(":")
    if kind == "TXXX":
        target_tags.setall(name, [TXXX(encoding=3, desc=description, text=texts)])
    elif kind == "COMM":
        target_tags.setall("COMM", [COMM(encoding=3, lang="XXX", desc="", text=texts[:1])])
    elif kind == "USLT":
        target_tags.setall("USLT", [USLT(encoding=3, lang="XXX", desc="", text=texts[0])])
    else:
        target_tags.setall(name, [Frames[name](encoding=3, text=texts)])


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
    elif isinstance(tag_block, APEv2):
        for name in ("Cover Art (Front)", "Cover Art (Back)"):
            if name in tag_block and tag_block[name].kind == _APE_BINARY:
                data = tag_block[name].value.partition(b"\0")[2]  # after a file name
                found.append(_picture(data, _mime(data), _FRONT_COVER if "Front" in name else _BACK_COVER))
    elif isinstance(tag_block, VCommentDict):
        for text in tag_block.get(_VORBIS_PICTURE) or []:
            with suppress(Exception):  # on a broken picture mutagen raises struct.error and others
                found.append(Picture(base64.b64decode(text)))
    return found


def _mime(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


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
