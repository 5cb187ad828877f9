"""Lyrics of every format, beside the file and in it, with and without times, and through a compression."""

import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, SYLT, USLT

from jobs.audio.lyrics import Line, Lyrics, parse_lyrics, read_lyrics, to_lrc
from jobs.audio.transcode import result_extension, transcode

LRC = "[ti:Aria]\n[00:01.50]One\n[01:02.5]Two\n[00:30.00][02:00]Refrain\n"
TIMED = (Line(1_500, "One"), Line(30_000, "Refrain"), Line(62_500, "Two"), Line(120_000, "Refrain"))
PLAIN = (Line(None, "One"), Line(None, ""), Line(None, "Two"))


def test_lrc_is_read_with_its_times():
    assert parse_lyrics(LRC) == Lyrics(TIMED, True)
    assert parse_lyrics("[offset:-250]\n[00:01]<00:01.00>One <00:01.50>more") == Lyrics(
        (Line(1_000, "One more"),), True, offset_ms=-250
    )


def test_text_without_times_is_plain():
    assert parse_lyrics("One\r\n\r\nTwo") == Lyrics(PLAIN, False)
    assert parse_lyrics("[Chorus]\n12:30 we left").lines == (
        Line(None, "[Chorus]"),
        Line(None, "12:30 we left"),
    )


def test_lrc_is_written_as_it_is_read():
    lyrics = Lyrics(TIMED, True, offset_ms=100)
    assert parse_lyrics(to_lrc(lyrics)) == lyrics


def write(path, text):
    """Write a text as the lyrics of a file, under the names of its format."""
    if path.suffix == ".mp3":
        tags = ID3()
        tags.add(USLT(encoding=3, lang="eng", desc="", text=text))
        tags.save(path)
        return
    tagged = mutagen.File(path)
    tagged["\xa9lyr" if path.suffix == ".m4a" else "LYRICS"] = text
    tagged.save()


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a"])
@pytest.mark.parametrize(("text", "lines"), [(LRC, TIMED), ("One\n\nTwo", PLAIN)])
def test_lyrics_are_read_and_survive_compression(sound, tmp_path, name, text, lines):
    path = sound(name, seconds=0.3)
    write(path, text)
    (found,) = read_lyrics(str(path))
    assert found.lines == lines
    target = tmp_path / f"out{result_extension(name)}"
    transcode(str(path), str(target), bit_rate=64_000, content_hash="0" * 64, header_s=0.3)
    assert read_lyrics(str(target))[0].lines == lines
    if target.suffix == ".mp3":
        assert mutagen.File(target).tags.getall("USLT")


def test_lyrics_in_ape_are_read(sound):
    path = sound("a.mp3", "-id3v2_version", "0", seconds=0.3)
    tags = APEv2()
    tags["Lyrics"] = "One\n\nTwo"
    tags.save(path)
    assert read_lyrics(str(path))[0].lines == PLAIN


def test_frame_with_times_precedes_text(sound):
    path = sound("a.mp3", seconds=0.3)
    tags = ID3()
    tags.add(USLT(encoding=3, lang="eng", desc="", text="One\n\nTwo"))
    tags.add(SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[("One", 1_500), ("Two", 62_500)]))
    tags.save(path)
    timed, plain = read_lyrics(str(path))
    assert timed == Lyrics((Line(1_500, "One"), Line(62_500, "Two")), True, "eng") and plain.lines == PLAIN


def test_syllables_make_lines(sound):
    path = sound("a.mp3", seconds=0.3)
    tags = ID3()
    syllables = [("O", 1_000), ("ne ", 1_200), ("more", 1_400), ("\nTwo", 2_000)]
    tags.add(SYLT(encoding=3, lang="XXX", format=2, type=1, desc="", text=syllables))
    tags.save(path)
    assert read_lyrics(str(path))[0].lines == (Line(1_000, "One more"), Line(2_000, "Two"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.lrc", LRC.encode()),
        ("a.LRC", LRC.encode("utf-16")),
        ("a.lrc", b"\xef\xbb\xbf" + LRC.encode()),
    ],
)
def test_lrc_beside_the_file_is_read(sound, tmp_path, name, data):
    path = sound("a.flac", seconds=0.3)
    write(path, "One\n\nTwo")
    (tmp_path / name).write_bytes(data)
    assert [lyrics.is_synced for lyrics in read_lyrics(str(path))] == [True, False]


def test_link_beside_the_file_is_not_read(sound, tmp_path):
    path = sound("m/a.flac", seconds=0.3)
    (tmp_path / "secret").write_text("One")
    (tmp_path / "m" / "a.lrc").symlink_to(tmp_path / "secret")
    assert read_lyrics(str(path)) == []
