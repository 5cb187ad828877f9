"""A job ends with the task that submitted it: task, JVM and job are plain processes here."""

import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil

from jobs.orchestration.lifeline import SUBMITS

JOB = (
    "from jobs.orchestration import lifeline; import time; lifeline.hold(); print('held', flush=True); time.sleep(600)"
)


def started(*words):
    """A task, what it has started with these words, and the job below; the task's stdout."""
    jvm = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {JOB!r}])"
    task = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {jvm!r}, *{words!r}])"
    return subprocess.Popen([sys.executable, "-c", task], stdout=subprocess.PIPE)


@contextmanager
def killed(task):
    """Kill the task once its job is at work; give what it has left."""
    below = []
    try:
        assert task.stdout.readline() == b"held\n"
        below = psutil.Process(task.pid).children(recursive=True)
        assert len(below) == 2
        task.kill()
        task.wait()
        yield below
    finally:
        task.kill()
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_killed_task_takes_its_jvm_and_its_job_along():
    with killed(started(SUBMITS)) as below:
        assert psutil.wait_procs(below, timeout=60)[1] == []


def test_what_no_spark_submit_has_started_lives_on():
    """As the services of a `segue up` that was typed where a task's environment is."""
    with killed(started("supervisord")) as below:
        assert psutil.wait_procs(below, timeout=5)[0] == []
