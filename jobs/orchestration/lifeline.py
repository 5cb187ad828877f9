"""A Spark job that Airflow has submitted ends with its task: else a killed task's job keeps the lake from its own retry."""

import logging
import os
import threading
import time
from contextlib import suppress

import psutil

log = logging.getLogger("segue")

# What the JVM runs that has started a job.
SUBMITS = "org.apache.spark.deploy.SparkSubmit"

# Seconds between two looks at the task.
_LOOK_S = 2.0


def hold() -> None:
    """End this job, its JVM with it, once the process that started spark-submit has ended."""
    with suppress(psutil.NoSuchProcess):
        jvm = psutil.Process().parent()
        task = jvm.parent() if jvm is not None else None
        # A task's words are inherited by whatever it starts, a whole `segue up` with its supervisord too.
        if jvm is not None and task is not None and task.pid != 1 and SUBMITS in jvm.cmdline():
            threading.Thread(target=_watch, args=(task, jvm), name="lifeline", daemon=True).start()


def _watch(task: psutil.Process, jvm: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while task.is_running() and task.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_LOOK_S)
    log.error("the task that started this job was killed, and the job ends; its retry goes on from here")
    with suppress(psutil.NoSuchProcess):
        jvm.kill()
    os._exit(1)
