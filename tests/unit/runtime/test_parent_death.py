import os
import signal
import subprocess
import sys
import time

import psutil
import pytest


def start_parent(script):
    """Run a script that prints the process ids of its descendants; return its process and those ids."""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, [int(pid) for pid in parent.stdout.readline().split()]


def wait_until_ended(pids):
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) and not is_zombie(pid) for pid in pids):
        assert time.monotonic() < deadline, "expected the descendants to end with their parent"
        time.sleep(0.05)


def is_zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


SUBPROCESS = """
import functools, os, subprocess
from jobs.runtime.parent_death import kill_on_parent_exit
program = ["sleep", "4321.25"]
child = subprocess.Popen(program, preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()))
print(child.pid, flush=True)
child.wait()
"""

POOL = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from jobs.runtime.parent_death import kill_on_parent_exit
spawn = get_context("spawn")
pid = os.getpid()
with ProcessPoolExecutor(2, mp_context=spawn, initializer=kill_on_parent_exit, initargs=(pid,)) as pool:
    pids = [future.result() for future in [pool.submit(os.getpid) for _ in range(2)]]
    waiting = [pool.submit(time.sleep, 4321.25) for _ in range(2)]
    print(*set(pids), flush=True)
"""

FORKS = """
import os, time
from jobs.runtime.parent_death import kill_forks_on_parent_exit
kill_forks_on_parent_exit()
receiver, sender = os.pipe()
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild:
        os.write(sender, f"{grandchild}".encode())
    time.sleep(4321.25)
print(child, os.read(receiver, 20).decode(), flush=True)
os.waitpid(child, 0)
"""


# As where the kernel has no parent-death signal.
WITHOUT_SIGNAL = """
import sys, psutil
sys.platform = "darwin"
from jobs.runtime import parent_death
sys.platform = "linux"
"""


@pytest.mark.parametrize(
    "script",
    [SUBPROCESS, POOL, FORKS, WITHOUT_SIGNAL + SUBPROCESS, WITHOUT_SIGNAL + FORKS],
    ids=["subprocess", "pool", "forks", "guarded subprocess", "guarded forks"],
)
def test_descendants_end_with_killed_parent(script):
    parent, descendants = start_parent(script)
    assert descendants
    assert all(psutil.pid_exists(pid) for pid in descendants)
    parent.kill()
    parent.communicate()
    wait_until_ended(descendants)


def test_grandchild_ends_with_killed_child():
    parent, (child, grandchild) = start_parent(FORKS)
    os.kill(child, signal.SIGKILL)
    parent.communicate()
    wait_until_ended([child, grandchild])


def test_guard_ends_with_its_process_and_holds_no_pipe():
    script = f"""{WITHOUT_SIGNAL}
import functools, os, subprocess, psutil, time
guarded = functools.partial(parent_death.kill_on_parent_exit, os.getpid())
done = subprocess.run(["echo", "output"], preexec_fn=guarded, stdout=subprocess.PIPE, check=True)
while len(psutil.Process().children(recursive=True)):
    time.sleep(0.05)
print(done.stdout.decode(), end="", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "output\n")


def test_child_of_dead_parent_kills_itself():
    script = (
        "from jobs.runtime.parent_death import kill_on_parent_exit; kill_on_parent_exit(0); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_child_of_process_1_lives():
    """In a container the scheduler may be process 1: such a parent is not a dead one."""
    script = (
        "import os; from jobs.runtime.parent_death import kill_on_parent_exit; "
        "os.getppid = lambda: 1; kill_on_parent_exit(1); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n")
