"""The notebooks run from top to bottom, show figures, and define no functions or classes."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from jobs.lake.storage import Lake
from tests import synthetic_features

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def code_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n".join(line for line in code.splitlines() if not line.startswith("%"))


def run(notebook: Path, **environment: str) -> list[dict[str, Any]]:
    """Return the outputs of all cells, executed in a new kernel of this Python; raise the error of a cell."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    document = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(
        document, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute(env=os.environ | environment)
    return [output for cell in document.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_defines_no_functions(notebook: Path) -> None:
    defining = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(ast.parse(code_of(notebook))) if isinstance(node, defining)]
    assert "from jobs." in code_of(notebook)


def test_features_notebook_runs() -> None:
    outputs = run(NOTEBOOKS / "features.ipynb")
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    texts = "".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "beats per minute" in texts
    assert "spectral_centroid_mean_01" in texts


def test_clusters_notebook_runs(tmp_path: Path) -> None:
    synthetic_features.write(Lake(tmp_path), audio=tmp_path / "tone.wav")
    soundfile.write(tmp_path / "tone.wav", np.sin(np.arange(22_050) / 10), 22_050)
    outputs = run(NOTEBOOKS / "clusters.ipynb", SEGUE_LAKE=str(tmp_path))
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    pages = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert pages.count("<audio") == 6
    # The ten nearest of a track include the seven others of its genre.
    nearest = outputs[-1]["data"]["text/plain"]
    assert nearest.count("genre 0") == synthetic_features.TRACKS_PER_GENRE - 1
