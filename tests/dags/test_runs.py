"""The DAGs over a small library, with real Spark, MLflow and the embedded store; a night with nothing new, bad input."""

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
def place(tmp_path_factory, demo_library):
    """A folder for the lake, and the environment that `segue up` would give."""
    folder = tmp_path_factory.mktemp("dags")
    given = {
        "SEGUE_LAKE": str(folder / "lake"),
        "SEGUE_LIBRARY": str(demo_library(6)),
        "JAVA_HOME": str(java.java_home()),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield folder
    for name in [
        name for name in os.environ if name.startswith(("AIRFLOW_CTX_", "SEGUE_TASK"))
    ]:  # what dag.test() leaves
        del os.environ[name]


def states(dag, **conf):
    run = dag.test(run_conf=conf or None)
    return str(run.state), {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_a_night_does_everything_and_the_next_nothing(place, bag):
    """The steps of `ingest` and `train` are these too; by the scheduler, through kills, both are in test_up.py."""
    library = os.environ["SEGUE_LIBRARY"]
    state, tasks = states(bag.dags["nightly_refresh"], library=library)
    assert state == "success" and set(tasks.values()) == {"success"}
    lake = Lake(place / "lake")
    assert lake.count_rows(FEATURES) == lake.count_rows(EMBEDDINGS) == 6
    shown = documents(place / "lake")
    assert len(shown["tracks"]) == 6 and shown["settings"]["champion"]["model_version"] == "1"

    state, tasks = states(bag.dags["nightly_refresh"], library=library)
    assert state == "success" and tasks.pop("anything_new") == "success"
    assert set(tasks.values()) == {"skipped"}
    assert documents(place / "lake") == shown


@pytest.fixture
def webhook(monkeypatch):
    """What was posted to SEGUE_WEBHOOK, an HTTP server of its own."""
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SEGUE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/alerts")
        yield posted
        server.shutdown()


def test_bad_input_fails_at_once_and_is_told(place, bag, webhook):
    state, tasks = states(bag.dags["ingest"], library="/nowhere")
    assert state == "failed" and tasks["shards"] == "failed" and tasks["compress"] == "upstream_failed"
    assert "ingest has failed" in (place / "lake" / "logs" / "alerts.log").read_text()
    (alert,) = webhook
    assert (
        alert["text"].startswith("Segue: ingest has failed")
        and "the model before it serves on" in alert["text"]
    )
