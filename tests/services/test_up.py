"""`segue up`, `status` and `down`: healthy, with logins, small; nothing is left, not even by kill -9 of who keeps them."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import time
import urllib.error
import urllib.request
from http.client import HTTPException

import psutil
import pytest

from jobs.lake.schemas import EMBEDDINGS
from jobs.runtime import processes, supervisor
from serving.db.accounts import Accounts
from serving.db.database import Database
from tests.services.conftest import portable, rows, segue, steps

# Seconds: a run of the DAGs takes two to three minutes here, and a retry waits one.
LIMIT_S = 1200

# What `ingest` writes.
INGESTED = ("FILES", "TRACKS", "FEATURES", "REJECTS")


@pytest.fixture(scope="module")
def music(demo_library, tmp_path_factory):
    """Six pieces, and a file that is none."""
    folder = tmp_path_factory.mktemp("music")
    shutil.copytree(demo_library(6), folder, dirs_exist_ok=True)
    (folder / "broken.mp3").write_text("not music")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory, music):
    """The services over an empty lake, up."""
    home = supervisor.ServiceHome(tmp_path_factory.mktemp("up") / "lake")
    try:
        segue(home.lake, "up", "--library", str(music))
        yield home
    finally:
        processes.stop_all(home)


def call(home, path, token=None, body=None):
    """Return status and JSON of one request to Airflow."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{home.state()['airflow']}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def login(home, user):
    status, answer = call(home, "/auth/token", body={"username": user, "password": home.secrets()[user]})
    assert status == 201
    return answer["access_token"]


def test_status_says_that_all_are_healthy_and_small(home):
    said = segue(home.lake, "status").stdout
    assert said.count(" healthy") == 8 and "not healthy" not in said
    assert processes.total_pss(home) < 2 * 2**30


def test_secrets_and_what_people_play_are_their_owners_alone(home):
    for name in ("secrets.json", "passwords.json", "state.json"):
        assert stat.S_IMODE((home.folder / name).stat().st_mode) == 0o600
    for name in ("services", "airflow", "accounts", "kafka", "mongo", "spool/plays"):
        assert stat.S_IMODE((home.lake / name).stat().st_mode) == 0o700
    assert home.secrets()["admin"] != home.secrets()["viewer"]


def listening(home):
    """(address, port) of every socket that any process of the services waits at, UDP too."""
    ours = {process.pid for process in processes.find_processes(home)}
    return {
        (c.laddr.ip.removeprefix("::ffff:"), c.laddr.port)
        for c in psutil.net_connections("inet")
        if c.pid in ours and (c.status == psutil.CONN_LISTEN or (c.type == socket.SOCK_DGRAM and c.laddr))
    }


def test_only_this_machine_can_reach_them(home):
    found = listening(home)
    assert {home.state()[name] for name in ("serving", "airflow", "mlflow")} < {port for _, port in found}
    assert {address for address, _ in found} == {"127.0.0.1"}


def told(port, path="/", **headers):
    """Status and text of what a stranger is told by an HTTP port; 0 where it does not speak HTTP."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, HTTPException):
        return 0, ""


def test_a_foreign_page_is_told_nothing(home):
    """Its name may lead to 127.0.0.1 (DNS rebinding), or its script may send without reading (cross-site requests)."""
    ports = home.state()
    assert told(ports["serving"], "/api/state")[0] == 200
    assert told(ports["serving"], "/api/state", Host="evil.example")[0] == 403
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert told(ports["mlflow"], search)[0] == 200
    assert told(ports["mlflow"], search, Host="evil.example")[0] == 403
    assert told(ports["airflow"], "/api/v2/dags", Host="evil.example")[0] == 401
    for name, path in (("serving", "/api/events"), ("mlflow", "/api/2.0/mlflow/experiments/create")):
        body = json.dumps({"name": "stranger", "track_id": "x", "event": "started"}).encode()
        headers = {"Origin": "https://evil.example", "Content-Type": "application/json"}
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{ports[name]}{path}", body, headers), timeout=10
            )


def test_the_other_ports_speak_no_http(home):
    """MongoDB, Kafka and Spark: nothing there that a browser could ask, no Spark UI either."""
    known = {home.state()[name] for name in ("serving", "airflow", "mlflow")}
    others = {port for _, port in listening(home)} - known
    assert len(others) >= 3
    assert {told(port) for port in others} == {(0, "")}


def test_nobody_comes_in_without_a_login_and_a_viewer_only_looks(home):
    run = {"logical_date": None}
    assert call(home, "/api/v2/dags")[0] == call(home, "/api/v2/dags/ingest/dagRuns", body=run)[0] == 401
    assert call(home, "/auth/token", body={"username": "admin", "password": "admin"})[0] == 401
    viewer = login(home, "viewer")
    assert call(home, "/api/v2/dags", viewer)[0] == 200
    assert call(home, "/api/v2/dags/ingest/dagRuns", viewer, run)[0] == 403


def eventually(question):
    """Ask until the answer is true, and return it."""
    started = time.monotonic()
    while not (answer := question()):
        assert time.monotonic() - started < LIMIT_S, "it did not happen in time"
        time.sleep(0.3)
    return answer


def running(processes, words):
    """Those of the processes whose command line has the words; one that ends under the look (a zombie, too) is none."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if words in " ".join(process.cmdline()):
                found.append(process)
    return found


def driver(home, step):
    """The Spark driver of a step, where it runs now and has begun to work."""
    return next(
        iter(running(running(processes.find_processes(home), "SparkSubmit"), f"main__.py {step}")), None
    )


def workers(home):
    """The processes in which Airflow's executor waits for tasks and works on them."""
    return running(processes.find_processes(home), "airflow worker -- LocalExecutor")


def finished(home, token, dag):
    """The latest run of a DAG, once it has ended."""
    runs = call(home, f"/api/v2/dags/{dag}/dagRuns?order_by=-id", token)[1]["dag_runs"]
    return runs[0] if runs and runs[0]["state"] in ("success", "failed") else None


def test_a_run_survives_kill_9_of_driver_and_scheduler_and_train_follows(home, music, tmp_path):
    """By REST, as the UI does it: the admin presses play on `ingest`."""
    admin = login(home, "admin")
    waiting = workers(home)
    assert len(waiting) == 2
    waiting[0].kill()  # with it goes the lock of the queue, or the slot of a task
    eventually(lambda: len(now := workers(home)) == 2 and not {*now} & {*waiting})
    assert call(home, "/api/v2/dags/ingest/dagRuns", admin, {"logical_date": None})[0] == 200
    eventually(lambda: driver(home, "compress")).kill()
    job = eventually(lambda: driver(home, "extract"))
    kept = psutil.Process(home.state()["supervisord"]).children()
    waiting = workers(home)
    running(kept, "airflow scheduler")[0].kill()
    eventually(lambda: not running([job, *waiting], ""))
    ingest = eventually(lambda: finished(home, admin, "ingest"))
    assert ingest["state"] == "success"
    tasks = call(home, f"/api/v2/dags/ingest/dagRuns/{ingest['dag_run_id']}/taskInstances", admin)[1][
        "task_instances"
    ]
    tries = {task["task_id"]: task["try_number"] for task in tasks}
    assert tries == {"shards": 1, "compress": 2, "catalog": 1, "extract": 2}
    train = eventually(lambda: finished(home, admin, "train"))
    assert (train["run_type"], train["state"]) == ("asset_triggered", "success")

    steps(tmp_path / "lake", ["compress", "--library", str(music)], ["catalog"], ["extract"])
    assert portable(home.lake, *INGESTED) == portable(tmp_path / "lake", *INGESTED)
    assert len(rows(home.lake)[EMBEDDINGS.name]) == 6


def test_no_secret_is_in_a_log_a_table_or_a_database(home):
    """After everything has run: passwords, keys and app passwords are in their own files and nowhere else."""
    ledger = Database(home.lake)
    accounts = Accounts(ledger)
    accounts.add("anna", "anna's own password", admin=True)
    app_password = accounts.add_app_password("anna", "test").secret
    base = home.state()["serving"]
    assert told(base, "/api/state", Authorization=f"Bearer {app_password}")[0] == 200
    assert '"ok"' in told(base, f"/rest/ping?u=anna&p={app_password}&v=1.16.1&c=test&f=json")[1]
    wrong = json.dumps({"name": "anna", "password": "anna's own password, mistyped"}).encode()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{base}/api/login", wrong, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10)
    secrets = {**home.secrets(), "app": app_password, "own": "anna's own password"}
    own = {home.folder / "secrets.json", home.folder / "passwords.json"}
    files = [f for f in home.lake.rglob("*") if f.is_file() and f not in own and f.parent.name != "accounts"]
    assert any(f.name == "serving.log" for f in files) and any(f.suffix == ".parquet" for f in files)
    found = {
        (name, str(f)) for f in files for name, each in secrets.items() if each.encode() in f.read_bytes()
    }
    assert found == set()
    accounts.remove("anna")
    ledger.close()


def test_down_leaves_nothing_even_after_kill_9(home):
    ports = home.state()
    before = processes.find_processes(home)
    os.kill(ports["supervisord"], signal.SIGKILL)
    assert "expected supervisord to keep the services" in segue(home.lake, "status", status=1).stderr
    assert segue(home.lake, "down").stdout.startswith("down:")
    assert processes.find_processes(home) == []
    assert not [
        process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    for name in ("airflow", "mlflow"):
        assert supervisor.free_port(ports[name], 0, set()) == ports[name]
    assert "start them with `segue up`" in segue(home.lake, "status", status=1).stderr
    segue(home.lake, "down")


def test_up_again_takes_the_place_of_what_a_kill_9_left(home, music):
    for _ in range(2):
        said = segue(home.lake, "up").stdout
        assert "Airflow" in said
        (scheduler,) = running(psutil.Process(home.state()["supervisord"]).children(), "airflow scheduler")
        assert scheduler.environ()["SEGUE_LIBRARY"] == str(music)  # the one given the first time
        os.kill(home.state()["supervisord"], signal.SIGKILL)
    left = processes.find_processes(home)
    assert left
    segue(home.lake, "down")
    assert processes.find_processes(home) == []
