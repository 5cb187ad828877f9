"""Prepare Java, the jars, the class archive and MusiCNN's weights, so that later starts need no network.

`python -m jobs.runtime.install`.
"""

import sys

from jobs import settings
from jobs.errors import StepError
from jobs.musicnn import weights
from jobs.runtime import class_archive, jars, java


def install() -> None:
    """Prepare everything that runs on Java, and the weights; print a line for each part."""
    home = java.java_home()
    print(f"java: {home}", flush=True)
    for name in jars.read_lock(jars.LOCK_FILE.read_text()):
        files = jars.jar_files(name)
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        print(f"jars [{name}]: {len(files)} checked, {megabytes:.1f} MB", flush=True)
    written = class_archive.write_class_archive(home)
    print(f"class archive: {'written' if written else 'not written; Spark starts slower'}", flush=True)
    print(f"musicnn: {_install_weights()}", flush=True)


def _install_weights() -> str:
    """Install MusiCNN's weights where they are wanted; return what became of it.

    Everything works without them, with the recipe `timbre`: a failed download does not end the set-up.
    """
    if not settings.musicnn_enabled():
        return "off (SEGUE_MUSICNN)"
    try:
        return "weights installed" if weights.install() else "weights already installed"
    except StepError as error:
        return f"no weights, tracks are embedded without them ({error})"


if __name__ == "__main__":
    try:
        install()
    except StepError as error:
        sys.exit(f"install: {error}")
