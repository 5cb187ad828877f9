"""A real Spark standalone cluster: master and two workers, with docker-compose.yml's commands.

The executors see the lake and the music, as on a mounted disk, but not the driver's working folder: they
import Segue from `--py-files`.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from jobs import settings
from jobs.runtime import java, py_files
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
    """Start a master and two workers that cannot import Segue; give the master's address."""
    port, web_port = free_ports(2)
    master = f"spark://127.0.0.1:{port}"
    environment = worker_environment(tmp_path)
    started = []

    def start(service: str, **replaced: str) -> None:
        program, *arguments = [replaced.get(word, word) for word in COMMANDS[service]]
        folder = tmp_path / f"{service}{len(started)}"
        folder.mkdir()
        log = folder.with_suffix(".log").open("wb")
        process = subprocess.Popen(
            [BIN / program, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
        started.append(process)

    local = {
        "spark-master": "127.0.0.1",
        "7077": str(port),
        "8081": str(web_port),
        "spark://spark-master:7077": master,
    }
    start("spark-master", **local)
    for _ in range(2):
        start("spark-worker", **{**local, "2": "1"})  # one core each
    try:
        page = f"http://127.0.0.1:{web_port}/json/"
        assert wait_until(lambda: b'"aliveworkers" : 2' in fetch(page), 120)
        yield master
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def worker_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which installed packages can be imported, but Segue (editable) cannot."""
    isolated = folder / "site"
    isolated.mkdir()
    (isolated / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if '__editable__' not in getattr(f, '__module__', '')]\n"
        f"sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    )
    return {
        **os.environ,
        **settings.SINGLE_THREAD_ENV,
        "JAVA_HOME": str(java.java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": str(isolated),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "SPARK_WORKER_DIR": str(folder / "work"),
    }


def fetch(url: str) -> bytes:
    time.sleep(0.3)
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read()
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def submit(lake: Path, commands: list[list[str]], master: str, conf: str, *options: str) -> None:
    """Submit commands of `segue` as the DAGs do."""
    environment = {
        **os.environ,
        **settings.SINGLE_THREAD_ENV,
        "SEGUE_LAKE": str(lake),
        "PYSPARK_PYTHON": sys.executable,
        "JAVA_HOME": str(java.java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    properties = ROOT / "spark_conf" / conf
    spark_submit = [BIN / "spark-submit", "--master", master, "--properties-file", properties, *options]
    for arguments in commands:
        command = [*spark_submit, ROOT / "jobs" / "__main__.py", *arguments]
        done = subprocess.run(
            command, cwd=lake.parent, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_cluster_gives_the_same_rows_as_one_machine(tmp_path, demo_library, cluster):
    """Both use the same lake path, because tables hold absolute paths."""
    lake = tmp_path / "lake"
    zip_file = tmp_path / "segue.zip"
    commands = [["compress", "--library", str(demo_library(6))], ["catalog"], ["extract"]]
    py_files.write_zip(zip_file)
    submit(lake, commands, cluster, "cluster.conf", "--py-files", str(zip_file))
    cluster_rows = rows(lake)
    lake.rename(tmp_path / "lake of the cluster")
    steps(lake, *commands)
    assert cluster_rows == rows(lake) and len(cluster_rows["FEATURES"]) == 6
