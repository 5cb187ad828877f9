"""The services of one machine: which there are, and how they start. How they are says health.py, how they end processes.py.

supervisord keeps them (restarts what ends, a process group each).

lake/services/secrets.json     generated passwords and keys; readable by their owner only
lake/services/state.json       ports and supervisord's process id
lake/services/logs             a log per service, and supervisord's own
"""

import configparser
import json
import os
import secrets
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobs import paths, settings
from jobs.errors import InputError, StepError
from jobs.paths import ROOT
from jobs.runtime import java

PROCESS_MARKER = "SEGUE_SERVICES"
USERS = ("admin", "viewer")

# What ends is started again for as long as it takes, a second later every time: what stood in its way (a full disk, a port)
# may pass.
_RETRIES = 1_000

# Seconds that a service may take over ending itself; what is left is killed.
STOP_S = 5

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Service:
    """One long-running process: its command, and the address that answers 200 once it is healthy (None: it has none)."""

    name: str
    command: tuple[str, ...]
    health: str | None = None


@dataclass(frozen=True)
class ServiceHome:
    """Where one lake's services keep what they have to remember."""

    lake: Path

    @property
    def folder(self) -> Path:
        """The folder of state, secrets and logs."""
        return self.lake / "services"

    def state(self) -> dict[str, int]:
        """Return the ports and supervisord's process id; empty where nothing is up."""
        with suppress(OSError, ValueError):
            return {
                str(name): int(value)
                for name, value in json.loads((self.folder / "state.json").read_text()).items()
            }
        return {}

    def library(self, given: str | None) -> str | None:
        """Return the absolute path of the folder of music: the one given now, else the environment's, else the last given."""
        last, named = self.folder / "library.json", given or os.environ.get("SEGUE_LIBRARY")
        if not named:
            return str(json.loads(last.read_text())) if last.exists() else None
        folder = str(Path(named).expanduser().absolute())
        if given:
            write_private(last, json.dumps(folder))
        return folder

    def secrets(self) -> dict[str, str]:
        """Return the passwords and keys, made at the first call."""
        file = self.folder / "secrets.json"
        if not file.exists():
            made = {name: secrets.token_urlsafe(12) for name in USERS}
            made |= {"jwt": secrets.token_urlsafe(64), "session": secrets.token_urlsafe(32)}
            made["fernet"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
            write_private(file, json.dumps(made))
        return dict(json.loads(file.read_text()))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    paths.make_private_dir(path.parent)
    scratch = path.with_name(f"{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    scratch.replace(path)


def free_port(wanted: int | None, usual: int, taken: set[int]) -> int:
    """Return `wanted`, or else the usual port, or where that is in use any free one.

    InputError where the wanted one is in use.
    """
    for port in [wanted] if wanted else [usual, 0]:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found = int(probe.getsockname()[1])
            if found not in taken:
                return found
    raise InputError(f"expected port {wanted} of 127.0.0.1 to be free, found it in use; name another one")


def define_services(home: ServiceHome, ports: Mapping[str, int]) -> list[Service]:
    """Return what `segue up` starts, given the ports."""
    airflow, mlflow = (f"http://127.0.0.1:{ports[name]}" for name in ("airflow", "mlflow"))
    return [
        Service("mongo", (sys.executable, "-m", "jobs.runtime.embedded_mongo", str(home.lake / "mongo"))),
        Service("kafka", (sys.executable, "-m", "jobs.runtime.embedded_kafka", str(home.lake / "kafka"))),
        Service("stream", (str(BIN / "segue"), "stream", "--lake", str(home.lake))),
        # What `mlflow server` starts, without the 200 MB of the process that only waits for it.
        Service("mlflow", (*_uvicorn(ports["mlflow"]), "mlflow.server.fastapi_app:app"), f"{mlflow}/health"),
        Service(
            "api-server",
            (
                str(BIN / "airflow"),
                "api-server",
                "--host",
                "127.0.0.1",
                "--port",
                str(ports["airflow"]),
                "--workers",
                "1",
            ),
            f"{airflow}/api/v2/monitor/health",
        ),
        Service("scheduler", (str(BIN / "airflow"), "scheduler", "--skip-serve-logs")),
        Service(
            "serving",
            (str(BIN / "segue"), "serve", "--lake", str(home.lake), "--port", str(ports["serving"])),
            f"http://127.0.0.1:{ports['serving']}/api/health",
        ),
        Service("dag-processor", (str(BIN / "airflow"), "dag-processor")),
    ]


def _uvicorn(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")


def airflow_environment(
    home: ServiceHome, ports: Mapping[str, int], *, master: str, library: str | None
) -> dict[str, str]:
    """Return the environment of all services: Airflow's settings, the addresses, this installation's Python and Java."""
    keys = home.secrets()
    passwords = home.folder / "passwords.json"
    write_private(passwords, json.dumps({name: keys[name] for name in USERS}))
    airflow = f"http://127.0.0.1:{ports['airflow']}"
    data = home.lake / "airflow"
    given = {
        PROCESS_MARKER: str(home.lake),
        "SEGUE_LAKE": str(home.lake),
        "SEGUE_MLFLOW": f"http://127.0.0.1:{ports['mlflow']}",
        "SEGUE_SPARK_CONF": "local.conf" if master.startswith("local") else "cluster.conf",
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
        "JAVA_HOME": str(java.java_home()),
        # As `mlflow server --backend-store-uri … --default-artifact-root … --no-serve-artifacts` says it to its workers: models
        # are files in the lake, whether a command finds them by the server or by itself.
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{settings.mlflow_database(home.lake)}",
        "_MLFLOW_SERVER_ARTIFACTROOT": (home.lake / "mlflow").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AIRFLOW_HOME": str(data),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": master}),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{data / 'airflow.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "jobs.orchestration.executor.Executor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # What a killed scheduler had running or queued is seen within a minute, not after five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{name}" for name in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow}/execution/",
        "AIRFLOW__API__BASE_URL": airflow,
        "AIRFLOW__API__SECRET_KEY": keys["session"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
    }
    if library is not None:
        given["SEGUE_LIBRARY"] = library
    return {**os.environ, **given}


def supervisor_configuration(home: ServiceHome, wanted: list[Service]) -> str:
    """Return supervisord's configuration. One group, so that all are asked to end at the same time."""
    logs = home.folder / "logs"
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "nodaemon": "true",
        "logfile": _escaped(str(logs / "supervisord.log")),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _escaped(str(home.folder / "supervisord.pid")),
        "childlogdir": _escaped(str(logs)),
    }
    parser["group:segue"] = {"programs": ",".join(service.name for service in wanted)}
    for service in wanted:
        parser[f"program:{service.name}"] = {
            "command": _escaped(" ".join(_quoted(word) for word in service.command)),
            "directory": _escaped(str(ROOT)),
            "stdout_logfile": _escaped(str(logs / f"{service.name}.log")),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "1",
            "redirect_stderr": "true",
            "autorestart": "true",
            "startsecs": "3",
            "startretries": str(_RETRIES),
            "stopasgroup": "true",
            "killasgroup": "true",
            "stopwaitsecs": str(STOP_S),
        }
    lines: list[str] = []
    for section in parser.sections():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in parser[section].items()), ""]
    return "\n".join(lines)


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Supervisor fills in %(names)s, and takes what stands after a blank and a semicolon for a comment."""
    return text.replace("%", "%%")


def start(home: ServiceHome, given: Mapping[str, str], wanted: list[Service]) -> int:
    """Prepare Airflow's database and pool, start supervisord in a session of its own; return its process id."""
    logs = home.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    pools = home.folder / "pools.json"
    pools.write_text(
        json.dumps({"lake": {"slots": 1, "description": "one writer per lake", "include_deferred": False}})
    )
    for words in (["db", "migrate"], ["pools", "import", str(pools)]):
        _airflow(words, given, logs / "airflow-setup.log")
    configuration = home.folder / "supervisord.conf"
    configuration.write_text(supervisor_configuration(home, wanted))
    # What the one before said may say why it ended; this one's tells how the start goes.
    with suppress(FileNotFoundError):
        (logs / "supervisord.log").replace(logs / "supervisord.log.before")
    # What it cannot log, on a full disk, it says to stderr; it ends where it cannot do that either.
    process = subprocess.Popen(
        [str(BIN / "supervisord"), "-c", str(configuration)],
        env=dict(given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )
    return process.pid


def _airflow(words: list[str], given: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as out:
        done = subprocess.run(
            [str(BIN / "airflow"), *words],
            env=dict(given),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode:
        raise StepError(
            f"expected `airflow {' '.join(words)}` to work, found exit {done.returncode}; see {log}"
        )
