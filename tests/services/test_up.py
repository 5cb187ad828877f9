"""`segue up`, `status`, `down`: healthy, with logins, small; nothing is left running, even after kill -9."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from http.client import HTTPException

import psutil
import pytest

from jobs.lake.schemas import EMBEDDINGS
from jobs.runtime import ports, processes, supervisor
from serving.db.accounts import Accounts
from serving.db.database import Database
from tests.services.conftest import SEGUE, environment, portable, rows, segue, steps

# Seconds: a run of the DAGs takes two to three minutes here, and a retry waits one.
LIMIT_S = 1200

# What `ingest` writes.
INGESTED = ("FILES", "TRACKS", "FEATURES", "REJECTS")


@pytest.fixture(scope="module")
def music(demo_library, tmp_path_factory):
    """Six tracks, and a file that is not audio."""
    folder = tmp_path_factory.mktemp("music")
    shutil.copytree(demo_library(6), folder, dirs_exist_ok=True)
    (folder / "broken.mp3").write_text("not music")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory, music):
    """The running services over an empty lake."""
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


def test_services_are_healthy_and_small(home):
    output = segue(home.lake, "status").stdout
    assert output.count(" healthy") == 8 and "not healthy" not in output
    assert processes.total_pss(home) < 2 * 2**30


def test_secrets_and_plays_are_readable_by_their_owner_only(home):
    for name in ("secrets.json", "passwords.json", "state.json"):
        assert stat.S_IMODE((home.folder / name).stat().st_mode) == 0o600
    for name in ("services", "airflow", "accounts", "kafka", "mongo", "spool/plays"):
        assert stat.S_IMODE((home.lake / name).stat().st_mode) == 0o700
    assert home.secrets()["admin"] != home.secrets()["viewer"]


def listening(home):
    """Return (address, port) of every socket that a process of the services listens on, UDP too."""
    pids = {process.pid for process in processes.find_processes(home)}
    return {
        (c.laddr.ip.removeprefix("::ffff:"), c.laddr.port)
        for c in psutil.net_connections("inet")
        if c.pid in pids and (c.status == psutil.CONN_LISTEN or (c.type == socket.SOCK_DGRAM and c.laddr))
    }


def test_services_listen_on_this_machine_only(home):
    sockets = listening(home)
    assert {home.state()[name] for name in ("serving", "airflow", "mlflow")} < {port for _, port in sockets}
    assert {address for address, _ in sockets} == {"127.0.0.1"}


def get(port, path="/", **headers):
    """Return status and body of a GET request; (0, "") if the port does not speak HTTP."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, HTTPException):
        return 0, ""


def test_foreign_web_page_is_refused(home):
    """Its host may resolve to 127.0.0.1 (DNS rebinding), or its script may post across sites."""
    port_of = home.state()
    assert get(port_of["serving"], "/api/state")[0] == 200
    assert get(port_of["serving"], "/api/state", Host="evil.example")[0] == 403
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert get(port_of["mlflow"], search)[0] == 200
    assert get(port_of["mlflow"], search, Host="evil.example")[0] == 403
    assert get(port_of["airflow"], "/api/v2/dags", Host="evil.example")[0] == 401
    for name, path in (("serving", "/api/events"), ("mlflow", "/api/2.0/mlflow/experiments/create")):
        body = json.dumps({"name": "stranger", "track_id": "x", "event": "started"}).encode()
        headers = {"Origin": "https://evil.example", "Content-Type": "application/json"}
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port_of[name]}{path}", body, headers), timeout=10
            )


def test_other_ports_do_not_speak_http(home):
    """MongoDB, Kafka and Spark: no browser can use them, and there is no Spark UI."""
    known = {home.state()[name] for name in ("serving", "airflow", "mlflow")}
    others = {port for _, port in listening(home)} - known
    assert len(others) >= 3
    assert {get(port) for port in others} == {(0, "")}


def test_airflow_needs_a_login_and_a_viewer_is_read_only(home):
    run = {"logical_date": None}
    assert call(home, "/api/v2/dags")[0] == call(home, "/api/v2/dags/ingest/dagRuns", body=run)[0] == 401
    assert call(home, "/auth/token", body={"username": "admin", "password": "admin"})[0] == 401
    viewer = login(home, "viewer")
    assert call(home, "/api/v2/dags", viewer)[0] == 200
    assert call(home, "/api/v2/dags/ingest/dagRuns", viewer, run)[0] == 403


def eventually(condition):
    """Call the condition until it returns something true; return that."""
    started = time.monotonic()
    while not (result := condition()):
        assert time.monotonic() - started < LIMIT_S, "it did not happen in time"
        time.sleep(0.3)
    return result


def running(processes, words):
    """Return the living processes whose command line has the words."""
    matching = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if words in " ".join(process.cmdline()):
                matching.append(process)
    return matching


def driver(home, step):
    """Return the Spark driver of a step, or None if it is not at work."""
    return next(
        iter(running(running(processes.find_processes(home), "SparkSubmit"), f"main__.py {step}")), None
    )


def workers(home):
    """Return the worker processes of Airflow's executor."""
    return running(processes.find_processes(home), "airflow worker -- LocalExecutor")


def finished(home, token, dag):
    """Return the latest run of a DAG if it has ended, else None."""
    runs = call(home, f"/api/v2/dags/{dag}/dagRuns?order_by=-id", token)[1]["dag_runs"]
    return runs[0] if runs and runs[0]["state"] in ("success", "failed") else None


def test_run_survives_kills_and_train_follows(home, music, tmp_path):
    """`ingest` is started by REST, as the page does it; a worker, a driver and the scheduler are killed."""
    admin = login(home, "admin")
    waiting = workers(home)
    assert len(waiting) == 2
    waiting[0].kill()  # it may hold the lock of the task queue
    eventually(lambda: len(now := workers(home)) == 2 and not {*now} & {*waiting})
    assert call(home, "/api/v2/dags/ingest/dagRuns", admin, {"logical_date": None})[0] == 200
    eventually(lambda: driver(home, "compress")).kill()
    job = eventually(lambda: driver(home, "extract"))
    services = psutil.Process(home.state()["supervisord"]).children()
    waiting = workers(home)
    running(services, "airflow scheduler")[0].kill()
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
    """After all that: passwords, keys and app passwords are only in the files made for them."""
    database = Database(home.lake)
    accounts = Accounts(database)
    accounts.add("anna", "anna's own password", admin=True)
    app_password = accounts.add_app_password("anna", "test").secret
    port = home.state()["serving"]
    assert get(port, "/api/state", Authorization=f"Bearer {app_password}")[0] == 200
    assert '"ok"' in get(port, f"/rest/ping?u=anna&p={app_password}&v=1.16.1&c=test&f=json")[1]
    wrong = json.dumps({"name": "anna", "password": "anna's own password, mistyped"}).encode()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/login", wrong, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60)
    secrets = {**home.secrets(), "app": app_password, "own": "anna's own password"}
    secret_files = {home.folder / "secrets.json", home.folder / "passwords.json"}
    files = [
        f
        for f in home.lake.rglob("*")
        if f.is_file() and f not in secret_files and f.parent.name != "accounts"
    ]
    assert any(f.name == "serving.log" for f in files) and any(f.suffix == ".parquet" for f in files)
    found = {
        (name, str(f)) for f in files for name, secret in secrets.items() if secret.encode() in f.read_bytes()
    }
    assert found == set()
    accounts.remove("anna")
    database.close()


def test_down_leaves_no_process_even_after_kill_9(home):
    state = home.state()
    before = processes.find_processes(home)
    os.kill(state["supervisord"], signal.SIGKILL)
    assert "expected supervisord to run, found it ended" in segue(home.lake, "status", status=1).stderr
    assert segue(home.lake, "down").stdout.startswith("down:")
    assert processes.find_processes(home) == []
    assert not [
        process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    for name in ("airflow", "mlflow"):
        assert ports.free_port(state[name], 0, taken=()) == state[name]
    assert "start them with `segue up`" in segue(home.lake, "status", status=1).stderr
    segue(home.lake, "down")


def test_up_replaces_what_a_kill_9_left(home, music):
    for _ in range(2):
        output = segue(home.lake, "up").stdout
        assert "Airflow" in output
        (scheduler,) = running(psutil.Process(home.state()["supervisord"]).children(), "airflow scheduler")
        assert scheduler.environ()["SEGUE_LIBRARY"] == str(music)  # the one given the first time
        os.kill(home.state()["supervisord"], signal.SIGKILL)
    remaining = processes.find_processes(home)
    assert remaining
    segue(home.lake, "down")
    assert processes.find_processes(home) == []


def test_terminated_up_stops_what_it_started(home):
    segue(home.lake, "down")
    command = [SEGUE, "up", "--lake", str(home.lake)]
    up = subprocess.Popen(command, env=environment(home.lake), stdout=subprocess.DEVNULL)
    eventually(home.state)
    up.terminate()
    assert up.wait(LIMIT_S) == 128 + signal.SIGTERM
    assert processes.find_processes(home) == []
