"""Prepare Java, the jars, the class archive and MusiCNN's weights, so that later starts need no network.

`python -m jobs.runtime.install`; with `--without-archive` no class archive is written, which has 170 MB and
takes 4 s off each start of Spark.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobs import settings
from jobs.errors import StepError
from jobs.musicnn import weights
from jobs.runtime import class_archive, jars, java


def install(*, with_archive: bool = True) -> None:
    """Prepare everything that runs on Java, and the weights; print a line for each part when it is ready.

    The parts are independent. The archive needs the processor, the others wait for the network.
    """
    home = java.java_home()
    print(f"java: {home}", flush=True)
    parts: list[Callable[[], str]] = [_install_jars, _install_weights]
    if with_archive:
        parts.append(lambda: _write_archive(home))
    with ThreadPoolExecutor(len(parts)) as pool:
        for done in [pool.submit(_print_result, part) for part in parts]:
            done.result()


def _print_result(part: Callable[[], str]) -> None:
    print(part(), flush=True)


def _install_jars() -> str:
    """Download the jars, verify them all, and return their number and size by group."""
    jars.download_all()
    lines = []
    for name in jars.read_lock(jars.LOCK_FILE.read_text()):
        files = jars.jar_files(name)
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        lines.append(f"jars [{name}]: {len(files)} checked, {megabytes:.1f} MB")
    return "\n".join(lines)


def _write_archive(home: Path) -> str:
    written = class_archive.write_class_archive(home)
    return f"class archive: {'written' if written else 'not written; Spark starts slower'}"


def _install_weights() -> str:
    """Install MusiCNN's weights where they are wanted; return what became of it.

    Everything works without them, with the recipe `timbre`: a failed download does not end the set-up.
    """
    if not settings.musicnn_enabled():
        return "musicnn: off (SEGUE_MUSICNN)"
    try:
        return "musicnn: weights " + ("installed" if weights.install() else "already installed")
    except StepError as error:
        return f"musicnn: no weights, tracks are embedded without them ({error})"


if __name__ == "__main__":
    try:
        install(with_archive="--without-archive" not in sys.argv[1:])
    except StepError as error:
        sys.exit(f"install: {error}")
