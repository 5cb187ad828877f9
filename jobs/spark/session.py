"""The Spark session.

Settings from `spark_conf/`, Java and Python of this installation, Spark's output in a log file.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.paths import ROOT
from jobs.runtime import java
from jobs.settings import SINGLE_THREAD_ENV

CONF_DIR = ROOT / "spark_conf"

# Module state, because a process has one Spark session and one stderr, and the command that knows the log
# file is not the code that starts the session.
_log_file: Path | None = None


def redirect_stderr_to(path: Path) -> None:
    """Set the file that Spark's processes write their stderr to, instead of this process's.

    Before `get_session`.
    """
    global _log_file
    _log_file = path


def get_session(
    master: str,
    *,
    settings: str | None = None,
    jars: Sequence[Path] = (),
    options: Mapping[str, str] | None = None,
) -> SparkSession:
    """Return this process's Spark session on `master`; the first call starts it.

    Under spark-submit the submitted settings hold, the master included.

    Parameters
    ----------
    master
        Spark master, as in local[*] or spark://host:7077.
    settings
        Name of a file in `spark_conf/`; None is local.conf or cluster.conf, by the master.
    jars
        Java archives beside Spark's own.
    options
        Settings beside those of the file.
    """
    if SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _prepare_environment(master, settings, jars, options or {})
        with _stderr_to(_log_file):
            SparkSession.builder.appName("segue").getOrCreate()
    session = SparkSession.builder.appName("segue").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _prepare_environment(
    master: str, settings: str | None, jars: Sequence[Path], options: Mapping[str, str]
) -> None:
    """Set the environment variables that PySpark starts Java and its workers with."""
    is_local = master.startswith("local")
    if is_local or not os.environ.get("JAVA_HOME"):
        os.environ["JAVA_HOME"] = str(java.java_home())
    if is_local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # By default workers run the first python3 of the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for name, value in SINGLE_THREAD_ENV.items():
        os.environ.setdefault(name, value)
    settings_file = CONF_DIR / (settings or ("local.conf" if is_local else "cluster.conf"))
    command = ["--master", master, "--properties-file", str(settings_file)]
    if jars:
        command += ["--jars", ",".join(str(jar) for jar in jars)]
    for name, value in options.items():
        command += ["--conf", f"{name}={value}"]
    command.append("pyspark-shell")
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join(command)


@contextmanager
def _stderr_to(path: Path | None) -> Iterator[None]:
    """Let processes that start inside inherit a stderr that is the file `path`; None changes nothing.

    The JVM, its Python workers and the decoders in them write to file descriptor 2. PySpark has no option for
    the JVM's stderr, and `contextlib.redirect_stderr` replaces Python's object only, so the descriptor itself
    is exchanged meanwhile.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    saved = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
