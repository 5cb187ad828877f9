"""End a child process with its parent, so that no FFmpeg and no worker outlives a killed run.

This uses Linux's parent-death signal. The kernel sends it when the thread that started the child ends, so
start such children from a thread that lives as long as they are needed.
"""

import ctypes
import os
import signal

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1

# Process id of the parent, noted before each fork once kill_forks_on_parent_exit was called.
_forking_pid = 0


def kill_on_parent_exit(parent_pid: int) -> None:
    """Have the kernel send SIGKILL to this process when its parent ends; call it in the child.

    `parent_pid` is `os.getpid()` of the parent, read before the fork. If the parent has ended before this
    call, the signal never comes, so this process kills itself. (A parent id of 1 would not prove that the
    parent has ended: in a container the parent may be process 1.)
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
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
    kill_on_parent_exit(_forking_pid)
