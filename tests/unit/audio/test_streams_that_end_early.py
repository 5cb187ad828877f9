"""Files that libsndfile or FFmpeg end too early decode whole; what decodes is audio."""

import io
import os
import subprocess

import pytest
import soundfile
from mutagen.id3 import ID3, TIT2

from jobs.audio import containers, decoding, features_of_file, transcode
from jobs.audio.fingerprint import fingerprint
from jobs.errors import UnusableFile
from jobs.library import listing


def joined(path, *parts):
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def vbr_without_xing(sound, tmp_path):
    """Quiet, then loud: the first frames are smaller than the others."""
    quiet = sound("quiet.mp3", "-af", "volume=0.001", "-q:a", "2", "-write_xing", "0", "-id3v2_version", "0")
    loud = sound("loud.mp3", "-b:a", "320k", "-write_xing", "0", "-id3v2_version", "0")
    return joined(tmp_path / "x.mp3", loud, quiet)


def piped(sound, tmp_path):
    command = [decoding.ffmpeg_path(), "-v", "error", "-i", str(sound("a.wav", seconds=6)), "-f", "flac", "-"]
    (tmp_path / "x.flac").write_bytes(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return tmp_path / "x.flac"


def chain(extension, **second):
    def make(sound, tmp_path):
        options = ("-b:a", "48k") if second else ()
        parts = sound("1" + extension), sound("2" + extension, *options, **second)
        return joined(tmp_path / ("x" + extension), *parts)

    return make


CASES = {
    "VBR without Xing": vbr_without_xing,
    "joined MP3": chain(".mp3"),
    "joined MP3, mono": chain(".mp3", rate=22_050, channels=1),
    "joined FLAC": chain(".flac"),
    "joined ADTS": chain(".aac"),
    "chained Vorbis": chain(".ogg"),
    "chained Vorbis, mono": chain(".ogg", rate=22_050, channels=1),
    "chained Opus": chain(".opus"),
    "chained Opus, mono": chain(".opus", channels=1),
    "FLAC without length": piped,
    "IMA ADPCM": lambda sound, tmp_path: sound("x.wav", "-c:a", "adpcm_ima_wav", seconds=6),
    "Microsoft ADPCM": lambda sound, tmp_path: sound("x.wav", "-c:a", "adpcm_ms", seconds=6),
    "MP3 in WAV": lambda sound, tmp_path: sound("x.wav", "-c:a", "libmp3lame", seconds=6),
}


@pytest.mark.parametrize("name", CASES)
def test_whole_stream_decodes(sound, tmp_path, name):
    path = CASES[name](sound, tmp_path)
    assert decoding.decoded_duration(str(path)) == pytest.approx(6, abs=0.15)
    row = listing.original_columns(str(path), decoding.read_header(str(path)))
    assert row["duration_s"] == pytest.approx(6, abs=0.15)
    assert row["bit_rate"] == pytest.approx(os.path.getsize(path) * 8 / 6, rel=0.25)


def test_chain_with_other_parameters_is_whole_everywhere(sound, tmp_path):
    path = str(CASES["chained Vorbis, mono"](sound, tmp_path))
    target = str(tmp_path / "result.ogg")
    header_s = decoding.read_header(path).duration_s
    duration_s = transcode.transcode(path, target, bit_rate=64_000, content_hash="ab" * 32, header_s=header_s)
    assert duration_s == pytest.approx(6, abs=0.1)
    assert features_of_file.extract_file_features(path).duration_s == pytest.approx(6, abs=0.1)
    assert len(fingerprint(path)) > 1.5 * len(fingerprint(str(tmp_path / "1.ogg")))


def test_half_that_ffmpeg_loses_is_no_result(sound, tmp_path, monkeypatch):
    """Without the links FFmpeg stops at the second one, and exits with 0."""
    path = str(CASES["chained Vorbis, mono"](sound, tmp_path))
    header_s = decoding.read_header(path).duration_s
    monkeypatch.setattr(decoding, "ffmpeg_urls", lambda path: [f"file:{path}"])
    with pytest.raises(UnusableFile, match=r"expected 6.0 s .*found 3.0 s: truncated"):
        transcode.transcode(
            path, str(tmp_path / "y.ogg"), bit_rate=64_000, content_hash="ab" * 32, header_s=header_s
        )
    assert not (tmp_path / "y.ogg").exists()


def test_damage_in_mp3_costs_no_more_than_its_frames(sound):
    path = sound("x.mp3", seconds=6)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + os.urandom(5_000) + data[len(data) // 2 :])
    assert decoding.decoded_duration(str(path)) == pytest.approx(6, abs=0.15)


@pytest.mark.parametrize("extension", [".mp3", ".aac"])
def test_cut_frame_is_truncated(sound, extension):
    path = sound("x" + extension, *(("-write_xing", "0") if extension == ".mp3" else ()), seconds=6)
    whole = path.stat().st_size
    os.truncate(path, whole - 50)
    with pytest.raises(UnusableFile, match="expected whole frames, found that the file ends inside one"):
        decoding.read_header(str(path))


@pytest.mark.parametrize("extension", [".flac", ".wav", ".mp3", ".m4a"])
def test_cut_file_is_truncated_without_decoding(sound, extension, monkeypatch):
    path = sound("x" + extension, seconds=6)
    os.truncate(path, path.stat().st_size // 2)
    monkeypatch.setattr(decoding, "open_audio", lambda path: pytest.fail("decoded"))
    with pytest.raises(UnusableFile, match=r"expected 6\.. s of audio as the header says, found [23]\.. s"):
        decoding.read_header(str(path))


def id3():
    tags, content = ID3(), io.BytesIO()
    tags.add(TIT2(encoding=3, text="Title"))
    tags.save(content)
    return content.getvalue()


def rf64(sound, tmp_path):
    samples, rate = soundfile.read(sound("a.wav"))
    soundfile.write(tmp_path / "x.wav", samples, rate, format="RF64")
    return tmp_path / "x.wav"


def unclosed(sound, tmp_path):
    path = sound("x.wav")
    data = bytearray(path.read_bytes())
    place = data.find(b"data")
    data[place + 4 : place + 8] = data[4:8] = bytes(4)
    path.write_bytes(data)
    return path


def led(name, lead):
    def make(sound, tmp_path):
        path = sound(name, *(("-id3v2_version", "0") if name.endswith("mp3") else ()))
        path.write_bytes(lead + path.read_bytes())
        return path

    return make


UNUSUAL = {
    "RF64": rf64,
    "sizes 0": unclosed,
    "ID3 before ADTS": led("x.aac", id3()),
    "ID3 of RealJukebox": led("x.mp3", b"ID3\x03\x00\x00\x00\x00\xff\xf5" + bytes(65_525)),
    "ID3 2.5": led("x.mp3", b"ID3\x05\x00\x00\x00\x00\x00\x0fTIT2\0\0\0\5\0\0\0Good"),
    "zeros after ID3": led("x.mp3", id3() + bytes(1_200_000)),
    "FLAC called MP3": lambda sound, tmp_path: sound("x.mp3", codec=".flac"),
    "MP3 called WAV": lambda sound, tmp_path: sound("x.wav", codec=".mp3"),
    "MPEG-TS called AAC": lambda sound, tmp_path: sound("x.aac", "-f", "mpegts"),
    "WebM called Opus": lambda sound, tmp_path: sound("x.opus", "-f", "webm"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_audio_is_what_decodes(sound, tmp_path, name):
    path = str(UNUSUAL[name](sound, tmp_path))
    row = listing.original_columns(path, decoding.read_header(path))
    assert row["duration_s"] == pytest.approx(3, abs=0.15)
    assert decoding.decoded_duration(path) == pytest.approx(3, abs=0.15)


def test_ordinary_file_starts_no_process(sound, monkeypatch):
    paths = [str(sound("x" + extension)) for extension in (".mp3", ".ogg", ".opus", ".flac", ".wav")]
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    for path in paths:
        decoding.read_header(path)
        assert decoding.decoded_duration(path) == pytest.approx(3, abs=0.1)
        assert not containers.inspect(path).links
