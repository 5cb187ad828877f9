"""What people do with the services: start the DAGs, log in, play, look at what is recommended."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.compose.project import Project

PASSWORD = "a password of the visitor"
DAG_LIMIT_S = 3600
LIST_LIMIT_S = 120


class Visitor:
    """One listener, who is the administrator too."""

    def __init__(self, project: Project, log: Callable[[str], None]) -> None:
        self._project = project
        self._log = log
        self._secret = ""
        self._sent: list[str] = []

    def ingest_and_train(self) -> None:
        """Start `ingest` by Airflow's API, which `train` follows; wait for both."""
        airflow = self._project.address("airflow-api")
        login = {"username": "admin", "password": self._project.passwords["AIRFLOW_ADMIN_PASSWORD"]}
        token = _ask(f"{airflow}/auth/token", body=login)["access_token"]
        _ask(f"{airflow}/api/v2/dags/ingest/dagRuns", token, {"logical_date": None})
        for dag in ("ingest", "train"):
            started = time.monotonic()
            while (run := self._newest_run(airflow, dag, token))["state"] != "success":
                if run["state"] == "failed" or time.monotonic() - started > DAG_LIMIT_S:
                    raise RuntimeError(f"expected {dag} to succeed, found {run}")
                time.sleep(5)
            self._log(f"DAG {dag}: success after {time.monotonic() - started:.0f} s")

    def _newest_run(self, airflow: str, dag: str, token: str) -> dict[str, Any]:
        runs = _ask(f"{airflow}/api/v2/dags/{dag}/dagRuns?order_by=-id&limit=1", token)["dag_runs"]
        return dict(runs[0]) if runs else {"state": "none yet"}

    def log_in(self) -> None:
        """Make a user and an app password, with the commands of the guide."""
        run = ("exec", "-T", "serving", "segue", "user")
        self._project.compose(*run, "add", "anna", "--admin", "--password-file", "-", stdin=f"{PASSWORD}\n")
        out = self._project.compose(*run, "app-password", "anna")
        self._secret = next(word for word in out.split() if len(word) > 20)

    def listen(self) -> None:
        """Play a track, like another one, and wait for the list that follows."""
        serving = self._project.address("serving")
        tracks = _ask(f"{serving}/api/tracks?limit=500", self._secret)["items"]
        before = _ask(f"{serving}/api/recommendations", self._secret)
        played, liked = (track["id"] for track in tracks[len(self._sent) :][:2])
        request = urllib.request.Request(
            f"{serving}/api/tracks/{played}/audio",
            headers={"Authorization": f"Bearer {self._secret}", "Range": "bytes=0-65535"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            n_bytes = len(answer.read())
        started = time.monotonic()
        for track_id, event in ((played, "finished"), (liked, "liked")):
            event_id = f"compose-{len(self._sent)}"
            body = {"event_id": event_id, "track_id": track_id, "event": event, "session_id": "compose"}
            _ask(f"{serving}/api/events", self._secret, body)
            self._sent.append(event_id)
        while True:
            after = _ask(f"{serving}/api/recommendations", self._secret)
            if after["personal"] and after["as_of"] != before["as_of"] and after["items"]:
                break
            if time.monotonic() - started > LIST_LIMIT_S:
                raise RuntimeError(f"expected a new personal list, found {str(after)[:300]}")
            time.sleep(0.2)
        seconds = time.monotonic() - started
        self._log(
            f"{len(tracks)} tracks; {n_bytes} bytes of audio; a personal list {seconds:.1f} s after the plays"
        )

    def check_nothing_is_lost(self) -> None:
        """Compare PLAYS with what the player has accepted."""
        script = (
            "import json; from pathlib import Path; "
            "from jobs.lake.storage import Lake; from jobs.plays import play_log; "
            "plays = play_log.read(Lake(Path('/lake')), 'event_id'); "
            "print(json.dumps(sorted(plays['event_id'].to_pylist())))"
        )
        stored = json.loads(self._project.compose("exec", "-T", "serving", "python", "-c", script))
        if stored != sorted(self._sent):
            raise RuntimeError(f"expected {sorted(self._sent)} in PLAYS, found {stored}")
        self._log(f"PLAYS has each of the {len(stored)} accepted events once")


def _ask(url: str, token: str = "", body: dict[str, Any] | None = None) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return json.loads(answer.read() or b"null")
