"""The services of `segue up`: which there are, their files, and their start under supervisord.

supervisord restarts a service that ends; each service is a process group. `health.py` checks the services,
`processes.py` finds and stops their processes, `airflow_environment.py` has their environment.

    lake/services/secrets.json     generated passwords and keys, readable by their owner only
    lake/services/state.json       ports, and supervisord's process id and start time
    lake/services/library.json     the folder of music given last
    lake/services/logs             a log per service, and supervisord's own
"""

import configparser
import json
import secrets
import shlex
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobs import paths, settings
from jobs.errors import StepError
from jobs.paths import ROOT
from jobs.runtime import embedded_kafka

# An environment variable of every service and its children: the lake. `processes.py` finds them by it.
PROCESS_MARKER = "SEGUE_SERVICES"

# Airflow's users; the viewer can only look.
USERS = ("admin", "viewer")

# A service that ends is restarted this often, each time a second later: a full disk or a taken port may pass.
_MAX_RESTARTS = 1_000

# A service has this long to end itself before it is killed.
STOP_LIMIT_S = 5

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Service:
    """One long-running process.

    Its command, and the URL that answers 200 while it is healthy (None if it has none).
    """

    name: str
    command: tuple[str, ...]
    health_url: str | None = None


@dataclass(frozen=True)
class ServiceHome:
    """The files of one lake's services.

    `lake` is the lake's folder, `store` the address of its tables in an object store.
    """

    lake: Path
    store: str | None = None

    @property
    def address(self) -> str:
        """The lake as `--lake` takes it."""
        return self.store or str(self.lake)

    @property
    def folder(self) -> Path:
        """The folder of state, secrets and logs."""
        return self.lake / "services"

    def state(self) -> dict[str, int]:
        """Return the ports and supervisord's process id and start time; empty if nothing was started."""
        with suppress(OSError, ValueError):
            state = json.loads((self.folder / "state.json").read_text())
            return {str(name): int(value) for name, value in state.items()}
        return {}

    def write(self, name: str, content: object) -> None:
        """Write a JSON file that only its owner can read, whole or not at all."""
        paths.make_private_dir(self.folder)
        paths.atomic_write(self.folder / name, json.dumps(content), mode=0o600)

    def library(self, given: str | None) -> str | None:
        """Return the absolute path of the folder of music, or None.

        It is the given one, else the environment's (SEGUE_LIBRARY), else the one given last, which is
        remembered.
        """
        last = self.folder / "library.json"
        library = given or settings.dag_settings()["library"]
        if not library:
            return str(json.loads(last.read_text())) if last.exists() else None
        folder = str(Path(library).expanduser().absolute())
        if given:
            self.write(last.name, folder)
        return folder

    def secrets(self) -> dict[str, str]:
        """Return the passwords and keys; the first call generates them."""
        file = self.folder / "secrets.json"
        if not file.exists():
            generated = {name: secrets.token_urlsafe(12) for name in USERS}
            generated["jwt"] = secrets.token_urlsafe(64)
            generated["session"] = secrets.token_urlsafe(32)
            generated["fernet"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
            self.write(file.name, generated)
        return dict(json.loads(file.read_text()))


def define_services(home: ServiceHome, ports: Mapping[str, int]) -> list[Service]:
    """Return the services that `segue up` starts on these ports ("airflow", "mlflow", "serving")."""
    lake = home.address
    airflow = str(BIN / "airflow")
    segue = str(BIN / "segue")
    python = sys.executable
    mlflow_port, airflow_port, player_port = (str(ports[name]) for name in ("mlflow", "airflow", "serving"))
    return [
        Service("mongo", (python, "-m", "jobs.runtime.embedded_mongo", str(home.lake / "mongo"))),
        Service("kafka", (python, "-m", "jobs.runtime.embedded_kafka", str(home.lake / "kafka"))),
        Service("stream", (segue, "stream", "--lake", lake)),
        Service(
            # The worker that `mlflow server` would start, without the 200 MB of the process that waits for
            # it.
            "mlflow",
            (
                *(python, "-m", "uvicorn", "--host", "127.0.0.1", "--port", mlflow_port, "--workers", "1"),
                "mlflow.server.fastapi_app:app",
            ),
            f"http://127.0.0.1:{mlflow_port}/health",
        ),
        Service(
            "api-server",
            (airflow, "api-server", "--host", "127.0.0.1", "--port", airflow_port, "--workers", "1"),
            f"http://127.0.0.1:{airflow_port}/api/v2/monitor/health",
        ),
        Service("scheduler", (airflow, "scheduler", "--skip-serve-logs")),
        Service(
            "serving",
            (segue, "serve", "--lake", lake, "--port", player_port),
            f"http://127.0.0.1:{player_port}/api/health",
        ),
        Service("dag-processor", (airflow, "dag-processor")),
    ]


def print_addresses(home: ServiceHome) -> None:
    """Print the logs, the command that stops the services, the logins, and last the addresses."""
    ports = home.state()
    passwords = home.secrets()
    # MLflow's first page is about language models: link to the model.
    mlflow = settings.mlflow_model_url(f"http://127.0.0.1:{ports['mlflow']}")
    lake = paths.relative_to_here(home.lake)
    print(f"  logs         {paths.relative_to_here(home.folder)}/logs")
    print(f"  to stop      {paths.relative_to_here(BIN)}/segue down --lake {shlex.quote(str(lake))}")
    print(f"  Kafka        {embedded_kafka.find_embedded(home.lake)}")
    print(f"  MLflow       {mlflow}")
    print(f"  Airflow      http://127.0.0.1:{ports['airflow']}")
    print(f"               admin / {passwords['admin']}; read-only: viewer / {passwords['viewer']}")
    print(f"  player       http://127.0.0.1:{ports['serving']}")


def supervisor_configuration(home: ServiceHome, services: list[Service]) -> str:
    """Return supervisord's configuration.

    All services are one group, so that they are stopped at the same time.
    """
    logs = home.folder / "logs"
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "nodaemon": "true",
        "logfile": _escape(str(logs / "supervisord.log")),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": _escape(str(home.folder / "supervisord.pid")),
        "childlogdir": _escape(str(logs)),
    }
    parser["group:segue"] = {"programs": ",".join(service.name for service in services)}
    for service in services:
        parser[f"program:{service.name}"] = {
            "command": _escape(" ".join(_quote(word) for word in service.command)),
            "directory": _escape(str(ROOT)),
            "stdout_logfile": _escape(str(logs / f"{service.name}.log")),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "1",
            "redirect_stderr": "true",
            "autorestart": "true",
            "startsecs": "3",
            "startretries": str(_MAX_RESTARTS),
            "stopasgroup": "true",
            "killasgroup": "true",
            "stopwaitsecs": str(STOP_LIMIT_S),
        }
    lines: list[str] = []
    for section in parser.sections():
        lines.append(f"[{section}]")
        lines += [f"{name} = {value}" for name, value in parser[section].items()]
        lines.append("")
    return "\n".join(lines)


def _quote(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escape(text: str) -> str:
    """Escape supervisord's own interpolation: it replaces %(name)s."""
    return text.replace("%", "%%")


def start(home: ServiceHome, environment: Mapping[str, str], services: list[Service]) -> int:
    """Prepare Airflow's database and pool, then start supervisord in its own session.

    Return its process id.
    """
    logs = home.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    pools = home.folder / "pools.json"
    pool = {"slots": 1, "description": "one writer per lake", "include_deferred": False}
    pools.write_text(json.dumps({"lake": pool}))
    for words in (["db", "migrate"], ["pools", "import", str(pools)]):
        _run_airflow(words, environment, logs / "airflow-setup.log")
    configuration = home.folder / "supervisord.conf"
    configuration.write_text(supervisor_configuration(home, services))
    # Keep the previous log: it may explain why supervisord stopped.
    with suppress(FileNotFoundError):
        (logs / "supervisord.log").replace(logs / "supervisord.log.before")
    # With a full disk supervisord writes to stderr instead of its log, and exits if stderr is closed.
    process = subprocess.Popen(
        [str(BIN / "supervisord"), "-c", str(configuration)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )
    return process.pid


def _run_airflow(words: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Run an Airflow command to its end, with its output in `log`. StepError if it fails."""
    with log.open("ab") as output:
        result = subprocess.run(
            [str(BIN / "airflow"), *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if result.returncode:
        raise StepError(
            f"expected `airflow {' '.join(words)}` to succeed, "
            f"found exit status {result.returncode}; see {log}"
        )
