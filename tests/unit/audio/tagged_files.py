"""Short files of every format with every tag that Segue reads, written with mutagen's own names of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TXXX, UFID, Frames
from mutagen.mp4 import MP4FreeForm

MBIDS = [f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "abcdef"]

# What `read_tags` returns of each of these files; gains are ReplayGain's unless a format has others.
EXPECTED: dict[str, Any] = {
    "title": "Aria",
    "artist": "Ada feat. Eve",
    "artists": ["Ada", "Eve"],
    "album": "Suite",
    "album_artist": "Ada & The Sea",
    "album_artists": ["Ada", "The Sea"],
    "track_no": 7,
    "disc_no": 2,
    "disc_title": "Night",
    "is_compilation": True,
    "title_sort": "Aria, The",
    "artist_sort": "Lovelace, Ada",
    "album_sort": "Suite, A",
    "album_artist_sort": "Sea, Ada &",
    "genre": "Dream Pop",
    "genres": ["Dream Pop", "Folk"],
    "year": 2011,
    "release_date": "2011-07-19",
    "original_date": "1999-02",
    "bpm": 128.0,
    "comment": "first line\nsecond",
    "isrcs": ["GBAYE0601498"],
    "recording_mbid": MBIDS[0],
    "release_track_mbid": MBIDS[1],
    "release_mbid": MBIDS[2],
    "artist_mbids": [MBIDS[3], MBIDS[4]],
    "album_artist_mbids": [MBIDS[5]],
    "track_gain_db": -6.54,
    "track_peak": 0.988,
    "album_gain_db": -7.0,
    "album_peak": 1.01,
    "tag_error": None,
}

# Names of free tags, as MusicBrainz Picard writes them into ID3 and MP4, with their values.
_FREE = {
    "ARTISTS": ["Ada", "Eve"],
    "ALBUMARTISTS": ["Ada", "The Sea"],
    "REPLAYGAIN_TRACK_GAIN": ["-6.54 dB"],
    "REPLAYGAIN_TRACK_PEAK": ["0.988000"],
    "REPLAYGAIN_ALBUM_GAIN": ["-7.00 dB"],
    "REPLAYGAIN_ALBUM_PEAK": ["1.010000"],
    "MusicBrainz Release Track Id": [MBIDS[1]],
    "MusicBrainz Album Id": [MBIDS[2]],
    "MusicBrainz Artist Id": [MBIDS[3], MBIDS[4]],
    "MusicBrainz Album Artist Id": [MBIDS[5]],
}

_ID3 = {
    "TIT2": ["Aria"],
    "TPE1": ["Ada feat. Eve"],
    "TALB": ["Suite"],
    "TPE2": ["Ada & The Sea"],
    "TRCK": ["7/9"],
    "TPOS": ["2/2"],
    "TSST": ["Night"],
    "TCMP": ["1"],
    "TSOT": ["Aria, The"],
    "TSOP": ["Lovelace, Ada"],
    "TSOA": ["Suite, A"],
    "TSO2": ["Sea, Ada &"],
    "TCON": ["Dream Pop", "Folk"],
    "TDRC": ["2011-07-19"],
    "TDOR": ["1999-02"],
    "TBPM": ["128"],
    "TSRC": ["GBAYE0601498"],
}

_VORBIS = {
    "title": ["Aria"],
    "artist": ["Ada feat. Eve"],
    "artists": ["Ada", "Eve"],
    "album": ["Suite"],
    "albumartist": ["Ada & The Sea"],
    "albumartists": ["Ada", "The Sea"],
    "tracknumber": ["7"],
    "discnumber": ["2"],
    "discsubtitle": ["Night"],
    "compilation": ["1"],
    "titlesort": ["Aria, The"],
    "artistsort": ["Lovelace, Ada"],
    "albumsort": ["Suite, A"],
    "albumartistsort": ["Sea, Ada &"],
    "genre": ["Dream Pop", "Folk"],
    "date": ["2011-07-19"],
    "originaldate": ["1999-02"],
    "bpm": ["128"],
    "comment": ["first line\nsecond"],
    "isrc": ["GBAYE0601498"],
    "musicbrainz_trackid": [MBIDS[0]],
    "musicbrainz_releasetrackid": [MBIDS[1]],
    "musicbrainz_albumid": [MBIDS[2]],
    "musicbrainz_artistid": [MBIDS[3], MBIDS[4]],
    "musicbrainz_albumartistid": [MBIDS[5]],
    **{name.lower(): values for name, values in _FREE.items() if name.startswith("REPLAYGAIN")},
}

_MP4 = {
    "\xa9nam": ["Aria"],
    "\xa9ART": ["Ada feat. Eve"],
    "\xa9alb": ["Suite"],
    "aART": ["Ada & The Sea"],
    "trkn": [(7, 9)],
    "disk": [(2, 2)],
    "cpil": True,
    "sonm": ["Aria, The"],
    "soar": ["Lovelace, Ada"],
    "soal": ["Suite, A"],
    "soaa": ["Sea, Ada &"],
    "\xa9gen": ["Dream Pop", "Folk"],
    "\xa9day": ["2011-07-19"],
    "tmpo": [128],
    "\xa9cmt": ["first line\nsecond"],
}

# File name: how its tags are written.
FORMATS: dict[str, Callable[[Path], None]] = {}


def _writes(*names: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def register(function: Callable[[Path], None]) -> Callable[[Path], None]:
        FORMATS.update(dict.fromkeys(names, function))
        return function

    return register


def id3_tags() -> ID3:
    """Return all tags as ID3 frames."""
    tags = ID3()
    for name, values in _ID3.items():
        tags.add(Frames[name](encoding=3, text=values))
    for name, values in _FREE.items():
        tags.add(TXXX(encoding=3, desc=name, text=values))
    tags.add(Frames["COMM"](encoding=3, lang="eng", desc="", text=["first line\nsecond"]))
    tags.add(Frames["COMM"](encoding=3, lang="eng", desc="iTunNORM", text=[" 00000123" * 10]))
    tags.add(UFID(owner="http://musicbrainz.org", data=MBIDS[0].encode()))
    return tags


@_writes("id3.mp3")
def _write_id3(path: Path) -> None:
    id3_tags().save(path)


@_writes("riff.wav")
def _write_chunk(path: Path) -> None:
    tagged = mutagen.File(path)
    tagged.add_tags()
    for frame in id3_tags().values():
        tagged.tags.add(frame)
    tagged.save()


@_writes("ape.mp3")
def _write_ape(path: Path) -> None:
    tags = APEv2()
    renamed = {"tracknumber": "Track", "discnumber": "Disc", "date": "Year", "albumartist": "Album Artist"}
    for name, values in _VORBIS.items():
        tags[renamed.get(name, name.title())] = values
    tags.save(path)


@_writes("xiph.flac", "xiph.ogg", "xiph.opus")
def _write_vorbis(path: Path) -> None:
    tagged = mutagen.File(path)
    tagged.update(_VORBIS)
    tagged.save()


@_writes("atoms.m4a")
def _write_mp4(path: Path) -> None:
    tagged = mutagen.File(path)
    free = {**_FREE, "DISCSUBTITLE": ["Night"], "ISRC": ["GBAYE0601498"], "originaldate": ["1999-02"]}
    free["MusicBrainz Track Id"] = [MBIDS[0]]
    tagged.update(_MP4)
    for name, values in free.items():
        tagged[f"----:com.apple.iTunes:{name}"] = [MP4FreeForm(value.encode()) for value in values]
    tagged.save()
