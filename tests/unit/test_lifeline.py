"""A job ends with the task that submitted it: task, JVM and job are plain processes here."""

import subprocess
import sys
from contextlib import suppress

import psutil

JOB = "from jobs import lifeline; import time; lifeline.hold(); print('held', flush=True); time.sleep(600)"
JVM = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {JOB!r}])"
TASK = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {JVM!r}])"


def test_a_killed_task_takes_its_jvm_and_its_job_along():
    task = subprocess.Popen([sys.executable, "-c", TASK], stdout=subprocess.PIPE)
    below = []
    try:
        assert task.stdout.readline() == b"held\n"
        below = psutil.Process(task.pid).children(recursive=True)
        assert len(below) == 2
        task.kill()
        task.wait()
        assert psutil.wait_procs(below, timeout=60)[1] == []
    finally:
        task.kill()
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
