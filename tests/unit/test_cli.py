"""An error is one line on the console, with the exit status of its kind; `--help` fits a terminal."""

import argparse
import errno
import importlib
import json
from types import SimpleNamespace

import pytest

from jobs import cli
from jobs.errors import InputError, StepError
from jobs.progress import StepResult
from jobs.steps import embed

SPARK_MESSAGE = (
    "An error occurred while calling o539.parquet.\n: Job aborted\n"
    "Caused by: IOException: No space left on device"
)


def test_full_disk_is_the_reason_whatever_failed(tmp_path, monkeypatch, capsys):
    def fail(_):
        raise StepError("--mongo: expected MongoDB to answer, found: Map null(1) is closed")

    monkeypatch.setattr(embed, "main", fail)
    for free, expectation in (
        (4096, "room on the disk, found it full (0 MiB at "),
        (1 << 30, "MongoDB to answer"),
    ):
        monkeypatch.setattr(cli.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert cli.main(["embed", "--lake", str(tmp_path / "lake")]) == 1
        assert f"expected {expectation}" in capsys.readouterr().err


WORKER_MESSAGE = (
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
        (RuntimeError(SPARK_MESSAGE), 1, "segue embed: expected room on the disk, found it full ("),
        (RuntimeError(WORKER_MESSAGE), 1, "segue embed: expected MongoDB to answer, found: closed"),
        (RuntimeError("odd\nand long"), 1, "segue embed: unexpected RuntimeError: odd; traceback: "),
        (KeyboardInterrupt(), 130, "segue embed: interrupted; re-run the same command to resume"),
    ],
)
def test_error_is_one_line(tmp_path, monkeypatch, capsys, error, status, line):
    def fail(_):
        raise error

    monkeypatch.setattr(embed, "main", fail)
    monkeypatch.setattr(cli.tempfile, "tempdir", str(tmp_path))
    assert cli.main(["embed", "--lake", str(tmp_path / "lake")]) == status
    output = capsys.readouterr().err
    assert output.startswith(line) and output.count("\n") == 1


def test_summary_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(embed, "main", lambda _: StepResult({"tracks": 1}))
    summary = tmp_path / "summary.json"
    assert cli.main(["embed", "--lake", str(tmp_path / "lake"), "--summary-json", str(summary)]) == 0
    assert json.loads(summary.read_text()) == {"counts": {"tracks": 1}, "model_version": None}
    nowhere = tmp_path / "nowhere" / "summary.json"
    capsys.readouterr()
    assert cli.main(["embed", "--lake", str(tmp_path / "lake"), "--summary-json", str(nowhere)]) == 1
    output = capsys.readouterr().err
    assert output == f"segue embed: [Errno 2] No such file or directory: '{nowhere}'\n"


def test_help_fits_80_columns(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > len(cli.COMMANDS) and max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_command_has_arguments_and_main(name):
    module = importlib.import_module(cli.COMMANDS[name].module)
    assert callable(module.add_arguments) and callable(module.main)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "raise spark.driver.memory"),
        ("Not enough memory to build and broadcast the table", "raise spark.driver.memory"),
        ("Could not execute broadcast in 300 secs.", "autoBroadcastJoinThreshold to -1"),
        (
            "java.net.BindException: Address already in use: service 'sparkDriver'",
            "end the program that has it",
        ),
    ],
)
def test_unexpected_error_with_known_cause_has_advice(message, advice):
    arguments = argparse.Namespace(command="embed")
    line = cli.error_message(RuntimeError(message), arguments)
    assert line.startswith("unexpected RuntimeError: ") and advice in line and "\n" not in line
