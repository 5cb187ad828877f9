"""Prepare Java, the jars and the class archive, so that later starts need no network.

`python -m jobs.runtime.install`.
"""

import sys

from jobs.errors import StepError
from jobs.runtime import class_archive, jars, java


def install() -> None:
    """Prepare everything that runs on Java; print a line for each part."""
    home = java.java_home()
    print(f"java: {home}", flush=True)
    for name in jars.read_lock(jars.LOCK_FILE.read_text()):
        files = jars.jar_files(name)
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        print(f"jars [{name}]: {len(files)} checked, {megabytes:.1f} MB", flush=True)
    written = class_archive.write_class_archive(home)
    print(f"class archive: {'written' if written else 'not written; Spark starts slower'}", flush=True)


if __name__ == "__main__":
    try:
        install()
    except StepError as error:
        sys.exit(f"install: {error}")
