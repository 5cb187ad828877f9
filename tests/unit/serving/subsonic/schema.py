"""OpenSubsonic's documented fields (schema.json), and whether an answer has them, in JSON and in XML.

The schema has per type the type of each field: "!" marks a required one, "[X]" a list, "time" ISO 8601.
"""

import json
from datetime import datetime
from pathlib import Path

SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text())
TYPES, ENDPOINTS = SCHEMA["types"], SCHEMA["endpoints"]
HEAD = {"status", "version", "type", "serverVersion", "openSubsonic"}
NAMESPACE = "{http://subsonic.org/restapi}"

# Fields beyond the documented ones: clients of folders want those of an album; an artist's `userRating` is
# Navidrome's too.
EXTRA = {
    "AlbumID3": {"title", "album", "isDir", "parent"},
    "AlbumID3WithSongs": {"title", "album", "isDir", "parent"},
    "Child": {"name", "songCount", "albumCount", "isCompilation", "releaseDate", "originalReleaseDate"},
    "ArtistID3": {"userRating"},
    "Artist": {"coverArt", "albumCount", "sortName"},
}


def problems(value, kind, where):
    """Return what of a value is not as its type says."""
    kind = kind.removesuffix("!")
    if kind.startswith("["):
        if not isinstance(value, list):
            return [f"{where}: expected a list, found {value!r}"]
        return [
            found for n, each in enumerate(value) for found in problems(each, kind[1:-1], f"{where}[{n}]")
        ]
    if kind in TYPES:
        if not isinstance(value, dict):
            return [f"{where}: expected {kind}, found {value!r}"]
        return fields(value, TYPES[kind], where, EXTRA.get(kind, set()))
    if kind == "time":
        is_right = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    elif "|" in kind:
        is_right = value in kind.split("|")
    else:
        expected = {"string": str, "integer": int, "number": (int, float), "boolean": bool}.get(kind, object)
        is_right = isinstance(value, expected) and (kind == "boolean") == isinstance(value, bool)
    return [] if is_right else [f"{where}: expected {kind}, found {value!r}"]


def fields(found, types, where, extra):
    required = {name for name, kind in types.items() if kind.endswith("!")}
    missing = [f"{where}: {name} is missing" for name in sorted(required - set(found))]
    unknown = [f"{where}: {name} is not documented" for name in sorted(set(found) - set(types) - extra)]
    wrong = [
        problem
        for name, value in found.items()
        if name in types
        for problem in problems(value, types[name], f"{where}.{name}")
    ]
    return missing + unknown + wrong


def as_xml(element, value, where="answer"):
    """Check that an element has the same content as the JSON value."""
    if not isinstance(value, dict):
        assert element.text == text(value), where
        return
    children = {}
    for child in element:
        children.setdefault(child.tag.removeprefix(NAMESPACE), []).append(child)
    attributes = dict(element.attrib)
    for name, inner in value.items():
        if isinstance(inner, dict | list):
            each = inner if isinstance(inner, list) else [inner]
            found = children.pop(name, [])
            assert len(found) == len(each), f"{where}.{name}"
            for one, expected in zip(found, each, strict=True):
                as_xml(one, expected, f"{where}.{name}")
        elif name == "value":
            assert (element.text or "") == text(inner), f"{where}.value"
        else:
            assert attributes.pop(name) == text(inner), f"{where}.{name}"
    assert not children and not attributes, where


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)
