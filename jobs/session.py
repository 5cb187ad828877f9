"""The Spark session: settings from `spark_conf/`, Java and Python of this installation."""

import os
import shlex
import sys
from pathlib import Path

from pyspark.sql import SparkSession

# JAVA

ROOT = Path(__file__).resolve().parent.parent

# numpy, numba and OpenMP each start a thread per core; Spark already runs one worker per core.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def spark(master: str) -> SparkSession:
    """Return this process's session on `master`, started with the settings of `spark_conf/` at the first call.

    Under spark-submit the submitted settings hold and `master` is what they say.
    """
    if SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        configuration = ROOT / "spark_conf" / ("local.conf" if master.startswith("local") else "cluster.conf")
        if master.startswith("local"):
            pass
        # Workers take whatever python3 the PATH has, unless told.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        for name, value in ONE_THREAD.items():
            os.environ.setdefault(name, value)
        os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join(
            ["--master", master, "--properties-file", str(configuration), "pyspark-shell"]
        )
    session = SparkSession.builder.appName("segue").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def stop() -> None:
    """Stop this process's session, if it has one."""
    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
