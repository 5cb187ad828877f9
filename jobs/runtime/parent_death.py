"""End a child process with its parent, so that no FFmpeg and no worker outlives a killed run.

Linux has the parent-death signal: the kernel sends it when the thread that started the child ends, so start
such children from a thread that lives as long as they are needed. Elsewhere (macOS) each child gets a guard,
a process that looks twice a second whether the parent still lives.
"""

import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

import psutil

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1

_HAS_DEATH_SIGNAL = sys.platform == "linux"

_GUARD_INTERVAL_S = 0.5
_MAX_INHERITED_FILES = 4_096

# Process id of the parent, noted before each fork once kill_forks_on_parent_exit was called.
_forking_pid = 0
_is_forking_guard = False


def kill_on_parent_exit(parent_pid: int) -> None:
    """Have this process killed when its parent ends; call it in the child.

    `parent_pid` is `os.getpid()` of the parent, read before the fork. If the parent has ended before this
    call, the signal never comes, so this process kills itself. (A parent id of 1 would not prove that the
    parent has ended: in a container the parent may be process 1.)
    """
    if _HAS_DEATH_SIGNAL:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _start_guard(parent_pid)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_forks_on_parent_exit() -> None:
    """Call `kill_on_parent_exit` in every process that this one and its children fork from now on.

    Not in programs started by `subprocess` without a preexec_fn: it runs no fork hooks for them.
    """
    os.register_at_fork(before=_note_pid, after_in_child=_kill_on_noted_parent_exit)


def _note_pid() -> None:
    global _forking_pid
    _forking_pid = os.getpid()


def _kill_on_noted_parent_exit() -> None:
    if not _is_forking_guard:
        kill_on_parent_exit(_forking_pid)


def _start_guard(parent_pid: int) -> None:
    """Fork the guard of this process, which may become another program (exec) afterwards."""
    global _is_forking_guard
    guarded_pid = os.getpid()
    _is_forking_guard = True
    if os.fork() == 0:
        _guard(guarded_pid, parent_pid)
    _is_forking_guard = False


def _guard(guarded_pid: int, parent_pid: int) -> NoReturn:
    """Kill a process once its parent has ended; exit once the process itself has ended."""
    try:
        # A pipe that stays open here never ends for its reader.
        os.closerange(0, _MAX_INHERITED_FILES)
        guarded = psutil.Process(guarded_pid)
        while os.getppid() == guarded_pid and guarded.ppid() == parent_pid:
            time.sleep(_GUARD_INTERVAL_S)
        if os.getppid() == guarded_pid:
            guarded.kill()
    finally:
        os._exit(0)
