"""A job ends with the task that submitted it: task, JVM and job are plain Python processes here."""

import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil

from jobs.runtime.task_watchdog import SUBMIT_CLASS

JOB = (
    "from jobs.runtime import task_watchdog; import os, time; "
    "task_watchdog.end_with_task(int(os.environ['TASK'])); print('watching', flush=True); time.sleep(600)"
)
PREAMBLE = "import os, subprocess, sys, time; os.environ.setdefault('TASK', str(os.getpid())); "
# A JVM takes seconds to start; this one starts the job only when its task has ended.
WAIT_FOR_THE_END_OF_THE_TASK = (
    "print('starting', flush=True)\nwhile os.getppid() == int(os.environ['TASK']): time.sleep(.1)\n"
)


def start_task(main_class, *, late_jvm=False):
    """Start a task, which starts a "JVM" with this main class, which starts the job; return the task."""
    delay = WAIT_FOR_THE_END_OF_THE_TASK if late_jvm else ""
    jvm = f"{PREAMBLE}{delay}subprocess.run([sys.executable, '-c', {JOB!r}])"
    task = f"{PREAMBLE}subprocess.run([sys.executable, '-c', {jvm!r}, {main_class!r}])"
    return subprocess.Popen([sys.executable, "-c", task], stdout=subprocess.PIPE)


@contextmanager
def killed(task, line, n_descendants):
    """Kill the task once a descendant has printed this line; give the descendants."""
    descendants = []
    try:
        assert task.stdout.readline() == line
        descendants = psutil.Process(task.pid).children(recursive=True)
        assert len(descendants) == n_descendants
        task.kill()
        task.wait()
        yield descendants
    finally:
        task.kill()
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_job_and_jvm_end_with_a_killed_task():
    with killed(start_task(SUBMIT_CLASS), b"watching\n", 2) as descendants:
        assert psutil.wait_procs(descendants, timeout=60)[1] == []


def test_job_does_nothing_if_the_task_died_before_the_jvm_ran():
    """Such a job once locked the lake against the task's retry."""
    task = start_task(SUBMIT_CLASS, late_jvm=True)
    with killed(task, b"starting\n", 1) as descendants:
        assert psutil.wait_procs(descendants, timeout=60)[1] == []
        assert task.stdout.read() == b""


def test_process_without_spark_submit_outlives_the_task():
    """For example the services of a `segue up` that was typed inside a task's environment."""
    with killed(start_task("supervisord"), b"watching\n", 2) as descendants:
        assert psutil.wait_procs(descendants, timeout=5)[0] == []
