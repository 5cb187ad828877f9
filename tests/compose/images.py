"""The images that docker-compose.yml names: Segue's from the Dockerfile, stand-ins for those of others.

No image can be pulled where this runs. A stand-in has the name and tag of the image it stands for, and is
made of Debian's packages or of what Segue's own image contains; `stand_ins/` has its Dockerfile.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.compose.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).parent / "stand_ins"
DEBIAN = "debian:bookworm-slim"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = Path("/etc/pip.conf")

# Grafana is in no registry that is reached here.
WITHOUT_STAND_IN = ("grafana",)

# As in the official image: apt leaves no caches in a layer.
_NO_CACHES = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""


def build(engine: Engine, compose_file: str, log: Callable[[str], None]) -> None:
    """Build every image that the engine does not have yet, and always Segue's."""
    named = set(re.findall(r"image: (\S+)", compose_file))
    (base,) = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    _build_debian(engine, log)
    _build_stand_in(engine, base, "python", log)
    (segue,) = [image for image in named if image.startswith("segue:")]
    _timed(log, segue, lambda: engine.docker("build", "--tag", segue, str(ROOT)))
    for image in sorted(named - {segue}):
        name = image.split(":")[0].split("/")[-1]
        if name not in WITHOUT_STAND_IN:
            _build_stand_in(engine, image, name, log)


def _build_debian(engine: Engine, log: Callable[[str], None]) -> None:
    if engine.has_image(DEBIAN):
        return
    root = engine.folder / "debian"
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root)]

    def make() -> None:
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for cache in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / cache)
            (root / cache / "partial").mkdir(parents=True)
        (root / "etc/apt/apt.conf.d/docker-clean").write_text(_NO_CACHES)
        archive = engine.folder / "debian.tar"
        subprocess.run(["tar", "--create", "--file", archive, "--directory", root, "."], check=True)
        engine.docker("import", str(archive), DEBIAN)
        archive.unlink()
        shutil.rmtree(root)

    _timed(log, DEBIAN, make)


def _build_stand_in(engine: Engine, image: str, name: str, log: Callable[[str], None]) -> None:
    """Build from `stand_ins/NAME`, with this machine's certificates and pip's settings beside it."""
    if name == "python" and engine.has_image(image):
        return
    context = engine.folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(STAND_INS / name, context)
    shutil.copy(CERTIFICATES, context / "certificates.crt")
    (context / "pip.conf").write_text(PIP_SETTINGS.read_text() if PIP_SETTINGS.exists() else "")
    _timed(log, f"{image} (stand-in)", lambda: engine.docker("build", "--tag", image, str(context)))


def _timed(log: Callable[[str], None], name: str, work: Callable[[], object]) -> None:
    started = time.monotonic()
    print(f"building {name}", file=sys.stderr, flush=True)
    work()
    log(f"image {name}: {time.monotonic() - started:.0f} s")
