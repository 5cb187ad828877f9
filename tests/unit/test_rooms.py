"""Imports between the rooms of jobs/ go one way: what stands first here knows nothing of what stands after it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    "machine",
    "fma",
    "music",
    "sound",
    "studio",
    "model",
    "recommender",
    "plays",
    "orchestration",
)


def imported(folder):
    """The rooms that the files of a folder name in their imports."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jobs."):
                yield node.module.split(".")[1]
            elif isinstance(node, ast.ImportFrom) and node.module == "jobs":
                yield from (alias.name for alias in node.names)


def test_every_room_has_its_place():
    assert {path.parent.name for path in (ROOT / "jobs").glob("*/__init__.py")} == set(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_what_stands_before_it(room):
    assert set(imported(ROOT / "jobs" / room)).isdisjoint(ORDER[ORDER.index(room) + 1 :])
