"""The services of docker-compose.yml, started as one project: their health, their costs, their ends."""

import base64
import json
import os
import secrets
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import yaml

from tests.compose.engine import Engine
from tests.compose.images import ROOT, WITHOUT_STAND_IN

# Other ports than the file's: a Segue of this machine may use those.
PORTS = {
    "airflow-api": (18080, 8080),
    "mlflow": (15000, 5000),
    "serving": (18000, 8000),
    "prometheus": (19090, 9090),
}

# A machine under load; a start takes a tenth of it.
START_LIMIT_S = 900
REST_S = 120


class Project:
    """The services that have an image here."""

    def __init__(self, engine: Engine, music: Path, log: Callable[[str], None]) -> None:
        self._engine = engine
        self._log = log
        self.passwords = _passwords()
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.services = [name for name in services if name not in (*WITHOUT_STAND_IN, "airflow-init")]
        folder = engine.folder
        lines = [f"{name}={value}" for name, value in {**self.passwords, "SEGUE_MUSIC": music}.items()]
        (folder / ".env").write_text("\n".join(lines) + "\n")
        override = {
            name: {"ports": [f"127.0.0.1:{outside}:{inside}"]} for name, (outside, inside) in PORTS.items()
        }
        text = yaml.safe_dump({"services": override}).replace("ports:", "ports: !override")
        (folder / "override.yml").write_text(text)
        self._options = ["--project-name", "seguetest", "--project-directory", str(ROOT)]
        self._options += ["--env-file", str(folder / ".env"), "--profile", "monitoring"]
        self._options += ["--file", str(ROOT / "docker-compose.yml"), "--file", str(folder / "override.yml")]

    def compose(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker compose` on this project."""
        return self._engine.compose(*self._options, *words, stdin=stdin)

    def address(self, service: str) -> str:
        """Return the address of a service for this machine."""
        return f"http://127.0.0.1:{PORTS[service][0]}"

    def container(self, service: str) -> str:
        """Return the name of a service's first container."""
        return f"seguetest-{service}-1"

    def start(self) -> None:
        """Start everything as its users do, and report how long each took to be healthy."""
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            command = pool.submit(self.compose, "up", "--detach", "--no-build", *self.services)
            waiting = set(self.services)
            while waiting and not (command.done() and command.exception()):
                for service in sorted(waiting):
                    seconds = self._seconds_to_health(service)
                    if seconds is not None:
                        waiting.remove(service)
                        self._log(f"  {service}: healthy {seconds:.0f} s after its start")
                if time.monotonic() - started > START_LIMIT_S:
                    raise RuntimeError(f"expected all services to be healthy, found that {waiting} are not")
                time.sleep(1)
            command.result()
        self._log(f"all {len(self.services)} services healthy after {time.monotonic() - started:.0f} s")

    def _seconds_to_health(self, service: str) -> float | None:
        """Return how long a service that is healthy now has run, or None."""
        try:
            state = self._engine.inspect(self.container(service))["State"]
        except RuntimeError:  # not created yet
            return None
        if state.get("Health", {}).get("Status") != "healthy":
            return None
        return time.time() - _time(state["StartedAt"])

    def wait_until_healthy(self, service: str, other_than: str = "") -> float:
        """Wait until a service is healthy, in another run than the one named; return the seconds."""
        begun = time.monotonic()
        while True:
            state = self._engine.inspect(self.container(service))["State"]
            if state.get("Health", {}).get("Status") == "healthy" and state["StartedAt"] != other_than:
                return time.monotonic() - begun
            if time.monotonic() - begun > START_LIMIT_S:
                raise RuntimeError(f"expected {service} to be healthy, found {json.dumps(state)[:1500]}")
            time.sleep(1)

    def check_rules(self) -> None:
        """Check the alert rules and Prometheus' settings with its own tool."""
        out = self.compose(
            "exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml"
        )
        self._log(" ".join(out.split()))

    def check_compiled(self) -> None:
        """Check that a process of the image compiles no loops and no bytecode."""
        script = (
            "import time; started = time.process_time(); from jobs.dsp import features; "
            "features.warm_up(); print(time.process_time() - started)"
        )
        out = self.compose("exec", "-T", "spark-worker", "python", "-c", script)
        self._log(f"import and first extraction in a worker's container: {float(out):.1f} s of CPU")

    def check_targets(self) -> None:
        """Check that Prometheus reaches the player and the stream."""
        query = "wget -q -O - http://127.0.0.1:9090/api/v1/query?query=up"
        deadline = time.monotonic() + 120
        while True:
            answer = json.loads(self.compose("exec", "-T", "prometheus", "sh", "-c", query))
            up = {each["metric"]["job"]: each["value"][1] for each in answer["data"]["result"]}
            if up == {"serving": "1", "stream": "1"}:
                return self._log("Prometheus scrapes serving and stream")
            if time.monotonic() > deadline:
                raise RuntimeError(f"expected Prometheus to reach both, found {up}")
            time.sleep(5)

    def measure_rest(self) -> None:
        """Report what each container costs while nobody does anything."""
        before = {name: self._engine.cpu_seconds(self.container(name)) for name in self.services}
        time.sleep(REST_S)
        total = 0.0
        for name in self.services:
            used = (self._engine.cpu_seconds(self.container(name)) - before[name]) / REST_S
            total += used
            memory = self._engine.docker(
                "stats", "--no-stream", "--format", "{{.MemUsage}}", self.container(name)
            )
            self._log(f"  at rest: {name} {100 * used:.1f} % of a core, {memory.split('/')[0].strip()}")
        self._log(f"at rest, all services: {100 * total:.0f} % of a core")

    def kill(self, service: str) -> None:
        """Kill a container's first process, as the kernel does when memory ends; wait until it is back.

        (`docker kill` would count as the user's wish to stop it.)
        """
        state = self._engine.inspect(self.container(service))["State"]
        os.kill(state["Pid"], signal.SIGKILL)
        seconds = self.wait_until_healthy(service, other_than=state["StartedAt"])
        self._log(f"{service} killed: healthy again after {seconds:.0f} s")

    def save_logs(self) -> None:
        """Write what the containers printed to a file."""
        (self._engine.folder / "containers.log").write_text(
            self.compose("logs", "--no-color", "--tail", "400")
        )

    def remove(self) -> None:
        """End and remove the containers and their volumes."""
        self.compose("down", "--volumes", "--timeout", "20")


def _passwords() -> dict[str, str]:
    names = (ROOT / ".env.example").read_text().splitlines()
    empty = [line.removesuffix("=") for line in names if line.endswith("=") and not line.startswith("#")]
    values = {name: secrets.token_hex(48) for name in empty if name != "SEGUE_MUSIC"}
    values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return values


def _time(text: str) -> float:
    # Nanoseconds, which Python does not read.
    head, _, tail = text.partition(".")
    zone = "+00:00" if tail.endswith("Z") else tail[-6:]
    return datetime.fromisoformat(f"{head}.{tail[:6]}{zone}").timestamp()
