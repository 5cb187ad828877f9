from pathlib import PurePath

import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TALB, TCON, TDRC, TDRL, TIT2, TPE1, TRCK, TXXX, UFID
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4FreeForm, MP4Tags

from jobs.audio.path_tags import UNKNOWN_ARTIST, tags_from_path
from jobs.audio.tag_names import TagTexts
from jobs.audio.tags import read_tags, recording_mbid


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
    expected = {
        "title": "Aria",
        "artist": "Ada",
        "artists": ["Ada"],
        "album": "Suite",
        "track_no": 7,
        "year": 2011,
        "genre": "Rock",  # ID3v1's number 17
        "genres": ["Rock", "Folk"],
        "recording_mbid": None,
        "tag_error": None,
    }
    found = read_tags(str(path), str(tmp_path))
    assert {name: found[name] for name in expected} == expected


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
    assert recording_mbid(TagTexts([tags])) == found


@pytest.mark.parametrize("name", ["File.flac", "File.ogg"])
def test_recording_mbid_in_vorbis_comments(tone, tmp_path, name):
    path = tone(name)
    tagged = mutagen.File(path)
    tagged.update({"MUSICBRAINZ_TRACKID": [MBID], "musicbrainz_releasetrackid": ["0" * 32]})
    tagged.save()
    assert read_tags(str(path), str(tmp_path))["recording_mbid"] == MBID


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Say &quot;Hi&quot; &amp; Go", 'Say "Hi" & Go'),
        ("&amp;quot;", "&quot;"),  # once
        ("&#39;til &#x4e;ow", "'til Now"),
        ("R&B; AT&T &copy Rock&notes", "R&B; AT&T &copy Rock&notes"),
        ("\ufeffTitle\0", "Title"),
    ],
)
def test_html_entities_are_decoded_once(tone, tmp_path, text, title):
    path = tone("File.flac")
    tagged = mutagen.File(path)
    tagged["title"] = text
    tagged.save()
    assert read_tags(str(path), str(tmp_path))["title"] == title


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("20110719", 2011),
        ("19.07.2011", 2011),
        ("07/19/2011", 2011),
        ("July 2011", 2011),
        ("c. 1999", 1999),
        ("2011-07-19T10:00", 2011),
        ("12345", None),
        ("20119999", None),
    ],
)
def test_year_in_date_of_any_form(tone, tmp_path, date, year):
    path = tone("File.flac")
    tagged = mutagen.File(path)
    tagged["date"] = date
    tagged.save()
    assert read_tags(str(path), str(tmp_path))["year"] == year


@pytest.mark.parametrize(
    ("frames", "year"), [([TDRL(text="2011")], 2011), ([TDRL(text="2011"), TDRC(text="1999")], 1999)]
)
def test_release_date_is_second(tone, tmp_path, frames, year):
    path = tone("File.mp3")
    tags = id3(*frames)
    tags.save(path)
    assert read_tags(str(path), str(tmp_path))["year"] == year


@pytest.mark.parametrize(
    ("path", "artist", "album", "number", "title", "disc"),
    [
        ("Ada/Suite/CD 1/01 Aria.mp3", "Ada", "Suite", 1, "Aria", 1),
        ("Ada/Suite/Disc 2 - Live/02 Aria.mp3", "Ada", "Suite", 2, "Aria", 2),
        ("Ada/CD 1/Aria.mp3", "Ada", None, None, "Aria", 1),
        ("CD 1/Aria.mp3", "CD 1", None, None, "Aria", None),
        ("Ada/Suite/LP II/Aria.mp3", "Ada", "Suite", None, "Aria", 2),
        ("Ada/Suite/Side B/Aria.mp3", "Ada", "Suite", None, "Aria", 2),
        ("Ada/Discovery/Aria.mp3", "Ada", "Discovery", None, "Aria", None),
        ("Ada/Suite/1-07 Aria.mp3", "Ada", "Suite", 7, "Aria", 1),
        ("Ada/Suite/[07] Aria.mp3", "Ada", "Suite", 7, "Aria", None),
        ("Ada - Suite - 03 Aria.mp3", "Ada", "Suite", 3, "Aria", None),
        ("Ada - 03 - Aria.mp3", "Ada", None, 3, "Aria", None),
        ("Jay - 99 Problems.mp3", "Jay", None, None, "99 Problems", None),
        (".5 The Gray Chapter/...And Justice.mp3", ".5 The Gray Chapter", None, None, "...And Justice", None),
    ],
)
def test_discs_and_numbers_in_path(path, artist, album, number, title, disc):
    found = tags_from_path(PurePath(path))
    assert list(found.values()) == [title, artist, album, number, disc]


def test_all_artists_are_taken(tone, tmp_path):
    path = tone("File.mp3")
    id3(TPE1(text=["Ada", "Bob"])).save(path)
    assert read_tags(str(path), str(tmp_path))["artists"] == ["Ada", "Bob"]
    id3(TPE1(text="Ada feat. Eve"), TXXX(desc="ARTISTS", text=["Ada", "Eve"])).save(path)
    found = read_tags(str(path), str(tmp_path))
    assert (found["artist"], found["artists"]) == ("Ada feat. Eve", ["Ada", "Eve"])


def test_id3v2_precedes_ape_and_ape_id3v1(tone, tmp_path):
    path = tone("File.mp3")
    ape = APEv2()
    ape.update({"Title": "Ape", "Artist": ["Ada", "Bob"], "Year": "1999", "Track": "7/9"})
    ape.save(path)
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artists"], found["year"], found["track_no"]) == (
        "Ape",
        ["Ada", "Bob"],
        1999,
        7,
    )
    id3(TIT2(text="One")).save(path, v1=2)
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artist"]) == ("One", "Ada")
    MP3(path).delete()
    ape.save(path)
    with path.open("ab") as file:  # ID3v1 alone
        file.write(b"TAG" + b"Old".ljust(125, b"\0"))
    assert read_tags(str(path), str(tmp_path))["title"] == "Ape"


def test_riff_info_is_read(sound, tmp_path):
    path = sound("File.wav", "-metadata", "title=Aria", "-metadata", "artist=Ada", "-metadata", "date=2011")
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artist"], found["year"], found["tag_error"]) == ("Aria", "Ada", 2011, None)


def test_ffmpeg_reads_what_mutagen_does_not_know(sound, tmp_path):
    path = sound("File.opus", "-f", "webm", "-metadata", "title=A=B; C", "-metadata", "artist=Ada")
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artist"], found["tag_error"]) == ("A=B; C", "Ada", None)


def test_broken_tag_costs_the_tag(sound, tmp_path):
    path = sound("Ada/Aria.mp3", "-id3v2_version", "0")
    path.write_bytes(b"ID3\x05\x00\x00\x00\x00\x00\x0fTIT2\0\0\0\5\0\0\0Good" + path.read_bytes())
    found = read_tags(str(path), str(tmp_path))
    assert (found["title"], found["artist"]) == ("Aria", "Ada")
    assert found["tag_error"].startswith("expected tags that can be read, found a broken one (")


def test_missing_file_is_not_described_by_its_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tags(str(tmp_path / "Ada - Aria.mp3"), str(tmp_path))
