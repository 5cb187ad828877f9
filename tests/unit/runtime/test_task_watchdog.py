"""A job ends with the task that submitted it: task, JVM and job are plain processes here."""

import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil

from jobs.runtime.task_watchdog import SUBMIT_CLASS

JOB = (
    "from jobs.runtime import task_watchdog; import os, time; "
    "task_watchdog.hold(int(os.environ['TASK'])); print('held', flush=True); time.sleep(600)"
)
RUN = "import os, subprocess, sys, time; os.environ.setdefault('TASK', str(os.getpid())); "
# A JVM takes seconds to start; here it has started once its task has ended.
LATE = "print('starting', flush=True)\nwhile os.getppid() == int(os.environ['TASK']): time.sleep(.1)\n"


def started(*words, late=False):
    """A task, what it has started with these words, and the job below; the task's stdout."""
    jvm = f"{RUN}{LATE if late else ''}subprocess.run([sys.executable, '-c', {JOB!r}])"
    task = f"{RUN}subprocess.run([sys.executable, '-c', {jvm!r}, *{words!r}])"
    return subprocess.Popen([sys.executable, "-c", task], stdout=subprocess.PIPE)


@contextmanager
def killed(task, said, processes):
    """Kill the task once what it has started has said this; give the processes that it has left."""
    below = []
    try:
        assert task.stdout.readline() == said
        below = psutil.Process(task.pid).children(recursive=True)
        assert len(below) == processes
        task.kill()
        task.wait()
        yield below
    finally:
        task.kill()
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_killed_task_takes_its_jvm_and_its_job_along():
    with killed(started(SUBMIT_CLASS), b"held\n", 2) as below:
        assert psutil.wait_procs(below, timeout=60)[1] == []


def test_a_task_killed_while_its_jvm_starts_takes_it_along_and_the_job_does_nothing():
    """The job of a killed try once kept the lake from the next: it began when the task was gone already."""
    task = started(SUBMIT_CLASS, late=True)
    with killed(task, b"starting\n", 1) as below:
        assert psutil.wait_procs(below, timeout=60)[1] == []
        assert task.stdout.read() == b""


def test_what_no_spark_submit_has_started_lives_on():
    """As the services of a `segue up` that was typed where a task's environment is."""
    with killed(started("supervisord"), b"held\n", 2) as below:
        assert psutil.wait_procs(below, timeout=5)[0] == []
