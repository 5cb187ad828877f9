"""`segue up`, `status` and `down`: healthy, with logins, small; nothing is left, not even by kill -9 of who keeps them."""

import json
import os
import signal
import stat
import urllib.error
import urllib.request

import psutil
import pytest

from jobs import services
from tests.services.conftest import segue


@pytest.fixture(scope="module")
def home(tmp_path_factory, demo_library):
    """The services over an empty lake, up."""
    home = services.Home(tmp_path_factory.mktemp("up") / "lake")
    try:
        segue(home.lake, "up", "--library", str(demo_library(6)))
        yield home
    finally:
        services.stop(home)


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
    assert said.count(" healthy") == 7 and "not healthy" not in said
    assert services.memory(home) < 2 * 2**30


def test_secrets_are_their_owners_alone(home):
    for name in ("secrets.json", "passwords.json", "state.json"):
        assert stat.S_IMODE((home.folder / name).stat().st_mode) == 0o600
    assert home.secrets()["admin"] != home.secrets()["viewer"]


def test_only_this_machine_can_reach_them(home):
    ours = {process.pid for process in services.processes(home)}
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    assert len(listening) >= 3
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in listening} == {"127.0.0.1"}


def test_nobody_comes_in_without_a_login_and_a_viewer_only_looks(home):
    run = {"logical_date": None}
    assert call(home, "/api/v2/dags")[0] == call(home, "/api/v2/dags/ingest/dagRuns", body=run)[0] == 401
    assert call(home, "/auth/token", body={"username": "admin", "password": "admin"})[0] == 401
    viewer = login(home, "viewer")
    assert call(home, "/api/v2/dags", viewer)[0] == 200
    assert call(home, "/api/v2/dags/ingest/dagRuns", viewer, run)[0] == 403


def test_down_leaves_nothing_even_after_kill_9(home):
    ports = home.state()
    before = services.processes(home)
    os.kill(ports["supervisord"], signal.SIGKILL)
    assert segue(home.lake, "down").stdout.startswith("down:")
    assert services.processes(home) == []
    assert not [process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    for name in ("airflow", "mlflow"):
        assert services.free_port(ports[name], 0, set()) == ports[name]
    assert "start them with `segue up`" in segue(home.lake, "status", status=1).stderr
    segue(home.lake, "down")
