"""Whose fault it is: the file's, or the disk's and the machine's."""

import errno
import os

import pytest

from jobs import errors


def raised(number):
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise ValueError("expected audio") from error
    except ValueError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENODEV, errno.ESTALE, errno.EMFILE])
def test_what_a_disk_or_the_machine_lacks_ends_the_step(number, tmp_path):
    with pytest.raises(errors.StepError, match=f"found at .*song.mp3: {os.strerror(number)}; see to them"):
        errors.raise_if_system_fault(raised(number), str(tmp_path / "song.mp3"))


def test_a_bad_sector_is_its_files_own_while_the_folder_can_be_read(tmp_path, monkeypatch):
    path = str(tmp_path / "song.mp3")
    errors.raise_if_system_fault(raised(errno.EIO), path)
    errors.raise_if_system_fault(raised(errno.EACCES), path)

    def away(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", away)
    errors.raise_if_system_fault(raised(errno.EACCES), path)
    with pytest.raises(errors.StepError, match="Input/output error"):
        errors.raise_if_system_fault(raised(errno.EIO), path)
