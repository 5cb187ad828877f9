"""Airflow's LocalExecutor, made to survive kill -9 of its processes.

Used with AIRFLOW__CORE__EXECUTOR=jobs.orchestration.executor.Executor. Airflow 3.3 has two faults, both found
by tests/faults/process_kills.py. A killed worker keeps the lock of the task queue, so that tasks stay queued
for ever while the scheduler reports healthy. And the children of a killed scheduler live on: idle workers,
and a running task beside its own retry. Delete this module when Airflow has fixed both.
"""

import logging
import os
from contextlib import suppress

import psutil
from airflow.executors.local_executor import LocalExecutor

from jobs.runtime import parent_death

log = logging.getLogger("segue")

# EX_TEMPFAIL of <sysexits.h>: supervisord restarts the scheduler.
_RESTART_STATUS = 75


class Executor(LocalExecutor):
    """Ends the scheduler when a worker has died (supervisord restarts both), and every worker with it."""

    def start(self) -> None:
        """Start the workers; each worker, and each task, ends when its parent does."""
        parent_death.kill_forks_on_parent_exit()
        super().start()

    def _check_workers(self) -> None:
        """Check the workers: whenever there is a task for them, and every few seconds.

        Private to Airflow's LocalExecutor; tests/dags/test_executor.py fails if an upgrade
        renames it or stops calling it.
        """
        dead = [pid for pid, worker in self.workers.items() if not worker.is_alive()]
        if dead:
            log.error("worker %d was killed, which blocks the task queue: restarting the scheduler", dead[0])
            try:
                for child in psutil.Process().children(recursive=True):
                    with suppress(psutil.Error):  # it ended with the worker
                        child.kill()
            finally:
                os._exit(_RESTART_STATUS)
        super()._check_workers()
