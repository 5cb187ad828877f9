import os

import pytest

from jobs.paths import escape_control_chars, to_path, to_text


@pytest.mark.parametrize(
    "name",
    [
        b"plain.mp3",
        "Séculaire 🎵.mp3".encode(),
        b"a\xff\xfe.mp3",
        b"back\\slash",
        b"a\\xff.mp3",
        b"new\nline",
        b"'\"",
    ],
)
def test_any_name_survives_the_way_there_and_back(name):
    text = to_text(os.fsdecode(name))
    text.encode("utf-8")  # what Parquet asks for
    assert os.fsencode(to_path(text)) == name


def test_ordinary_names_stay_as_they_are():
    assert to_text("/music/Björk/07 Jóga.mp3") == "/music/Björk/07 Jóga.mp3"


def test_a_byte_and_its_escape_do_not_collide():
    assert to_text(os.fsdecode(b"a\xff")) != to_text(r"a\xff")


def test_a_log_line_stays_one_line():
    assert escape_control_chars("a\nb\x1b[31m é") == "a\\nb\\x1b[31m é"
