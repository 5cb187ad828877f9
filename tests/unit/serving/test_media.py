"""The original by default; the compressed file where it fits; else FFmpeg, as Subsonic's API asks."""

import dataclasses
import io
import json
import subprocess
import zipfile

import numpy as np
import pytest
import soundfile

from jobs.audio import decoding
from jobs.lake.schemas import TRACKS
from serving import media
from serving.media import AudioFile, AudioRequest
from serving.transcoding import Encoding
from tests import synthetic_lake

SECONDS = 4.0
RATE = 44_100


def ffmpeg(*words):
    subprocess.run([decoding.ffmpeg_path(), "-v", "error", "-y", *map(str, words)], check=True)


def make_lake(folder):
    """t00 is a FLAC with a compressed MP3, t01 an MP3 of 128 kbit/s that was not compressed."""
    lake = synthetic_lake.make(folder, seconds=0.1)
    music, small = folder / "music", folder / "audio" / "64k"
    music.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.2, (int(SECONDS * RATE), 2))
    soundfile.write(music / "Ä “one”.flac", noise, RATE)
    ffmpeg("-i", music / "Ä “one”.flac", "-b:a", "64k", small / "t00.mp3")
    ffmpeg("-i", music / "Ä “one”.flac", "-b:a", "128k", music / "two.mp3")
    rows = lake.read_arrow(TRACKS).to_pylist()
    paths = (
        (music / "Ä “one”.flac", small / "t00.mp3", 64_000),
        (music / "two.mp3", music / "two.mp3", 128_000),
    )
    for row, (path, audio_path, bit_rate) in zip(rows, paths, strict=False):
        row |= {"path": str(path), "audio_path": str(audio_path), "bit_rate": bit_rate, "duration_s": SECONDS}
    synthetic_lake.write_rows(lake, TRACKS, rows)
    return lake


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    lake = make_lake(tmp_path_factory.mktemp("media") / "lake")
    with serve(lake) as client:
        client.music, client.small = lake.root / "music", lake.root / "audio" / "64k"
        yield client


def decode(data, tmp_path):
    """Return the codec's name and the seconds that decode."""
    file = tmp_path / "answer"
    file.write_bytes(data)
    command = [decoding.ffmpeg_path(), "-i", str(file)]
    about = subprocess.run(command, capture_output=True, text=True).stderr
    codec = about.partition("Audio: ")[2].split()[0].rstrip(",")
    return codec, decoding.decoded_duration(str(file))


def file(name, bit_rate):
    return AudioFile(media.Path(name), 1, bit_rate)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (AudioRequest(), "whole"),
        (AudioRequest("raw", 64, 30), "whole"),
        (AudioRequest("small"), "small"),
        (AudioRequest("flac"), "whole"),
        (AudioRequest("mp3"), "small"),
        (AudioRequest(max_bit_rate=64), "small"),
        (AudioRequest(max_bit_rate=96), "small"),
        (AudioRequest("mp3", 96), "small"),
        (AudioRequest(max_bit_rate=1_000), "whole"),
        (AudioRequest(max_bit_rate=320), Encoding("mp3", 320)),
        (AudioRequest("mp3", 320), Encoding("mp3", 320)),
        (AudioRequest("opus", 96), Encoding("opus", 96)),
        (AudioRequest("opus"), Encoding("opus", 128)),
        (AudioRequest(max_bit_rate=32), Encoding("mp3", 32)),
        (AudioRequest(max_bit_rate=1), Encoding("mp3", 16)),
        (AudioRequest("mp3", 9_999), Encoding("mp3", 320)),
        (AudioRequest(offset_s=30), Encoding("flac", 0, 30)),
        (AudioRequest("mp3", offset_s=30), Encoding("mp3", 192, 30)),
    ],
)
def test_choice_between_the_files_and_an_encoding(monkeypatch, wanted, chosen):
    files = {"whole": file("a.flac", 900), "small": file("b.mp3", 64)}
    monkeypatch.setattr(media, "original", lambda _: files["whole"])
    monkeypatch.setattr(media, "small", lambda _: files["small"])
    assert media.choose(None, wanted) == files.get(chosen, chosen)


@pytest.mark.parametrize(
    ("whole", "small", "wanted", "request_"),
    [
        ("a.flac", "b.mp3", media.ORIGINAL, media.ORIGINAL),
        ("a.aiff", "b.mp3", media.ORIGINAL, media.SMALL),
        ("a.wma", "a.wma", media.ORIGINAL, AudioRequest("mp3")),
        ("a.flac", "a.wma", media.SMALL, AudioRequest("mp3")),
    ],
)
def test_browser_gets_a_format_that_it_plays(monkeypatch, whole, small, wanted, request_):
    monkeypatch.setattr(media, "original", lambda _: file(whole, 900))
    monkeypatch.setattr(media, "small", lambda _: file(small, 64))
    assert media.browser_request(None, wanted) == request_


@pytest.mark.parametrize(("codec", "request_"), [("alac", media.SMALL), ("aac", media.ORIGINAL)])
def test_browser_gets_no_apple_lossless(monkeypatch, tmp_path, codec, request_):
    source = ("-f", "lavfi", "-i", "anoisesrc=d=1", "-c:a", codec)
    subprocess.run([decoding.ffmpeg_path(), "-v", "error", *source, str(tmp_path / "a.m4a")], check=True)
    monkeypatch.setattr(media, "original", lambda _: file(str(tmp_path / "a.m4a"), 900))
    monkeypatch.setattr(media, "small", lambda _: file("b.mp3", 64))
    assert media.browser_request(None, media.ORIGINAL) == request_


def test_original_comes_by_default_and_the_small_file_on_request(client, ask):
    whole = (client.music / "Ä “one”.flac").read_bytes()
    small = (client.small / "t00.mp3").read_bytes()
    for values in ({}, {"format": "raw"}, {"format": "raw", "maxBitRate": 64}, {"maxBitRate": 0}):
        answer = ask("stream", id="t00", **values)
        assert answer.content == whole and answer.headers["content-type"] == "audio/flac"
    for values in ({"maxBitRate": 96}, {"format": "mp3"}):
        answer = ask("stream", id="t00", **values)
        assert answer.content == small and answer.headers["content-type"] == "audio/mpeg"
    assert client.get("/api/tracks/t00/audio").content == whole
    assert client.get("/api/tracks/t00/audio?quality=small").content == small
    assert client.get("/api/tracks/t00/audio?quality=loud").status_code == 422
    part = ask("stream", id="t00", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole[10:20]


def test_song_describes_the_original(client, ask):
    song = ask("getSong", id="t00").json()["subsonic-response"]["song"]
    size = (client.music / "Ä “one”.flac").stat().st_size
    assert (song["suffix"], song["contentType"], song["size"]) == ("flac", "audio/flac", size)
    assert song["bitRate"] == round(size * 8 / 1000 / SECONDS)
    assert (song["transcodedSuffix"], song["transcodedContentType"]) == ("mp3", "audio/mpeg")
    assert "transcodedSuffix" not in ask("getSong", id="t01").json()["subsonic-response"]["song"]


def test_missing_original_is_replaced_by_the_small_file(client, ask):
    moved = (client.music / "Ä “one”.flac").rename(client.music / "away")
    try:
        answer = ask("stream", id="t00")
        assert answer.content == (client.small / "t00.mp3").read_bytes()
        assert ask("getSong", id="t00").json()["subsonic-response"]["song"]["suffix"] == "mp3"
        assert ask("download", id="t00").headers["content-disposition"].startswith("attachment")
    finally:
        moved.rename(client.music / "Ä “one”.flac")


def test_original_outside_the_library_is_not_read(client, monkeypatch, ask):
    catalog = client.state.catalog
    tracks = [dataclasses.replace(catalog.tracks[0], path="/etc/passwd"), *catalog.tracks[1:]]
    monkeypatch.setattr(client.state, "catalog", type(catalog)("x", tuple(tracks), catalog.roots))
    assert b"root:" not in ask("stream", id=tracks[0].track_id).content


@pytest.mark.parametrize(
    ("values", "codec", "media_type"),
    [
        ({"format": "mp3", "maxBitRate": 320}, "mp3", "audio/mpeg"),
        ({"format": "opus", "maxBitRate": 96}, "opus", "audio/ogg"),
        ({"format": "aac"}, "aac", "audio/aac"),
        ({"format": "m4a"}, "aac", "audio/mp4"),
        ({"maxBitRate": 32}, "mp3", "audio/mpeg"),
        ({"timeOffset": 1}, "flac", "audio/flac"),
        ({"timeOffset": 1, "format": "opus"}, "opus", "audio/ogg"),
    ],
)
def test_what_no_file_fits_is_transcoded(ask, tmp_path, values, codec, media_type):
    answer = ask("stream", id="t00", headers={"Range": "bytes=0-9"}, **values)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["accept-ranges"] == "none" and "content-length" not in answer.headers
    found, seconds = decode(answer.content, tmp_path)
    assert found == codec and seconds == pytest.approx(SECONDS - values.get("timeOffset", 0), abs=0.1)


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "m4a"])
def test_estimated_length_is_the_length(ask, tmp_path, name):
    values = {"id": "t00", "format": name, "maxBitRate": 320, "estimateContentLength": "true"}
    answer = ask("stream", **values)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert decode(answer.content, tmp_path)[1] == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    "hostile", ["wav;id", "../etc", "mp3 -f null", "$(id)", "-i", "", "\x00", "mp3\n", "m3u8", "hls"]
)
def test_hostile_format_is_refused(ask, client, hostile):
    answer = ask("stream", id="t00", format=hostile)
    if not hostile:
        assert answer.content[:4] == b"fLaC"
        return
    error = json.loads(answer.text)["subsonic-response"]["error"]
    assert error["message"].startswith("format: expected raw, mp3")


@pytest.mark.parametrize("name", ["maxBitRate", "timeOffset"])
@pytest.mark.parametrize("hostile", ["-1", "1e9", "1;id", "١"])
def test_hostile_number_is_refused(ask, name, hostile):
    assert f"{name}: expected a number" in ask("stream", id="t00", **{name: hostile}).text


def test_damaged_original_is_an_error(client, ask):
    file = client.music / "two.mp3"
    held = file.read_bytes()
    file.write_bytes(b"no audio at all" * 100)
    answer = ask("stream", id="t01", format="opus")
    file.write_bytes(held)
    assert answer.status_code == 500 and "FFmpeg" in answer.json()["detail"]


def test_head_starts_no_ffmpeg(client, monkeypatch):
    monkeypatch.setattr("serving.transcoding._ffmpeg", None)
    secret = client.state.accounts.add_app_password("local", "head").secret
    answer = client.head("/rest/stream", params={"apiKey": secret, "id": "t00", "format": "opus"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/ogg")


def test_download_has_the_files_name(client, ask):
    answer = ask("download", id="t00", maxBitRate=64)
    assert answer.content == (client.music / "Ä “one”.flac").read_bytes()
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_ _one_.flac\"; filename*=UTF-8''%C3%84%20%E2%80%9Cone%E2%80%9D.flac"
    )


def test_group_comes_as_zip(client, ask):
    catalog = client.state.catalog
    track = catalog.by_id["t00"]
    playlist = client.state.playlists.create("local", "Late / night", ["t01", "gone", "t00"])
    for item_id, names in (
        (track.album_id, ["Ä “one”.flac", "two.mp3", "t02.wav", "t03.wav", "t04.wav"]),
        (playlist.playlist_id, ["001 two.mp3", "002 Ä “one”.flac"]),
    ):
        answer = ask("download", id=item_id)
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None and archive.namelist() == names
            whole = (client.music / "Ä “one”.flac").read_bytes()
            assert archive.read(next(n for n in names if n.endswith("flac"))) == whole
    assert 'filename="Late _ night.zip"' in answer.headers["content-disposition"]
    artist = ask("download", id=track.artist_id)
    with zipfile.ZipFile(io.BytesIO(artist.content)) as archive:
        assert len(archive.namelist()) == 5 and archive.namelist()[0].startswith("Álbum 0/")
    assert ask("download", id="nothing").json()["subsonic-response"]["error"]["code"] == 70


def test_head_of_an_archive_reads_no_file(client, monkeypatch):
    opened = []
    monkeypatch.setattr("serving.subsonic.media_retrieval.zip_stream", lambda _: map(opened.append, "ab"))
    album_id = client.state.catalog.by_id["t00"].album_id
    secret = client.state.accounts.add_app_password("local", "head").secret
    answer = client.head("/rest/download", params={"apiKey": secret, "id": album_id})
    assert answer.headers["content-type"] == "application/zip" and opened == []


def test_playlist_has_the_cover_of_its_first_track(client, ask):
    playlist = client.state.playlists.create("local", "Cover", ["t07"])
    answer = ask("getPlaylist", id=playlist.playlist_id).json()["subsonic-response"]["playlist"]
    picture = ask("getCoverArt", id=answer["coverArt"])
    assert picture.content == ask("getCoverArt", id="t07").content
    assert ask("getCoverArt", id="recommended").headers["content-type"] == "image/jpeg"
