"""What each tag is called in each format, and its values as text, whatever the format.

The one list of names: `tags` reads by it, `tag_copy` writes by it.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.id3 import COMM, ID3, TCON, UFID, USLT, TextFrame
from mutagen.mp4 import MP4Cover, MP4Tags

# An entity as HTML writes it; "&" without ";" is an ordinary character.
_HTML_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_NOT_A_CHARACTER = re.compile("[\ufeff\ufffe]")
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all but the line break

# Length of one value; some programs store whole files in a comment.
_MAX_TEXT = 200_000


@dataclass(frozen=True)
class TagName:
    """The names of one tag; "" where a format has none."""

    id3: str
    mp4: str
    vorbis: str
    # Further names, in lower case: APEv2's, ASF's, FFmpeg's, and those of other programs.
    aliases: tuple[str, ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name in lower case, in the order of precedence within one tag."""
        names = (self.id3, self.mp4, self.vorbis)
        return (*(name.lower() for name in names if name), *self.aliases)


def _text_frame(name: str, *aliases: str, vorbis: str = "", frame: str = "", atom: str = "") -> TagName:
    """Return a tag that ID3 and MP4 hold under a free name, unless there is a `frame` or an `atom` for it."""
    free_id3 = f"TXXX:{name}"
    free_mp4 = f"----:com.apple.iTunes:{name}"
    vorbis = vorbis or name.lower()
    more = {free_id3.lower(), f"txxx:{vorbis}", free_mp4.lower(), f"----:com.apple.itunes:{vorbis}"}
    return TagName(frame or free_id3, atom or free_mp4, vorbis, (*sorted(more), *aliases))


TAG_NAMES = {
    "title": TagName("TIT2", "\xa9nam", "title"),
    "artist": TagName("TPE1", "\xa9ART", "artist", ("author",)),
    "artists": _text_frame("ARTISTS", "wm/artists"),
    "album": TagName("TALB", "\xa9alb", "album", ("wm/albumtitle",)),
    "album_artist": TagName(
        *("TPE2", "aART", "albumartist"),
        ("album artist", "album_artist", "wm/albumartist", "txxx:albumartist", "txxx:album artist"),
    ),
    "album_artists": _text_frame("ALBUMARTISTS", "album_artists", "txxx:album_artists"),
    "track_no": TagName("TRCK", "trkn", "tracknumber", ("track", "wm/tracknumber")),
    "disc_no": TagName("TPOS", "disk", "discnumber", ("disc", "wm/partofset")),
    "disc_title": _text_frame("DISCSUBTITLE", "setsubtitle", "wm/setsubtitle", frame="TSST"),
    "is_compilation": TagName(
        *("TCMP", "cpil", "compilation"), ("txxx:compilation", "itunescompilation", "wm/iscompilation")
    ),
    "title_sort": TagName("TSOT", "sonm", "titlesort", ("txxx:titlesort",)),
    "artist_sort": TagName("TSOP", "soar", "artistsort", ("txxx:artistsort", "wm/artistsortorder")),
    "album_sort": TagName("TSOA", "soal", "albumsort", ("txxx:albumsort", "wm/albumsortorder")),
    "album_artist_sort": TagName(
        *("TSO2", "soaa", "albumartistsort"), ("txxx:albumartistsort", "wm/albumartistsortorder")
    ),
    "genres": TagName("TCON", "\xa9gen", "genre", ("wm/genre",)),
    "date": TagName("TDRC", "\xa9day", "date", ("year", "wm/year")),
    "release_date": _text_frame("RELEASEDATE", "release date", frame="TDRL"),
    "original_date": _text_frame(
        *("ORIGINALDATE", "originalyear", "txxx:originalyear", "wm/originalreleasetime"),
        *("wm/originalreleaseyear", "----:com.apple.itunes:originalyear"),
        frame="TDOR",
    ),
    "bpm": TagName("TBPM", "tmpo", "bpm", ("txxx:bpm", "txxx:fbpm", "tempo", "wm/beatsperminute")),
    "comment": TagName("COMM", "\xa9cmt", "comment", ("description",)),
    "isrc": _text_frame("ISRC", "wm/isrc", frame="TSRC"),
    "track_gain": _text_frame("REPLAYGAIN_TRACK_GAIN"),
    "track_peak": _text_frame("REPLAYGAIN_TRACK_PEAK"),
    "album_gain": _text_frame("REPLAYGAIN_ALBUM_GAIN"),
    "album_peak": _text_frame("REPLAYGAIN_ALBUM_PEAK"),
    "lyrics": TagName(
        *("USLT", "\xa9lyr", "lyrics"),
        ("unsyncedlyrics", "unsynced lyrics", "wm/lyrics", "txxx:lyrics", "txxx:uslt", "txxx:unsyncedlyrics"),
    ),
    # Lines with times, as in .lrc files; ID3 has SYLT frames besides.
    "synced_lyrics": _text_frame("SYNCEDLYRICS", "synced lyrics"),
    # Opus' gains, as integers; see `jobs.audio.gains`.
    "r128_track_gain": _text_frame("R128_TRACK_GAIN"),
    "r128_album_gain": _text_frame("R128_ALBUM_GAIN"),
    # MusicBrainz calls the tag of a recording's id "track id", and that of a release's track another.
    "recording_mbid": _text_frame(
        *("MusicBrainz Track Id", "txxx:musicbrainz recording id", "musicbrainz/track id"),
        vorbis="musicbrainz_trackid",
    ),
    "release_track_mbid": _text_frame(
        "MusicBrainz Release Track Id", "musicbrainz/release track id", vorbis="musicbrainz_releasetrackid"
    ),
    "release_mbid": _text_frame("MusicBrainz Album Id", "musicbrainz/album id", vorbis="musicbrainz_albumid"),
    "artist_mbids": _text_frame(
        "MusicBrainz Artist Id", "musicbrainz/artist id", vorbis="musicbrainz_artistid"
    ),
    "album_artist_mbids": _text_frame(
        "MusicBrainz Album Artist Id", "musicbrainz/album artist id", vorbis="musicbrainz_albumartistid"
    ),
}

# Where ID3 has MusicBrainz's recording id besides TXXX frames.
RECORDING_ID_OWNER = "http://musicbrainz.org"


def texts_by_name(tags: Any) -> dict[str, list[str]]:
    """Return all text values of a tag of any format by their name in lower case; empty ones are left out.

    HTML entities are decoded once, control characters removed; line breaks stay.
    """
    found: dict[str, list[str]] = {}
    for name, raw_values in _items(tags):
        texts = [_decode_entities(clean_lines(str(value)[:_MAX_TEXT])) for value in raw_values]
        found.setdefault(name.lower(), []).extend(text for text in texts if text)
    return found


def _items(tags: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    if isinstance(tags, ID3):
        yield from _id3_items(tags)
    elif isinstance(tags, MP4Tags):
        for name, values in tags.items():
            if isinstance(values, bool):
                yield name, [int(values)]
            elif isinstance(values, list) and not (values and isinstance(values[0], MP4Cover)):
                yield name, map(_mp4_value, values)
    elif isinstance(tags, APEv2):
        yield from ((name, list(value)) for name, value in tags.items() if value.kind == 0)  # 0: text
    elif isinstance(tags, ASFTags):
        yield from ((name, [value]) for name, value in tags)
    else:
        yield from ((name, list(values)) for name, values in tags.items())


def _id3_items(tags: ID3) -> Iterator[tuple[str, Iterable[Any]]]:
    for frame in tags.values():
        if isinstance(frame, TCON):
            yield "TCON", frame.genres
        elif isinstance(frame, COMM):
            yield f"COMM:{frame.desc}" if frame.desc else "COMM", frame.text
        elif isinstance(frame, USLT):
            yield "USLT", [frame.text]
        elif isinstance(frame, TextFrame):
            yield frame.HashKey, frame.text
        elif isinstance(frame, UFID):
            yield frame.HashKey, [frame.data.decode("ascii", "replace")]


def _mp4_value(value: Any) -> Any:
    if isinstance(value, tuple):  # number and total
        return value[0] or ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _decode_entities(text: str) -> str:
    """Return the text with HTML entities such as `&quot;` as the characters that they mean."""
    decoded = _HTML_ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text if decoded == text else clean_lines(decoded)


def clean_lines(text: str) -> str:
    """Return valid UTF-8 text, composed (NFC), without control characters except line breaks, and trimmed.

    Some writers end a tag with NUL or leave a byte order mark; lone surrogates (no valid UTF-8) become "?".
    macOS writes names decomposed, so that "Björk" of a folder and of a tag would be two artists.
    """
    lines = _NOT_A_CHARACTER.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    valid = _CONTROL.sub(" ", lines).encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFC", valid).strip()


def clean(text: str) -> str:
    """Return valid UTF-8 text in one line without surrounding space."""
    return clean_lines(text).replace("\n", " ")


class TagTexts:
    """The texts of a file's tags, in the order of precedence of `tag_sources`."""

    def __init__(self, sources: Iterable[Any]) -> None:
        self._sources = [texts_by_name(tags) for tags in sources]

    def all(self, field: str) -> list[str]:
        """Return the values of a field of TAG_NAMES in the first tag that has any."""
        return self.named(*TAG_NAMES[field].all_names)

    def named(self, *names: str) -> list[str]:
        """Return the values of the first of these names, in lower case, in the first tag that has any."""
        for texts in self._sources:
            for name in names:
                if texts.get(name):
                    return texts[name]
        return []

    def by_source(self, *names: str) -> Iterator[str]:
        """Yield the values of these names, in lower case, in every tag."""
        for texts in self._sources:
            for name in names:
                yield from texts.get(name, ())

    def first(self, field: str) -> str | None:
        """Return the first value of a field in one line, or None."""
        return next((clean(text) for text in self.all(field)), None)
