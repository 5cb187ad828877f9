"""A separate Airflow for the tests: its home is a temporary folder, set before Airflow is imported."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(tempfile.mkdtemp(prefix="segue-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Airflow reads these when it is imported, so no fixture could set them in time.
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type":"spark","host":"local[2]"}',
    }
)


@pytest.fixture(scope="session")
def database() -> None:
    """Create Airflow's database."""
    subprocess.run(
        [Path(sys.executable).with_name("airflow"), "db", "migrate"], check=True, capture_output=True
    )


@pytest.fixture(scope="session")
def bag(database):
    """Give every DAG of `dags/`, parsed."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))
