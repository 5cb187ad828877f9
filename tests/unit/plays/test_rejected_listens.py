"""Rejected rows are in a file as they come, and in it once."""

import json
import os
import signal
import subprocess
import sys

import pytest

from jobs.plays.listens import RejectedRow
from jobs.plays.rejected_listens import RejectedListens

ROW = RejectedRow("s.json", 3, "no time", "expected a time, found None", '{"ts": "\udce4"}')


def rows_of(file):
    return [json.loads(line)["row"] for line in file.read_text("utf-8").splitlines()]


def test_rows_are_stored_for_each_history_and_replaced(tmp_path):
    folder = tmp_path / "rejected"
    for history, count in (
        (tmp_path / "s.json", 2),
        (tmp_path / "other" / "s.json", 1),
        (tmp_path / "s.json", 1),
    ):
        with RejectedListens(folder, history) as rejected:
            for _ in range(count):
                rejected.write(ROW)
    files = sorted(folder.iterdir())
    assert len(files) == 2 and all(file.name.startswith("s.json-") for file in files)
    for file in files:
        (stored,) = (json.loads(line) for line in file.read_text("utf-8").splitlines())
        assert (stored["row"], stored["reason"]) == (3, "no time") and "udce4" in stored["content"]
    with RejectedListens(folder, tmp_path / "s.json"):
        pass
    assert len(list(folder.iterdir())) == 1


def test_killed_import_leaves_its_rows_and_the_next_one_has_them_once(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from jobs.plays.listens import RejectedRow\n"
        "from jobs.plays.rejected_listens import RejectedListens\n"
        "with RejectedListens(Path(sys.argv[1]), Path('s.json')) as rejected:\n"
        "    for row in range(1000): rejected.write(RejectedRow('s.json', row, 'no time', '', ''))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=os.environ)
        assert done.returncode == -signal.SIGKILL
        (part,) = tmp_path.iterdir()
        assert part.name.endswith(".jsonl.part") and rows_of(part) == list(range(1000))


def test_failed_import_leaves_the_rows_of_the_last_one(tmp_path):
    with RejectedListens(tmp_path, tmp_path / "s.json") as rejected:
        rejected.write(ROW)
    with pytest.raises(KeyboardInterrupt), RejectedListens(tmp_path, tmp_path / "s.json") as rejected:
        rejected.write(RejectedRow("", 7, "no time", "", ""))
        raise KeyboardInterrupt
    assert sorted(map(rows_of, tmp_path.iterdir())) == [[3], [7]]


def test_longest_name_has_a_file(tmp_path):
    with RejectedListens(tmp_path, tmp_path / ("ä" * 127)) as rejected:
        rejected.write(ROW)
    assert [rows_of(file) for file in tmp_path.iterdir()] == [[3]]
