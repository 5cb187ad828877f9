"""A Spark job that Airflow has submitted ends with its task: else a killed task's job keeps the lake from its own retry."""

import logging
import os
import threading
import time
from contextlib import suppress
from typing import NoReturn

import psutil

log = logging.getLogger("segue")

# What the JVM runs that has started a job.
SUBMIT_CLASS = "org.apache.spark.deploy.SparkSubmit"

# Seconds between two looks at the task.
_POLL_INTERVAL_S = 2.0


def end_with_task(task: int) -> None:
    """End this job, its JVM with it, once the process of its task has ended; at once where it ended while the JVM started."""
    with suppress(psutil.NoSuchProcess):
        jvm = psutil.Process().parent()
        # The task's number is inherited by whatever the job starts, an embedded store too.
        if jvm is not None and SUBMIT_CLASS in jvm.cmdline():
            # Not its parent alone: spark-submit may be a script of somebody's own, which waits for it.
            holder = next((process for process in jvm.parents() if process.pid == task), None)
            if holder is None:
                _end(jvm)
            threading.Thread(target=_watch, args=(holder, jvm), name="lifeline", daemon=True).start()


def _watch(task: psutil.Process, jvm: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while task.is_running() and task.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_INTERVAL_S)
    _end(jvm)


def _end(jvm: psutil.Process) -> NoReturn:
    log.error("the task that started this job was killed, and the job ends; its retry goes on from here")
    with suppress(psutil.NoSuchProcess):
        jvm.kill()
    os._exit(1)
