import os
import shutil
import subprocess
import time

import numpy as np
import psutil
import pytest
import soundfile

from jobs.audio import decoding
from jobs.errors import UnusableFile


def cut(path, share=0.5):
    """Keep the first part of a file, as a download that broke off does."""
    os.truncate(path, int(os.path.getsize(path) * share))
    return str(path)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.mkdir(), "a directory"),
        (lambda path: os.mkfifo(path), r"something else \(a pipe, a socket, a device\)"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"),
            "a Git LFS pointer",
        ),
        (lambda path: None, "nothing"),
    ],
)
def test_check_file_describes_unusable_path(tmp_path, make, found):
    path = tmp_path / "x.mp3"
    make(path)
    with pytest.raises(UnusableFile, match=f"expected .*found {found}"):
        decoding.check_file(str(path))


def test_unreadable_folder_raises_permission_error(own_folder, ordinary_user):
    (own_folder / "private").mkdir(mode=0)
    with ordinary_user(), pytest.raises(PermissionError):
        decoding.check_file(str(own_folder / "private"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"../elsewhere/song.ogg", "text ('../elsewhere/song.ogg')"),
        ("ä".encode() * 300 + b"x", "text ('" + "ä" * 40 + "')"),
        (("x" + "ä" * 300).encode(), "text ('x" + "ä" * 39 + "')"),  # byte 512 is in the middle of an ä
        (bytes(5_000), "zero bytes"),
        (b"\x93\x01\x02\xff" * 2_000, "something else (it begins with 93 01 02 ff 93 01 02 ff)"),
        (b"RIFF\x01\x02", "the beginning of WAV, and the rest broken or missing"),
        (b"\0\0\0\x1cftypM4A ", "the beginning of MP4, and the rest broken or missing"),
    ],
)
def test_read_header_describes_other_content(tmp_path, content, found):
    path = tmp_path / "x.mp3"
    path.write_bytes(content)
    with pytest.raises(UnusableFile) as error:
        decoding.read_header(str(path))
    assert str(error.value) == f"expected audio, found {found}"


def test_random_bytes_are_rejected(tmp_path):
    path = tmp_path / "x.mp3"
    path.write_bytes(np.random.default_rng(1).bytes(20_000))
    with pytest.raises(UnusableFile, match="expected audio"):
        decoding.read_header(str(path))
        decoding.decoded_duration(str(path))


@pytest.mark.parametrize("extension", [".mp3", ".ogg", ".opus", ".flac", ".wav", ".m4a"])
def test_header_has_duration_and_bit_rate(sound, extension):
    path = sound("x" + extension, seconds=4)
    header = decoding.read_header(str(path))
    assert header.duration_s == pytest.approx(4, abs=0.1)
    assert header.bit_rate == pytest.approx(os.path.getsize(path) * 2, rel=0.15 if extension != ".ogg" else 1)


@pytest.mark.parametrize(("extension", "options"), [(".mp3", ("-write_xing", "0")), (".aac", ())])
def test_duration_without_header_is_that_of_the_frames(sound, extension, options):
    path = sound("x" + extension, *options)
    assert decoding.read_header(str(path)).duration_s == pytest.approx(3, abs=0.1)
    assert decoding.decoded_duration(str(path)) == pytest.approx(3, abs=0.1)


def test_wav_from_pipe_lasts_as_long_as_its_bytes(sound, tmp_path):
    path = tmp_path / "piped.wav"
    with path.open("wb") as file:
        command = [decoding.ffmpeg_path(), "-v", "error", "-i", str(sound("x.wav")), "-f", "wav", "pipe:1"]
        subprocess.run(command, stdout=file, check=True)
    header = decoding.read_header(str(path))
    assert header.duration_s == pytest.approx(3, abs=0.01)
    assert header.bit_rate == pytest.approx(1_411_200, rel=0.01)
    assert decoding.decoded_duration(str(path)) == pytest.approx(3)


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".wav", ".m4a"])
def test_half_file_is_truncated(sound, extension):
    path = cut(sound("x" + extension, seconds=6))
    with pytest.raises(
        UnusableFile, match=r"expected 6\.. s of audio as the header says, found [23]\.. s: truncated|decodes"
    ):
        decoding.check_duration(decoding.read_header(path).duration_s, decoding.decoded_duration(path))


@pytest.mark.parametrize("extension", [".ogg", ".opus"])
def test_ogg_cut_inside_page_is_truncated(sound, extension):
    path = cut(sound("x" + extension, seconds=6))
    with pytest.raises(
        UnusableFile, match="expected whole Ogg pages, found that the file ends inside one: truncated"
    ):
        decoding.read_header(path)


@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125), bytes(1_000)])
def test_ogg_with_trailing_bytes_is_whole(sound, tail):
    path = sound("x.ogg")
    with path.open("ab") as file:
        file.write(tail)
    assert decoding.read_header(str(path)).duration_s == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("promised", [None, 10.0, 10.9])
def test_small_shortfall_is_not_truncated(promised):
    decoding.check_duration(promised, 10.0)


def test_hour_may_lack_one_percent():
    decoding.check_duration(3_600.0, 3_570.0)
    with pytest.raises(UnusableFile, match="truncated"):
        decoding.check_duration(3_600.0, 3_560.0)


@pytest.mark.parametrize(
    ("extension", "rate"),
    [
        (".mp3", 22_050),
        (".flac", 96_000),
        (".wav", 8_000),
        (".m4a", 22_050),
        (".aac", 44_100),
        (".opus", 48_000),
    ],
)
def test_format_decodes_at_native_rate_and_full_length(sound, extension, rate):
    decoder = decoding.open_audio(str(sound("x" + extension, rate=rate)))
    samples = np.concatenate(list(decoder.blocks()))
    assert decoder.sample_rate == rate and samples.dtype == np.float32
    assert len(samples) / rate == pytest.approx(3, abs=0.15)
    assert len(np.concatenate(list(decoder.blocks()))) == len(samples)  # from the beginning again


def test_blocks_are_mono_and_contiguous(tmp_path):
    left = np.linspace(-0.5, 0.5, decoding._BLOCK_FRAMES + 10, dtype=np.float32)
    soundfile.write(
        tmp_path / "x.wav", np.stack([left, np.zeros_like(left)], axis=1), 44_100, subtype="FLOAT"
    )
    blocks = list(decoding.open_audio(str(tmp_path / "x.wav")).blocks())
    assert [len(block) for block in blocks] == [decoding._BLOCK_FRAMES, 10]
    np.testing.assert_allclose(np.concatenate(blocks), left / 2, atol=1e-7)


def test_ffmpeg_and_libsndfile_decode_equally(sound):
    path = str(sound("x.wav"))
    ours = np.concatenate(list(decoding._soundfile_blocks(path)))
    np.testing.assert_allclose(np.concatenate(list(decoding._ffmpeg_blocks(path))), ours, atol=1e-6)


def test_wrong_extension_decodes(sound):
    path = str(sound("x.mp3", codec=".ogg"))
    assert decoding.read_header(path).kind == "OggVorbis"
    assert decoding.decoded_duration(path) == pytest.approx(3, abs=0.1)


NAMES = [
    b'it\'s "quoted".m4a',
    b"new\nline.m4a",
    "🎵.m4a".encode(),
    b"-i.m4a",
    b"\xff\xfe.m4a",
    b"x" * 246 + b".m4a",
]


@pytest.mark.parametrize("extension", [b".m4a", b".mp3"])
@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_decodes(sound, tmp_path, name, extension):
    path = os.path.join(os.fsencode(tmp_path), name[:-4] + extension)
    os.rename(sound("x" + extension.decode(), seconds=1), path)
    assert decoding.read_header(os.fsdecode(path)).duration_s == pytest.approx(1, abs=0.1)
    assert decoding.decoded_duration(os.fsdecode(path)) == pytest.approx(1, abs=0.15)


def running(command):
    return [p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or []) == command]


def test_hanging_decoder_is_killed(tmp_path, hanging_ffmpeg):
    (tmp_path / "x.m4a").write_bytes(b"\0\0\0\x1cftypM4A and so on")
    with pytest.raises(UnusableFile, match="expected FFmpeg to decode on, found it stuck"):
        decoding.open_audio(str(tmp_path / "x.m4a"))
    assert not running(hanging_ffmpeg)


def command_line(process):
    """Return a process's arguments; of one that has ended meanwhile, nothing."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def test_closed_reader_leaves_no_process(sound):
    path = str(sound("x.m4a", seconds=60))
    blocks = decoding.open_audio(path).blocks()
    next(blocks)
    (ffmpeg,) = (p for p in psutil.Process().children() if path in command_line(p))
    blocks.close()
    assert not ffmpeg.is_running()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_ffmpeg_path_is_a_program():
    assert shutil.which(decoding.ffmpeg_path())
