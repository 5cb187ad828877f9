from pathlib import PurePath

import mutagen
import pytest
from mutagen.id3 import ID3, TALB, TCON, TDRC, TIT2, TPE1, TRCK, TXXX, UFID
from mutagen.mp4 import MP4FreeForm, MP4Tags

from jobs.audio.tags import UNKNOWN_ARTIST, read_tags, recording_mbid, tags_from_path


def test_id3_tags_precede_path(tone, tmp_path):
    path = tone("Folder/File.mp3")
    tagged = mutagen.File(path)
    tagged.add_tags()
    for frame in (
        TIT2(text="Aria"),
        TPE1(text="Ada"),
        TALB(text="Suite"),
        TRCK(text="7/13"),
        TDRC(text="2011-07-19"),
    ):
        tagged.tags.add(frame)
    tagged.tags.add(TCON(text=["(17)", "Folk"]))
    tagged.save()
    assert read_tags(str(path), str(tmp_path)) == {
        "title": "Aria",
        "artist": "Ada",
        "album": "Suite",
        "track_no": 7,
        "year": 2011,
        "genre": "Rock",  # ID3v1's number 17
        "genres": ["Rock", "Folk"],
        "recording_mbid": None,
    }


def test_vorbis_comments_are_read(tone, tmp_path):
    path = tone("File.flac")
    tagged = mutagen.File(path)
    tagged.update({"TITLE": "Aria", "Artist": "Ada", "date": "1999", "genre": ["Folk", "", "Folk"]})
    tagged.save()
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artist"], found["year"], found["genres"]) == (
        "Aria",
        "Ada",
        1999,
        ["Folk"],
    )


@pytest.mark.parametrize(
    ("path", "artist", "album", "number", "title"),
    [
        ("Ada/Suite/07 Aria.mp3", "Ada", "Suite", 7, "Aria"),
        ("Ada/07. Aria.mp3", "Ada", None, 7, "Aria"),
        ("Ada_-_Aria_in_D.ogg", "Ada", None, None, "Aria in D"),
        ("Aria.mp3", UNKNOWN_ARTIST, None, None, "Aria"),
        ("000/000002.mp3", UNKNOWN_ARTIST, None, None, "000002"),
        ("1999.mp3", UNKNOWN_ARTIST, None, None, "1999"),
        ("Music/Ada/Suite/1 - Aria.mp3", "Ada", "Suite", 1, "Aria"),
    ],
)
def test_tags_from_path(path, artist, album, number, title):
    found = tags_from_path(PurePath(path))
    assert (found["artist"], found["album"], found["track_no"], found["title"]) == (
        artist,
        album,
        number,
        title,
    )


def test_invalid_year_and_number_are_none(tone, tmp_path):
    path = tone("File.flac")
    tagged = mutagen.File(path)
    tagged.update({"date": "next year", "tracknumber": "0"})
    tagged.save()
    found = read_tags(str(path), str(tmp_path))
    assert found["year"] is None and found["track_no"] is None


MBID = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"


def id3(*frames):
    tags = ID3()
    for frame in frames:
        tags.add(frame)
    return tags


def mp4(name, value):
    tags = MP4Tags()
    tags[f"----:com.apple.iTunes:{name}"] = [MP4FreeForm(value)]
    return tags


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (id3(UFID(owner="http://musicbrainz.org", data=MBID.encode())), MBID),
        (id3(TXXX(desc="MusicBrainz Track Id", text=[MBID.upper()])), MBID),
        (id3(TXXX(desc="MUSICBRAINZ_TRACKID", text=[MBID])), MBID),
        (
            id3(
                UFID(owner="http://musicbrainz.org", data=b"1234"),
                TXXX(desc="MusicBrainz Track Id", text=MBID),
            ),
            MBID,
        ),
        (id3(TXXX(desc="MusicBrainz Release Track Id", text=MBID)), None),
        (id3(UFID(owner="http://www.cddb.com/id3/taginfo1.html", data=MBID.encode())), None),
        (mp4("MusicBrainz Track Id", MBID.encode()), MBID),
        (mp4("MusicBrainz Album Id", MBID.encode()), None),
        (mp4("MusicBrainz Track Id", b"\xff\xfe"), None),
    ],
)
def test_recording_mbid_by_format(tags, found):
    assert recording_mbid(tags) == found


@pytest.mark.parametrize("name", ["File.flac", "File.ogg"])
def test_recording_mbid_in_vorbis_comments(tone, tmp_path, name):
    path = tone(name)
    tagged = mutagen.File(path)
    tagged.update({"MUSICBRAINZ_TRACKID": [MBID], "musicbrainz_releasetrackid": ["0" * 32]})
    tagged.save()
    assert read_tags(str(path), str(tmp_path))["recording_mbid"] == MBID
