"""A dead worker restarts the scheduler, through a private method of Airflow's LocalExecutor."""

import multiprocessing
import os
from multiprocessing import SimpleQueue
from types import SimpleNamespace

import pytest
from airflow.executors.local_executor import LocalExecutor

from jobs.orchestration.executor import Executor


class Exited(Exception):
    """Stands in for the end of the process."""


@pytest.fixture
def executor(monkeypatch):
    """An executor with its queues, without workers; `os._exit` raises instead."""

    def exit_process(status):
        raise Exited(status)

    monkeypatch.setattr(os, "_exit", exit_process)
    executor = Executor(parallelism=1)
    executor.activity_queue = SimpleQueue()
    executor.result_queue = SimpleQueue()
    executor._unread_messages = multiprocessing.Value("I")
    return executor


def test_airflow_still_has_the_private_method():
    assert callable(LocalExecutor._check_workers)


def test_dead_worker_restarts_the_scheduler(executor):
    executor.workers = {1234: SimpleNamespace(is_alive=lambda: False)}
    with pytest.raises(Exited, match="75"):
        executor.sync()


def test_living_worker_changes_nothing(executor):
    executor.workers = {1234: SimpleNamespace(is_alive=lambda: True)}
    executor.sync()
    assert list(executor.workers) == [1234]
