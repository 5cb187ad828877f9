"""A lake's processes are found by the marker in their environment."""

import os
import subprocess

import pytest

from jobs.runtime import processes
from jobs.runtime.supervisor import PROCESS_MARKER, ServiceHome


@pytest.fixture
def sleeper(tmp_path):
    process = subprocess.Popen(
        ["sleep", "100"], env=os.environ | {PROCESS_MARKER: str(tmp_path)}, start_new_session=True
    )
    yield process
    process.kill()
    process.wait()


def test_processes_are_found_by_the_marker(sleeper, tmp_path):
    assert [process.pid for process in processes.find_processes(ServiceHome(tmp_path))] == [sleeper.pid]
    assert processes.find_processes(ServiceHome(tmp_path / "other")) == []


def test_reused_process_id_is_looked_up_again(sleeper, tmp_path):
    (found,) = processes.find_processes(ServiceHome(tmp_path))
    found._create_time = 1.0  # as if another process had had this id before
    (again,) = processes.find_processes(ServiceHome(tmp_path))
    assert again.create_time() > 1.0
