"""Airflow's LocalExecutor, made to outlive kill -9 of its parts: AIRFLOW__CORE__EXECUTOR=jobs.orchestration.executor.Executor.

Airflow 3.3 leaves two faults, both seen with tests/faults/process_kills.py. A killed worker keeps the lock of the task
queue, so tasks stay queued for ever beside a scheduler that reports healthy. The children of a killed scheduler live on:
idle workers, and a running task beside its retry.
"""

import ctypes
import logging
import os
import signal
from contextlib import suppress

import psutil
from airflow.executors.local_executor import LocalExecutor

log = logging.getLogger("segue")

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1

# For whoever keeps the scheduler: EX_TEMPFAIL, start it again.
_RESTART_STATUS = 75


class Executor(LocalExecutor):
    """Ends the scheduler when a worker has died, for supervisord to start both anew; and every worker with the scheduler."""

    def start(self) -> None:
        """Start the workers, each of which, and each task, ends when its parent does."""
        os.register_at_fork(after_in_child=_end_with_parent)
        super().start()

    def _check_workers(self) -> None:
        """Look at the workers: whenever there is a task for them, and every few seconds."""
        dead = [pid for pid, worker in self.workers.items() if not worker.is_alive()]
        if dead:
            log.error("worker %d was killed, and the queue with it: the scheduler starts again", dead[0])
            try:
                for child in psutil.Process().children(recursive=True):
                    with suppress(psutil.Error):  # it ended with the worker
                        child.kill()
            finally:
                os._exit(_RESTART_STATUS)
        super()._check_workers()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended before that line
        os._exit(_RESTART_STATUS)
