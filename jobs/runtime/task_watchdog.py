"""End a Spark job when its Airflow task ends.

The job of a killed task would keep the lake locked against the retry.
"""

import logging
import os
import threading
import time
from contextlib import suppress
from typing import NoReturn

import psutil

log = logging.getLogger("segue")

# The main class of the JVM that submits a Spark job.
SUBMIT_CLASS = "org.apache.spark.deploy.SparkSubmit"

_POLL_INTERVAL_S = 2.0


def end_with_task(task_pid: int) -> None:
    """End this job and its JVM once the process of its task has ended, also if that was before the JVM had
    started.

    Does nothing unless spark-submit started this process: the variable with the task's process id is
    inherited by everything a job starts, an embedded server too.
    """
    with suppress(psutil.NoSuchProcess):
        jvm = psutil.Process().parent()
        if jvm is not None and SUBMIT_CLASS in jvm.cmdline():
            # All ancestors, not only the parent: spark-submit may be a script that waits for the JVM.
            task = next((process for process in jvm.parents() if process.pid == task_pid), None)
            if task is None:
                _end(jvm)
            threading.Thread(target=_watch, args=(task, jvm), name="task-watchdog", daemon=True).start()


def _watch(task: psutil.Process, jvm: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while task.is_running() and task.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_INTERVAL_S)
    _end(jvm)


def _end(jvm: psutil.Process) -> NoReturn:
    log.error("the Airflow task of this job was killed: ending the job; the task's retry resumes it")
    with suppress(psutil.NoSuchProcess):
        jvm.kill()
    os._exit(1)
