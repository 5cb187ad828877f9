"""docker-compose.yml as a whole, in containers: build, start, ingest, train, play, recommend, kill, end.

    python -m tests.compose [--folder DIR] [--compose PROGRAM] [--tracks N]

Needs root, Debian's docker.io and debootstrap, and docker compose 2; without them it prints one line and
ends. Everything lies below --folder, the images too: a second run builds only what has changed.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.compose import engine as engines
from tests.compose import images, kubernetes
from tests.compose.project import Project
from tests.compose.visitor import Visitor

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run everything; the first thing that is not as promised ends it with an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/segue-compose"))
    parser.add_argument(
        "--compose", default="/usr/libexec/docker/cli-plugins/docker-compose", metavar="PROGRAM"
    )
    parser.add_argument("--tracks", type=int, default=24)
    arguments = parser.parse_args()
    reason = engines.missing() or ("" if shutil.which(arguments.compose) else f"no {arguments.compose}")
    if reason:
        print(f"tests.compose: expected root and a container engine, found {reason}: nothing was run")
        return
    # So that containers and engine end with it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    log = _logger(arguments.folder / "log.txt")
    with engines.running(arguments.folder, arguments.compose) as engine:
        images.build(engine, (ROOT / "docker-compose.yml").read_text(), log)
        log(f"size of {engine.docker('images', '--format', '{{.Repository}} {{.Size}}', 'segue').strip()}")
        music = _demo(arguments.folder / f"demo-{arguments.tracks}", arguments.tracks)
        project = Project(engine, music, log)
        try:
            _use(project, log)
        except BaseException:
            project.save_logs()
            raise
        finally:
            project.remove()
        kubernetes.run_batch(engine, music, log)
    log("everything as promised")


def _use(project: Project, log: Callable[[str], None]) -> None:
    """Start the services, use them as people do, and kill each of them."""
    project.start()
    project.check_rules()
    project.check_compiled()
    visitor = Visitor(project, log)
    visitor.ingest_and_train()
    visitor.log_in()
    visitor.listen()
    project.measure_rest()
    for service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]:
        if service in project.services:
            project.kill(service)
    visitor.listen()
    visitor.check_nothing_is_lost()
    project.check_targets()


def _demo(folder: Path, tracks: int) -> Path:
    if not folder.exists():
        words = ["demo", "--out", str(folder), "--tracks", str(tracks)]
        subprocess.run([sys.executable, "-m", "jobs", *words], cwd=ROOT, check=True)
    return folder


def _logger(file: Path) -> Callable[[str], None]:
    started = time.monotonic()
    file.write_text("")

    def log(line: str) -> None:
        text = f"{time.monotonic() - started:6.0f} s  {line}"
        print(text, flush=True)
        with file.open("a") as out:
            out.write(f"{text}\n")

    return log


if __name__ == "__main__":
    main()
