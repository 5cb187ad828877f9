"""The Spark session.

Settings from `spark_conf/`, Java and Python of this installation, its chatter in a log file.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.paths import ROOT
from jobs.runtime import java

CONF_DIR = ROOT / "spark_conf"

# numpy, numba and OpenMP each start a thread per core; Spark already runs one worker per core.
SINGLE_THREAD_ENV = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)

_log: Path | None = None


def redirect_stderr_to(path: Path) -> None:
    """Send what Spark's processes print to a file from now on, instead of this process's stderr."""
    global _log
    _log = path


def get_session(master: str, *, settings: str | None = None, jars: Sequence[Path] = ()) -> SparkSession:
    """Return this process's session on `master`, started with the settings of `spark_conf/` at the first
    call.

    `settings` names the file, local.conf or cluster.conf where it is None; `jars` come beside Spark's own.
    Under spark-submit the submitted settings hold and `master` is what they say.
    """
    if SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _prepare(master, settings, jars)
        with _stderr_to(_log):
            SparkSession.builder.appName("segue").getOrCreate()
    session = SparkSession.builder.appName("segue").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _prepare(master: str, file: str | None, jars: Sequence[Path]) -> None:
    local = master.startswith("local")
    if local:
        os.environ["JAVA_HOME"] = str(java.java_home())
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Workers take whatever python3 the PATH has, unless told.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for name, value in SINGLE_THREAD_ENV.items():
        os.environ.setdefault(name, value)
    settings = CONF_DIR / (file or ("local.conf" if local else "cluster.conf"))
    command = ["--master", master, "--properties-file", str(settings)]
    command += ["--jars", ",".join(map(str, jars))] if jars else []
    command += ["pyspark-shell"]
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join(command)


@contextmanager
def _stderr_to(path: Path | None) -> Iterator[None]:
    """Let processes started inside inherit a stderr that goes to `path`.

    Decoders and the JVM print at will.
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
