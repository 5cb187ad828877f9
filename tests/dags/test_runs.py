"""The DAGs with real Spark, MLflow and embedded MongoDB: with work, without, and with bad input."""

import http.server
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from jobs.lake.schemas import EMBEDDINGS, FEATURES
from jobs.lake.storage import Lake
from jobs.runtime import java
from tests.services.conftest import documents

BIN = str(Path(sys.executable).parent)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_library):
    """A folder for the lake, in the environment that `segue up` gives Airflow."""
    folder = tmp_path_factory.mktemp("dags")
    variables = {
        "SEGUE_LAKE": str(folder / "lake"),
        "SEGUE_LIBRARY": str(demo_library(6)),
        "JAVA_HOME": str(java.java_home()),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield folder
    for name in [
        name for name in os.environ if name.startswith(("AIRFLOW_CTX_", "SEGUE_TASK"))
    ]:  # what dag.test() leaves
        del os.environ[name]


def states(dag, **conf):
    run = dag.test(run_conf=conf or None)
    return str(run.state), {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_nightly_run_does_everything_and_the_next_nothing(folder, bag):
    """`ingest` and `train` have the same steps; test_up.py runs both by the scheduler, with kills."""
    library = os.environ["SEGUE_LIBRARY"]
    state, tasks = states(bag.dags["nightly_refresh"], library=library)
    assert state == "success" and set(tasks.values()) == {"success"}
    lake = Lake(folder / "lake")
    assert lake.count_rows(FEATURES) == lake.count_rows(EMBEDDINGS) == 6
    published = documents(folder / "lake")
    assert len(published["tracks"]) == 6 and published["state"]["champion"]["model_version"] == "1"

    state, tasks = states(bag.dags["nightly_refresh"], library=library)
    assert state == "success" and tasks.pop("has_new_data") == "success"
    assert set(tasks.values()) == {"skipped"}
    assert documents(folder / "lake") == published


@pytest.fixture
def webhook(monkeypatch):
    """Give the bodies posted to SEGUE_WEBHOOK, which is an HTTP server here."""
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SEGUE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/alerts")
        yield posted
        server.shutdown()


def test_bad_input_fails_at_once_with_an_alert(folder, bag, webhook):
    state, tasks = states(bag.dags["ingest"], library="/nowhere")
    assert state == "failed" and tasks["shards"] == "failed" and tasks["compress"] == "upstream_failed"
    assert "ingest failed" in (folder / "lake" / "logs" / "alerts.log").read_text()
    (alert,) = webhook
    assert (
        alert["text"].startswith("Segue: ingest failed") and "the previous model serves on" in alert["text"]
    )
