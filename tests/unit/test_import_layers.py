"""The import contracts of setup.cfg: order of packages, independent steps, no Spark in the player."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_imports_keep_the_contracts() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contract_orders_every_module() -> None:
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    layers = configuration["importlinter:contract:layers"]["layers"].replace(":", " ").split()
    modules = {f"jobs.{path.stem}" for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__"}
    packages = {f"jobs.{path.parent.name}" for path in (ROOT / "jobs").glob("*/__init__.py")}
    assert sorted(layers) == sorted({*modules, *packages, "serving", "dags"})


@pytest.mark.slow
@pytest.mark.parametrize("module", ["serving.app", "jobs.dsp.features", "jobs.audio.decoding"])
def test_module_loads_without_spark(module: str) -> None:
    """The contract sees import statements; this sees what Python loads."""
    script = f"import sys, {module}; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
