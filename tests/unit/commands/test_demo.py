"""The demo library: the same bytes every time, readable tags and covers, resumable."""

import argparse
import base64
import io
import re
from collections import Counter
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen.flac import Picture
from mutagen.id3 import ID3
from PIL import Image

from jobs.audio import decoding
from jobs.commands import demo
from jobs.demo import encode
from jobs.demo.albums import album
from jobs.demo.clips import clip
from jobs.demo.covers import SIZE, draw_cover
from jobs.errors import InputError
from jobs.paths import sha256_file

TRACKS = 6


def run(out: Path, tracks: int = TRACKS) -> dict[str, int]:
    return dict(demo.main(argparse.Namespace(out=out, tracks=tracks)).counts)


def state(out: Path) -> dict[str, tuple[str, int]]:
    return {
        str(p.relative_to(out)): (sha256_file(p), p.stat().st_mtime_ns) for p in out.rglob("*") if p.is_file()
    }


def hashes(out: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in state(out).items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    assert run(out) == {"tracks": TRACKS, "written": TRACKS, "unchanged": 0}
    return out


def test_default_arguments() -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert vars(parser.parse_args(["--out", "x"])) == {"out": Path("x"), "tracks": 60}


@pytest.mark.slow
def test_second_library_has_the_same_bytes(library: Path, tmp_path: Path) -> None:
    run(tmp_path)
    assert hashes(tmp_path) == hashes(library)


def test_second_run_changes_nothing(library: Path) -> None:
    before = state(library)
    assert run(library) == {"tracks": TRACKS, "written": 0, "unchanged": TRACKS}
    assert state(library) == before


@pytest.mark.slow
def test_lost_and_damaged_clips_are_written_again(library: Path) -> None:
    before = hashes(library)
    lost, damaged = (library / clip(number).path for number in (0, 1))
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    stale = damaged.with_name(f".{damaged.name}.999999999.part")  # above the largest process id of Linux
    stale.write_bytes(b"left by a killed run")
    assert run(library) == {"tracks": TRACKS, "written": 2, "unchanged": TRACKS - 2}
    assert hashes(library) == before


def test_smaller_library_is_the_start_of_a_larger_one(library: Path) -> None:
    before = state(library)
    assert run(library, 2) == {"tracks": 2, "written": 0, "unchanged": 2}
    assert state(library) == before


def test_failed_clip_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stereo: np.ndarray, entry: object, target: Path) -> None:
        target.write_bytes(b"half a file")
        raise OSError("no space")

    monkeypatch.setattr(encode, "encode_clip", fail)
    with pytest.raises(OSError, match="no space"):
        demo.write_clip(tmp_path, clip(1))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def first_number_of(extension: str) -> int:
    return next(number for number in range(60) if clip(number).path.suffix == extension)


@pytest.mark.parametrize("extension", [".mp3", ".ogg", ".opus", ".flac", ".m4a", ".wav"])
def test_each_format_has_tags_cover_and_sound(extension: str, tmp_path: Path) -> None:
    entry, target = clip(first_number_of(extension)), tmp_path / f"clip{extension}"
    hum = np.sin(np.arange(2 * 44_100) * 0.06).astype(np.float32) * 0.5
    digests = set()
    for _ in range(2):
        encode.encode_clip(np.stack([hum, hum]), entry, target)
        digests.add(sha256_file(target))
    assert len(digests) == 1
    assert easy_tags(target) == [entry.title, entry.album.artist, entry.album.title, str(entry.album.year)]
    picture = cover(target)
    assert Image.open(io.BytesIO(picture)).size == (SIZE, SIZE)
    assert picture == draw_cover(entry.style, entry.album.artist, entry.album.title)
    assert decoding.decoded_duration(str(target)) == pytest.approx(2, abs=0.1)


def easy_tags(path: Path) -> list[str]:
    keys = ("title", "artist", "album", "date")
    if path.suffix == ".wav":
        return [str(mutagen.File(path).tags[frame]) for frame in ("TIT2", "TPE1", "TALB", "TDRC")]
    return [mutagen.File(path, easy=True)[key][0] for key in keys]


def cover(path: Path) -> bytes:
    tagged = mutagen.File(path)
    if isinstance(tagged.tags, ID3):
        return tagged.tags.getall("APIC")[0].data
    if path.suffix == ".m4a":
        return bytes(tagged["covr"][0])
    if path.suffix == ".flac":
        return tagged.pictures[0].data
    return Picture(base64.b64decode(tagged["metadata_block_picture"][0])).data


def test_sixty_clips_are_a_mixed_collection() -> None:
    clips = [clip(number) for number in range(60)]
    formats = Counter(entry.path.suffix for entry in clips)
    assert formats == {".mp3": 42, ".ogg": 8, ".flac": 4, ".opus": 2, ".m4a": 2, ".wav": 2}
    archive = [str(entry.path) for entry in clips if re.fullmatch(r"(\d{3})/\1\d{3}\.mp3", str(entry.path))]
    assert len(archive) == 16
    assert archive[0] == "000/000375.mp3"
    named = [entry for entry in clips if entry.path.parts[0] == entry.album.artist]
    assert len(named) == 44
    assert str(clip(0).path) == "Harbour of Glass/Tidewater Letters/01 Low Light on the Estuary.mp3"


def test_thousand_clips_have_distinct_names_and_seeds() -> None:
    clips = [clip(number) for number in range(1000)]
    assert len({str(entry.path).lower() for entry in clips}) == 1000
    assert len({entry.seed for entry in clips}) == 1000
    assert len({(entry.style, entry.album.artist) for entry in clips}) == len(
        {entry.album.artist for entry in clips}
    )


def test_covers_of_albums_differ() -> None:
    covers = {
        draw_cover("swing", (record := album("swing", number)).artist, record.title) for number in range(4)
    }
    assert len(covers) == 4


def test_bad_input_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="expected a folder as --out, found a file: .*/file"):
        run(file)
    with pytest.raises(InputError, match="expected an --out that can be created, found: Not a directory"):
        run(file / "below")
    for tracks in (0, -1):
        with pytest.raises(InputError, match=f"expected --tracks of at least 1, found {tracks}"):
            run(tmp_path / "new", tracks)
    assert not (tmp_path / "new").exists()
