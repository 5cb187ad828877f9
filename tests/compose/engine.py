"""A container engine of our own: Debian's dockerd with its own folders and socket."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("dockerd", "docker", "debootstrap")


def missing() -> str:
    """Return why no engine can be started here, or ""."""
    if os.geteuid() != 0:
        return "an ordinary user"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(absent)} (apt-get install docker.io debootstrap)" if absent else ""


class Engine:
    """The running engine, and what is asked of it."""

    def __init__(self, folder: Path, compose: str) -> None:
        self.folder = folder
        self._compose = compose
        # The classic builder: it needs no plugin, and takes base images from the engine alone.
        self._environment = os.environ | {
            "DOCKER_HOST": f"unix://{folder}/socket",
            "DOCKER_CONFIG": str(folder / "config"),
            "DOCKER_BUILDKIT": "0",
        }

    def docker(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker WORDS` and return its output; the output is in the error if it fails."""
        return self._run(["docker", *words], stdin)

    def compose(self, *words: str, stdin: str | None = None) -> str:
        """Run `docker compose WORDS` in the current project; see `docker`."""
        return self._run([self._compose, *words], stdin)

    def _run(self, command: list[str], stdin: str | None) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, input=stdin, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:6])}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def has_image(self, name: str) -> bool:
        """Return whether the engine has an image."""
        return bool(self.docker("images", "--quiet", name).strip())

    def inspect(self, container: str) -> dict[str, Any]:
        """Return everything that the engine knows of a container."""
        (found,) = json.loads(self.docker("inspect", container))
        return dict(found)

    def cpu_seconds(self, container: str) -> float:
        """Return the processor time that a container has used since its start."""
        name = self.inspect(container)["Id"]
        paths = (
            f"/sys/fs/cgroup/cpuacct/docker/{name}/cpuacct.usage",
            f"/sys/fs/cgroup/docker/{name}/cpu.stat",
        )
        for path in map(Path, paths):
            if path.exists():
                return int(path.read_text().split()[-1 if path.name == "cpuacct.usage" else 1]) / (
                    1e9 if path.name == "cpuacct.usage" else 1e6
                )
        raise RuntimeError("expected the engine's control groups below /sys/fs/cgroup")


@contextmanager
def running(folder: Path, compose: str) -> Iterator[Engine]:
    """Start an engine over `folder`; end it, and with it every container, at the end."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    # DOCKER_RAMDISK: the machine's root may be one that cannot be pivoted away from.
    options = [f"--{name}={folder}/{name}" for name in ("data-root", "exec-root", "pidfile")]
    with (folder / "dockerd.log").open("w") as log:
        process = subprocess.Popen(
            ["dockerd", f"--host=unix://{folder}/socket", *options],
            env=os.environ | {"DOCKER_RAMDISK": "true"},
            stdout=log,
            stderr=log,
        )
    engine = Engine(folder, compose)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                engine.docker("version")
                break
            except RuntimeError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"expected dockerd to start: see {folder}/dockerd.log") from error
                time.sleep(0.5)
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
