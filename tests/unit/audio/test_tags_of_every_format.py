"""Every tag that Segue reads, in every format, and through a compression."""

import mutagen
import pytest
from mutagen.apev2 import BINARY, APEv2, APEValue
from mutagen.id3 import RVA2

from jobs.audio.tag_copy import copy_tags, pictures
from jobs.audio.tag_sources import LooseTags
from jobs.audio.tags import read_tags
from jobs.audio.transcode import CODECS, result_extension, transcode
from tests.unit.audio import tagged_files


@pytest.fixture
def tagged(sound):
    def write(name):
        path = sound(f"m/{name}", "-map_metadata", "-1", seconds=0.5)
        tagged_files.FORMATS[name](path)
        return path

    return write


def read(path):
    found = read_tags(str(path), str(path.parent))
    return {name: found[name] for name in tagged_files.EXPECTED}


@pytest.mark.parametrize("name", tagged_files.FORMATS)
def test_every_tag_is_read(tagged, name):
    assert read(tagged(name)) == tagged_files.EXPECTED


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", tagged_files.FORMATS)
def test_every_tag_survives_compression(tagged, tmp_path, name, codec):
    source = tagged(name)
    target = tmp_path / "m" / f"out{result_extension(str(source), codec)}"
    options = {"bit_rate": 64_000, "content_hash": "0" * 64, "header_s": 0.5, "codec": codec}
    transcode(str(source), str(target), **options)
    assert read(target) == tagged_files.EXPECTED


def test_facts_are_those_of_the_file(sound, tmp_path):
    def facts(path):
        found = read_tags(str(path), str(tmp_path))
        return [found[name] for name in ("sample_rate", "channels", "bit_depth")]

    hi_res = sound("a.flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24", rate=96_000, seconds=0.2)
    assert facts(hi_res) == [96_000, 2, 24]
    assert facts(sound("a.opus", channels=1, seconds=0.2)) == [48_000, 1, None]
    assert facts(sound("a.m4a", seconds=0.2)) == [44_100, 2, None]
    assert facts(sound("b.m4a", "-c:a", "alac", "-sample_fmt", "s16p", seconds=0.2)) == [44_100, 2, 16]
    assert facts(sound("a.mp3", seconds=0.2)) == [44_100, 2, None]


@pytest.mark.parametrize(
    ("tags", "gain"),
    [
        ({"r128_track_gain": "-1280"}, 0.0),
        ({"r128_track_gain": "256"}, 6.0),
        ({"r128_track_gain": "256", "replaygain_track_gain": "-3.5 dB"}, -3.5),
        ({"replaygain_track_gain": "-3,5"}, -3.5),
        ({"replaygain_track_gain": "loud"}, None),
        ({"replaygain_track_gain": "-900 dB"}, None),
    ],
)
def test_gain_in_decibels(sound, tmp_path, tags, gain):
    path = sound("a.opus", seconds=0.2)
    file = mutagen.File(path)
    file.update(tags)
    file.save()
    assert read_tags(str(path), str(tmp_path))["track_gain_db"] == gain


def test_opus_has_gains_of_its_own(sound, tmp_path):
    source, target = sound("a.flac", seconds=0.2), sound("a.opus", seconds=0.2)
    tagged = mutagen.File(source)
    tagged["replaygain_track_gain"] = "-6.50 dB"
    tagged.save()
    made = mutagen.File(target)
    copy_tags(mutagen.File(source), made)
    assert made["r128_track_gain"] == [str(round((-6.5 - 5) * 256))]
    assert made["replaygain_track_gain"] == ["-6.50 dB"]


def test_cover_in_ape_is_found(sound):
    path = sound("a.mp3", "-id3v2_version", "0", seconds=0.2)
    tags = APEv2()
    tags["Cover Art (Front)"] = APEValue(b"front.png\0\x89PNG1234", BINARY)
    tags.save(path)
    (picture,) = pictures(LooseTags(tags))
    assert (picture.mime, picture.type, picture.data) == ("image/png", 3, b"\x89PNG1234")


def test_gain_in_a_frame_of_its_own(sound, tmp_path):
    path = sound("a.mp3", seconds=0.2)
    file = mutagen.File(path)
    file.tags.add(RVA2(desc="track", channel=1, gain=-4.5, peak=0.5))
    file.save()
    found = read_tags(str(path), str(tmp_path))
    assert (found["track_gain_db"], found["track_peak"]) == (-4.5, pytest.approx(0.5))


def test_genres_in_one_text_are_several(sound, tmp_path):
    path = sound("a.flac", seconds=0.2)
    file = mutagen.File(path)
    file["genre"] = "Hip-Hop/Rap; Soul"
    file.save()
    assert read_tags(str(path), str(tmp_path))["genres"] == ["Hip-Hop/Rap", "Soul"]
