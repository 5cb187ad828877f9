"""Covers: in a file, beside it, or drawn; every alphabet has its letters, none of them a box."""

import dataclasses
import io

import mutagen
import pytest
from mutagen.id3 import APIC
from PIL import Image, ImageDraw

from serving import catalog, covers
from tests import synthetic_lake


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return catalog.load(synthetic_lake.make(tmp_path_factory.mktemp("covers") / "lake")).by_id["t00"]


@pytest.mark.parametrize(
    ("album", "initials"),
    [
        ("The Night", "TN"),
        ("Álbum õne", "AO"),
        ("Северный ветер", "СВ"),
        ("Ελλάδα", "Ε"),
        ("夜の歌", "♪"),
        ("…", "♪"),
        ("", "SA"),
        ("7 Days", "7D"),
    ],
)
def test_initials_are_drawn(track, album, initials, monkeypatch):
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, text, **rest: written.append(text))
    covers.generated_cover(dataclasses.replace(track, album=album))
    assert written == [initials]


def test_note_can_be_drawn():
    assert not covers._is_missing(covers.ImageFont.truetype(covers._fallback_font(), 170), "♪")


@pytest.fixture
def lake(tmp_path):
    return synthetic_lake.make(tmp_path / "lake", seconds=0.1)


def picture(path, colour, size=(64, 64), kind=None):
    image = Image.new("RGB", size, colour)
    image.save(path, kind)
    return path


def colour_of(lake, track_id="t00"):
    """Return the colour in the middle of a track's cover, rounded as JPEG is inexact."""
    loaded = catalog.load(lake)
    jpeg = covers.Covers().jpeg(loaded, loaded.by_id[track_id], 300)
    return tuple(round(value / 32) * 32 for value in Image.open(io.BytesIO(jpeg)).getpixel((150, 150)))


RED, BLUE = (224, 0, 0), (0, 0, 224)


@pytest.mark.parametrize("name", ["cover.jpg", "FOLDER.JPG", "Front.png", "AlbumArt.webp"])
def test_picture_beside_the_files_is_the_cover(lake, name):
    picture(lake.root / "audio" / "64k" / name, RED)
    assert colour_of(lake) == RED


def embed(folder, name, colour):
    tagged = mutagen.File(folder / name)
    tagged.add_tags()
    data = picture(folder / "x.png", colour).read_bytes()
    tagged.tags.add(APIC(encoding=3, mime="image/png", type=3, data=data))
    tagged.save()


def test_picture_in_a_late_track_is_the_cover_if_there_is_no_other(lake):
    folder = lake.root / "audio" / "64k"
    embed(folder, "t04.wav", BLUE)  # the last track of the album
    assert colour_of(lake) == BLUE and colour_of(lake, "t05") != BLUE
    picture(folder / "cover.jpg", RED)
    assert colour_of(lake) == RED


def test_picture_in_a_file_precedes_that_beside_it(lake):
    folder = lake.root / "audio" / "64k"
    picture(folder / "cover.jpg", RED)
    embed(folder, "t01.wav", BLUE)  # the second track of the album
    assert colour_of(lake) == BLUE and colour_of(lake, "t05") == RED


def test_picture_outside_the_folders_of_music_is_not_read(lake, tmp_path):
    outside = picture(tmp_path / "secret.png", RED)
    (lake.root / "audio" / "64k" / "cover.png").symlink_to(outside)
    assert colour_of(lake) != RED


@pytest.mark.parametrize(("size", "kind"), [((7_000, 7_000), "JPEG"), ((7_000, 7_000), "PNG")])
def test_huge_picture_is_scaled(lake, size, kind):
    picture(lake.root / "audio" / "64k" / "cover.jpg", RED, size, kind)
    assert colour_of(lake) == RED


def test_picture_that_declares_too_much_is_not_decoded(lake):
    picture(lake.root / "audio" / "64k" / "cover.png", RED, (64_000, 1_001))
    assert colour_of(lake) != RED


def test_cover_is_computed_once_for_an_album(lake, monkeypatch):
    loaded = catalog.load(lake)
    computed = []
    monkeypatch.setattr(covers, "album_cover", lambda _, album: computed.append(album.album_id))
    made = covers.Covers()
    for track in loaded.tracks:
        made.jpeg(loaded, track, 300)
    assert sorted(computed) == sorted(loaded.albums)
