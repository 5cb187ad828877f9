import base64
import errno
import os
import shutil

import mutagen
import numpy as np
import psutil
import pytest
import soundfile
from mutagen import id3
from mutagen.apev2 import APEv2
from mutagen.flac import Picture
from mutagen.mp4 import MP4Cover, MP4FreeForm

from jobs.audio import decoding, transcode
from jobs.audio.audio_hash import hash_file
from jobs.errors import UnusableFile

HASH = "ab" * 32
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OTHER_PNG = PNG + b"\0"  # a second picture with other bytes


def picture(data=PNG, kind=3, description=""):
    new_picture = Picture()
    new_picture.data = data
    new_picture.type = kind
    new_picture.mime = "image/png"
    new_picture.desc = description
    return new_picture


def compress(path, bit_rate=64_000, codec="mp3"):
    """Transcode to a file in the same folder; return its path and its duration in seconds."""
    target = str(path.with_name("result" + transcode.result_extension(str(path), codec)))
    header_s = decoding.read_header(str(path)).duration_s
    return target, transcode.transcode(
        str(path), target, bit_rate=bit_rate, content_hash=HASH, header_s=header_s, codec=codec
    )


@pytest.mark.parametrize(
    ("source", "extension", "kind"),
    [
        (".mp3", ".mp3", "MP3"),
        (".wav", ".mp3", "MP3"),
        (".flac", ".mp3", "MP3"),
        (".ogg", ".ogg", "OggVorbis"),
        (".opus", ".opus", "OggOpus"),
        (".m4a", ".m4a", "MP4"),
        (".aac", ".m4a", "MP4"),
    ],
)
def test_format_reaches_bit_rate_at_full_length(sound, source, extension, kind):
    target, duration = compress(sound("song" + source, seconds=6))
    header = decoding.read_header(target)
    assert (os.path.splitext(target)[1], header.kind) == (extension, kind)
    assert duration == pytest.approx(6, abs=0.1) and header.duration_s == pytest.approx(6, abs=0.1)
    assert 48_000 < os.path.getsize(target) * 8 / 6 < 70_000  # Vorbis takes less for noise


@pytest.mark.parametrize("source", [".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".aac"])
def test_opus_is_made_of_every_format(sound, source):
    target, duration = compress(sound("song" + source, seconds=6), codec="opus")
    assert os.path.splitext(target)[1] == ".opus" and decoding.read_header(target).kind == "OggOpus"
    assert duration == pytest.approx(6, abs=0.1)
    assert 48_000 < os.path.getsize(target) * 8 / 6 < 72_000
    assert transcode.read_encoder_tag(target).content_hash == HASH


def test_opus_has_the_band_that_mp3_cuts(sound):
    """Pink noise above 12 kHz, which MP3 of 64 kbit/s has none of."""
    path = sound("song.flac")
    shares = {}
    for codec in transcode.CODECS:
        samples, rate = soundfile.read(compress(path, codec=codec)[0])
        power = np.abs(np.fft.rfft(samples.mean(axis=1))) ** 2
        shares[codec] = power[int(12_000 * len(samples) / rate) :].sum() / power.sum()
    assert shares["opus"] > 100 * shares["mp3"]


@pytest.mark.parametrize("extension", [".mp3", ".ogg", ".opus", ".m4a"])
@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [(8_000, 1, 2), (8_000, 2, 2), (96_000, 2, 2), (48_000, 6, 2), (44_100, 2, 0.6)],
)
def test_unusual_signals_are_compressed(sound, extension, rate, channels, seconds):
    path = sound("song" + extension, codec=".wav", rate=rate, channels=channels, seconds=seconds)
    for codec in transcode.CODECS:
        target, duration = compress(path, codec=codec)
        assert duration == pytest.approx(seconds, abs=0.1)
        assert os.path.getsize(target) < os.path.getsize(path)


ID3_FRAMES = (
    id3.TIT2(encoding=3, text="Āria"),
    id3.TPE1(encoding=3, text=["Ada", "Bob"]),
    id3.TXXX(encoding=3, desc="MusicBrainz Album Id", text="0a1b"),
    id3.TXXX(encoding=3, desc="replaygain_track_gain", text="-7.1 dB"),
    id3.COMM(encoding=3, lang="deu", desc="note", text="schön\nzwei Zeilen"),
    id3.USLT(encoding=3, lang="eng", desc="", text="la la"),
    id3.POPM(email="ada@example.org", rating=196, count=7),
    id3.UFID(owner="http://musicbrainz.org", data=b"1234"),
    id3.APIC(encoding=3, mime="image/png", type=3, desc="front", data=PNG),
    id3.APIC(encoding=3, mime="image/png", type=4, desc="back", data=OTHER_PNG),
)


@pytest.mark.parametrize("codec", [".mp3", ".wav"])
def test_id3_frames_are_copied(sound, codec):
    path = sound("song" + codec)
    tagged = mutagen.File(path)
    if tagged.tags is None:
        tagged.add_tags()
    for frame in ID3_FRAMES:
        tagged.tags.add(frame)
    tagged.save()
    copied = mutagen.File(compress(path)[0]).tags
    for frame in ID3_FRAMES:
        assert copied[frame.HashKey] == frame and repr(copied[frame.HashKey]) == repr(frame)


@pytest.mark.parametrize("extension", [".ogg", ".opus"])
def test_vorbis_comments_are_copied(sound, extension):
    path = sound("song" + extension)
    tagged = mutagen.File(path)
    comments = {
        "title": ["Āria"],
        "artist": ["Ada", "Bob"],
        "performer": ["Eve (cello)", "Dan (flute)"],
        "lyrics": ["la\nla"],
        "made up": ["yes; no = maybe"],
        "metadata_block_picture": [
            base64.b64encode(picture(data).write()).decode() for data in (PNG, OTHER_PNG)
        ],
    }
    tagged.update(comments)
    tagged.save()
    copied = mutagen.File(compress(path)[0])
    assert {key: copied[key] for key in comments} == comments


def test_mp4_atoms_are_copied(sound):
    path = sound("song.m4a")
    tagged = mutagen.File(path)
    atoms = {
        "\xa9nam": ["Āria"],
        "\xa9ART": ["Ada", "Bob"],
        "trkn": [(7, 13)],
        "tmpo": [120],
        "----:com.apple.iTunes:MusicBrainz Track Id": [MP4FreeForm(b"0a1b")],
        "covr": [MP4Cover(PNG, MP4Cover.FORMAT_PNG)],
    }
    tagged.update(atoms)
    tagged.save()
    copied = mutagen.File(compress(path)[0])
    assert {key: copied[key] for key in atoms} == atoms


def tag_vorbis(path):
    tagged = mutagen.File(path)
    tagged.update({"title": "Āria", "artist": ["Ada", "Bob"], "album": "Suite", "tracknumber": "7"})
    tagged.update({"date": "1999-07-19", "genre": ["Folk", "Jazz"], "comment": "by hand"})
    if path.suffix == ".flac":
        tagged.add_picture(picture())
        tagged.add_picture(picture(OTHER_PNG, kind=4))
    else:
        tagged["metadata_block_picture"] = [
            base64.b64encode(p.write()).decode() for p in (picture(), picture(OTHER_PNG, 4))
        ]
    tagged.save()


@pytest.mark.parametrize(("name", "codec"), [("song.flac", ".flac"), ("really-an-ogg.mp3", ".ogg")])
def test_vorbis_comments_become_id3(sound, name, codec):
    path = sound(name, codec=codec)
    tag_vorbis(path)
    copied = mutagen.File(compress(path)[0]).tags
    texts = {key: copied[key].text for key in ("TIT2", "TPE1", "TALB", "TRCK", "TCON")}
    assert texts == {
        "TIT2": ["Āria"],
        "TPE1": ["Ada", "Bob"],
        "TALB": ["Suite"],
        "TRCK": ["7"],
        "TCON": ["Folk", "Jazz"],
    }
    assert str(copied["TDRC"]) == "1999-07-19"
    assert sorted((p.type, p.data) for p in copied.getall("APIC")) == [(3, PNG), (4, OTHER_PNG)]


def test_id3_becomes_vorbis_comments_and_mp4_atoms(sound):
    for name in ("really-an-mp3.ogg", "really-an-mp3.m4a"):
        path = sound(name, codec=".mp3")
        tagged = mutagen.File(path)
        for frame in (*ID3_FRAMES[:2], id3.TRCK(text="7"), ID3_FRAMES[-2]):
            tagged.tags.add(frame)
        tagged.save()
        copied = mutagen.File(compress(path)[0])
        names = ("title", "artist", "tracknumber") if name.endswith("ogg") else ("\xa9nam", "\xa9ART", "trkn")
        assert [copied[tag] for tag in names] == [
            ["Āria"],
            ["Ada", "Bob"],
            ["7"] if name.endswith("ogg") else [(7, 0)],
        ]
        assert (
            b"IHDR" in base64.b64decode(copied["metadata_block_picture"][0])
            if "title" in names
            else copied["covr"]
        )


@pytest.mark.parametrize("extension", [".mp3", ".flac"])
def test_broken_picture_is_copied(sound, extension):
    path = sound("song" + extension)
    tagged = mutagen.File(path)
    if extension == ".mp3":
        tagged.tags.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=b"no picture"))
    else:
        broken = picture(b"no picture")
        tagged.add_picture(broken)
    tagged.save()
    target, duration = compress(path)
    assert duration == pytest.approx(3, abs=0.1)
    assert mutagen.File(target).tags.getall("APIC")[0].data == b"no picture"


@pytest.mark.parametrize("extension", [".mp3", ".ogg", ".opus", ".m4a"])
def test_encoder_tag_round_trip(sound, extension):
    path = sound("song" + extension)
    assert transcode.read_encoder_tag(str(path)) is None
    target, _ = compress(path, bit_rate=48_000)
    audio_hash = hash_file(target).audio_hash
    assert transcode.read_encoder_tag(target) == transcode.EncoderTag(HASH, 48_000, audio_hash)


def test_hanging_ffmpeg_is_killed(sound, hanging_ffmpeg, tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, [0.1] * 44_100, 44_100)
    with pytest.raises(UnusableFile, match="expected FFmpeg to be done within 1 s, found it still at work"):
        compress(path)
    assert not (tmp_path / "result.mp3").exists()
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or []) == hanging_ffmpeg
    ]


def test_disk_full_raises_and_leaves_no_file(sound):
    path = sound("song.wav")
    target = path.with_name("result.mp3")
    target.symlink_to("/dev/full")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        compress(path)
    assert not os.path.lexists(target) and os.path.exists("/dev/full")


def test_less_audio_than_header_is_rejected(sound):
    path = sound("song.wav", seconds=4)
    with pytest.raises(
        UnusableFile, match=r"expected 9\.0 s of audio as the header says, found 4\.0 s: truncated"
    ):
        transcode.transcode(str(path), f"{path}.mp3", bit_rate=64_000, content_hash=HASH, header_s=9.0)
    assert not os.path.exists(f"{path}.mp3")


def test_too_short_result_is_rejected(sound, monkeypatch):
    path = sound("song.wav", seconds=4)
    monkeypatch.setattr(decoding, "decoded_duration", lambda _: 3.0)
    with pytest.raises(UnusableFile, match=r"expected 4\.0. s of audio after compression, found 3\.00 s"):
        compress(path)


def test_file_name_like_option_or_protocol(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = sound("song.wav")
    for name in ("-i.wav", "concat:a|b.wav", "%03d.wav"):
        shutil.copy(path, name)
        assert transcode.transcode(name, "x.mp3", bit_rate=64_000, content_hash=HASH, header_s=3) > 2.9


def test_ape_tags_are_copied(sound):
    path = sound("song.mp3", "-id3v2_version", "0")
    ape = APEv2()
    ape.update({"Title": "Aria", "Artist": ["Ada", "Bob"], "Year": "2011"})
    ape.save(path)
    copied = mutagen.File(compress(path)[0]).tags
    assert (copied["TIT2"].text, copied["TPE1"].text) == (["Aria"], ["Ada", "Bob"])
    assert str(copied["TDRC"]) == "2011"


def test_encoder_tag_of_older_version_is_read(sound):
    target, _ = compress(sound("song.mp3"))
    tagged = mutagen.File(target)
    tagged.tags.add(id3.TXXX(encoding=3, desc="SEGUE_SOURCE", text=f"{HASH} 64000"))
    tagged.save()
    encoder_tag = transcode.read_encoder_tag(target)
    assert encoder_tag == transcode.EncoderTag(HASH, 64_000) and encoder_tag.is_of("any audio")


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".ogg", ".opus", ".m4a"])
def test_new_tags_reach_a_compressed_file(sound, extension):
    path = sound("song" + extension)
    for title in ("Old", "New"):
        tagged = mutagen.File(path, easy=True)
        if tagged.tags is None:
            tagged.add_tags()
        tagged["title"] = title
        tagged.update({"album": "Only at first"}) if title == "Old" else tagged.pop("album")
        tagged.save()
        if title == "Old":
            target, _ = compress(path)
    before = hash_file(target)
    encoder_tag = transcode.read_encoder_tag(target)
    transcode.update_tags(str(path), target)
    found = mutagen.File(target, easy=True)
    assert found["title"] == ["New"] and "album" not in found
    assert transcode.read_encoder_tag(target) == encoder_tag
    assert hash_file(target).audio_hash == before.audio_hash == encoder_tag.audio_hash


def test_tags_of_another_file_are_not_touched(sound):
    path = sound("song.mp3")
    with pytest.raises(UnusableFile, match="expected a file that Segue has compressed"):
        transcode.update_tags(str(path), str(path))
