"""docs/clients.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_each_test_of_the_table_exists():
    text = (ROOT / "docs" / "clients.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(named) > 30
    for file, name in named:
        path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / "unit" / "serving" / file
        assert f"def {name}(" in path.read_text(), f"{file}::{name}"
