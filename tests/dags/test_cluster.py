"""A real Spark standalone cluster, master and two workers as processes of their own, with docker-compose.yml's commands.

The executors see the lake and the music, as they would on a mounted disk, and nothing of the driver's working folder:
what they import of Segue comes by `--py-files`.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from jobs.runtime import java, py_files
from jobs.spark import session
from tests.services.conftest import rows, steps
from tests.services.test_embedded_mongo import wait_until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMMANDS = {
    name: service["command"]
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items()
    if "command" in service
}


@pytest.fixture
def cluster(tmp_path):
    """Start a master and two workers in folders of their own, without Segue on their path; give the master's address."""
    port, web = free_ports(2)
    master = f"spark://127.0.0.1:{port}"
    isolated = tmp_path / "site"
    isolated.mkdir()
    # Executors import what is installed, but for Segue itself: its editable install is hidden from them.
    (isolated / "sitecustomize.py").write_text(
        "import sys\nsys.meta_path = [f for f in sys.meta_path if '__editable__' not in getattr(f, '__module__', '')]\n"
        f"sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    )
    given = (
        os.environ
        | session.SINGLE_THREAD_ENV
        | {"JAVA_HOME": str(java.java_home()), "SPARK_LOCAL_IP": "127.0.0.1"}
    )
    given |= {
        "PYTHONPATH": str(isolated),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "SPARK_WORKER_DIR": str(tmp_path / "work"),
    }
    started = []

    def run(service: str, **changed: str) -> None:
        words = [changed.get(word, word) for word in COMMANDS[service]]
        (tmp_path / f"{service}{len(started)}").mkdir()
        log = (tmp_path / f"{service}{len(started)}.log").open("wb")
        folder = tmp_path / f"{service}{len(started)}"
        started.append(
            subprocess.Popen([BIN / words[0], *words[1:]], cwd=folder, env=given, stdout=log, stderr=log)
        )

    local = {
        "spark-master": "127.0.0.1",
        "7077": str(port),
        "8081": str(web),
        "spark://spark-master:7077": master,
    }
    run("spark-master", **local)
    for _ in range(2):
        run("spark-worker", **{**local, "2": "1"})
    try:
        page = f"http://127.0.0.1:{web}/json/"
        assert wait_until(lambda: b'"aliveworkers" : 2' in fetch(page), 120)
        yield master
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def fetch(address: str) -> bytes:
    time.sleep(0.3)
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    import socket

    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def submit(lake: Path, commands: list[list[str]], master: str, conf: str, *options: str) -> None:
    """Submit commands of `segue` as the DAGs do."""
    given = (
        os.environ | session.SINGLE_THREAD_ENV | {"SEGUE_LAKE": str(lake), "PYSPARK_PYTHON": sys.executable}
    )
    given |= {"JAVA_HOME": str(java.java_home()), "SPARK_LOCAL_IP": "127.0.0.1"}
    spark = [
        BIN / "spark-submit",
        "--master",
        master,
        "--properties-file",
        ROOT / "spark_conf" / conf,
        *options,
    ]
    for words in commands:
        command = [*spark, ROOT / "jobs" / "__main__.py", *words]
        done = subprocess.run(
            command, cwd=lake.parent, env=given, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_cluster_makes_the_rows_of_one_machine(tmp_path, demo_library, cluster):
    """The same lake path for both: tables hold absolute paths."""
    lake, zipped = tmp_path / "lake", tmp_path / "segue.zip"
    commands = [["compress", "--library", str(demo_library(6))], ["catalog"], ["extract"]]
    py_files.write_zip(zipped)
    submit(lake, commands, cluster, "cluster.conf", "--py-files", str(zipped))
    found = rows(lake)
    lake.rename(tmp_path / "lake of the cluster")
    steps(lake, *commands)
    assert found == rows(lake) and len(found["FEATURES"]) == 6
