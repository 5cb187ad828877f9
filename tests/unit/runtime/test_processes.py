"""A lake's processes are found by the marker in their environment."""

import os
import subprocess
from types import SimpleNamespace

import psutil
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


def test_memory_is_measured_where_there_is_no_pss(sleeper, tmp_path, monkeypatch):
    home = ServiceHome(tmp_path)
    assert 0 < processes.total_pss(home) < 100e6
    monkeypatch.setattr(psutil.Process, "memory_full_info", lambda _: SimpleNamespace(rss=9, uss=5))
    assert processes.total_pss(home) == 5
