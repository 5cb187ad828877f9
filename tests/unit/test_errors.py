"""Faults of the file, and faults of disk or machine."""

import errno
import os

import pytest

from jobs import errors


def error_caused_by(number):
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise ValueError("expected audio") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENODEV, errno.ESTALE, errno.EMFILE])
def test_fault_of_disk_or_machine_is_a_step_error(number, tmp_path):
    with pytest.raises(errors.StepError, match=f"found at .*song.mp3: {os.strerror(number)}; fix that"):
        errors.raise_if_system_fault(error_caused_by(number), str(tmp_path / "song.mp3"))


def test_bad_sector_is_no_fault_of_a_readable_disk(tmp_path, monkeypatch):
    path = str(tmp_path / "song.mp3")
    errors.raise_if_system_fault(error_caused_by(errno.EIO), path)
    errors.raise_if_system_fault(error_caused_by(errno.EACCES), path)

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", fail)
    errors.raise_if_system_fault(error_caused_by(errno.EACCES), path)
    with pytest.raises(errors.StepError, match="Input/output error"):
        errors.raise_if_system_fault(error_caused_by(errno.EIO), path)
