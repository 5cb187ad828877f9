"""The page's texts: every language has the same keys and values, every key is used, none is missing."""

import re
from pathlib import Path

import pytest

from jobs.model.sound_words import WORDS
from jobs.recommender import ranking
from serving import mixes
from serving.radio import MOODS

STATIC = Path(ranking.__file__).parents[2] / "serving" / "static"
LANGUAGES = sorted(path.stem for path in (STATIC / "strings").glob("*.js"))


def texts(language):
    """Return the texts by key; those with plural forms as they are written, `{ one: …, other: … }`."""
    source = (STATIC / "strings" / f"{language}.js").read_text("utf-8")
    entries = re.findall(r'^  "([^"]+)": (\{\n.*?\n  \}|.*?),$', source, re.MULTILINE | re.DOTALL)
    assert len(dict(entries)) == len(entries) == len(re.findall(r'^  "', source, re.MULTILINE))
    return dict(entries)


def values(text):
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_have_the_same_keys_and_values(language):
    english, other = texts("en"), texts(language)
    assert list(other) == list(english)
    for key, text in other.items():
        assert values(text) == values(english[key]), key
        assert ("one:" in text) == ("one:" in english[key]), key


def test_every_key_is_used_and_there():
    english = texts("en")
    sources = [path.read_text("utf-8") for path in STATIC.rglob("*.js") if path.parent.name != "strings"]
    source = "\n".join([*sources, (STATIC / "index.html").read_text("utf-8")])
    groups = {key.split(".")[0] for key in english}
    quoted = set(re.findall(r'"(\w+\.[\w.]+)"', source))
    used = {key for key in quoted if key.split(".")[0] in groups and not key.endswith(".js")}
    prefixes = tuple(set(re.findall(r"`(\w+\.(?:\w+\.)*)\$\{", source)))
    assert used - set(english) == set()
    unused = [key for key in english if key not in used and not key.startswith(prefixes)]
    assert all(key.endswith("Note") and key.removesuffix("Note") in used for key in unused), unused


def test_languages_are_offered():
    source = (STATIC / "strings.js").read_text("utf-8")
    assert sorted(re.findall(r"(\w+): \"", source.split("LANGUAGES = {")[1].split("}")[0])) == LANGUAGES


def test_page_knows_what_the_server_says():
    source = (STATIC / "server_words.js").read_text("utf-8")
    english = texts("en")
    assert all(f"mood.{mood}" in english for mood in MOODS)
    assert {key.removeprefix("word.") for key in english if key.startswith("word.")} == set(WORDS)
    listed = re.findall(r'"([^"]+)"', source.split("WORDS = [")[1].split("]")[0])
    assert listed == list(WORDS)
    for kind, (title, comment) in mixes._TITLES.items():
        assert (english[f"mix.{kind}"], english[f"mix.{kind}Note"]) == (f'"{title}"', f'"{comment}"')
    reasons = re.findall(r'"([a-z][a-z ,]{9,})"', Path(ranking.__file__).read_text("utf-8"))
    assert len(reasons) >= 4
    assert [each for each in reasons if f'"{each}"' not in source and not each.startswith("which")] == []
