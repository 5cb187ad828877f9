"""docs/data-model.md is what its generator writes."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = runpy.run_path(str(ROOT / ".ci" / "data_model.py"))


def test_document_is_up_to_date() -> None:
    document = (ROOT / "docs" / "data-model.md").read_text()
    assert document == GENERATOR["render"](), "run `python .ci/data_model.py`"


def test_document_has_every_table() -> None:
    text = GENERATOR["render"]()
    for table in GENERATOR["TABLES"]:
        assert f"### {table.name}\n" in text
    for name in GENERATOR["sqlite_tables"]():
        assert f"| `{name}` |" in text
