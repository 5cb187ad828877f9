"""Drawn covers: every alphabet has its letters, none of them a box."""

import dataclasses

import pytest
from PIL import ImageDraw

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
