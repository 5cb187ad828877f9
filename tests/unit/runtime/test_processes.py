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


def test_a_lakes_processes_are_found_by_their_mark(sleeper, tmp_path):
    assert [process.pid for process in processes.find_processes(ServiceHome(tmp_path))] == [sleeper.pid]
    assert processes.find_processes(ServiceHome(tmp_path / "other")) == []


def test_a_number_that_is_another_process_now_is_looked_at_anew(sleeper, tmp_path):
    (found,) = processes.find_processes(ServiceHome(tmp_path))
    found._create_time = 1.0  # as of the process that had this number before
    (again,) = processes.find_processes(ServiceHome(tmp_path))
    assert again.create_time() > 1.0
