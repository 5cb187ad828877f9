"""What the console is told when a step fails."""

import errno
from types import SimpleNamespace

import pytest

from jobs import cli as command_line
from jobs.errors import InputError, StepError
from jobs.steps import embed

SPARK_SAYS = "An error occurred while calling o539.parquet.\n: Job aborted\nCaused by: IOException: No space left on device"


def test_on_a_full_disk_that_is_the_reason_whatever_failed(tmp_path, monkeypatch, capsys):
    def fail(_):
        raise StepError("--mongo: expected MongoDB to answer, found: Map null(1) is closed")

    monkeypatch.setattr(embed, "main", fail)
    for free, told in ((4096, "room on the disk, found it full (0 MiB at "), (1 << 30, "MongoDB to answer")):
        monkeypatch.setattr(
            command_line.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free)
        )
        assert command_line.main(["embed", "--lake", str(tmp_path / "lake")]) == 1
        assert f"expected {told}" in capsys.readouterr().err


WORKER_SAYS = (
    "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n  File x\n"
    "jobs.errors.StepError: expected MongoDB to answer, found: closed\n\nJVM stacktrace:"
)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("expected a, found b"), 2, "segue embed: expected a, found b"),
        (StepError("expected a server, found none"), 1, "segue embed: expected a server, found none"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            1,
            "segue embed: [Errno 13] Permission denied: 'x'",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "segue embed: expected room on the disk, found it full (",
        ),
        (
            RuntimeError("(sqlite3) database or disk is full"),
            1,
            "segue embed: expected room on the disk, found it full (",
        ),
        (RuntimeError(SPARK_SAYS), 1, "segue embed: expected room on the disk, found it full ("),
        (RuntimeError(WORKER_SAYS), 1, "segue embed: expected MongoDB to answer, found: closed"),
        (RuntimeError("odd\nand long"), 1, "segue embed: unexpected RuntimeError: odd; the whole of it: "),
        (KeyboardInterrupt(), 130, "segue embed: stopped; the same command goes on from here"),
    ],
)
def test_a_failure_is_one_line(tmp_path, monkeypatch, capsys, error, status, line):
    def fail(_):
        raise error

    monkeypatch.setattr(embed, "main", fail)
    monkeypatch.setattr(command_line.tempfile, "tempdir", str(tmp_path))
    assert command_line.main(["embed", "--lake", str(tmp_path / "lake")]) == status
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1
