import errno
import os

import pytest

from jobs.audio import decoding
from jobs.errors import StepError
from jobs.library import listing

FILE = {"path": "/m/a.mp3", "size": 1, "mtime_ns": 2, "ctime_ns": 3}
LISTED = {**FILE, "outcome": "not_tried", "target_bit_rate": None}


@pytest.mark.parametrize(
    ("change", "retry", "listed"),
    [
        ({}, True, True),
        ({"size": 9}, False, False),
        ({"outcome": "rejected"}, False, True),
        ({"outcome": "rejected"}, True, False),
        # By compress, which has decoded it; here its header would do, and the tracks come and go with every
        # other run.
        ({"outcome": "rejected", "target_bit_rate": 64_000}, True, True),
    ],
)
def test_is_listed(change, retry, listed):
    assert listing.is_listed(FILE, {**LISTED, **change}, retry=retry) == listed


def test_new_file_is_not_listed():
    assert not listing.is_listed(FILE, None, retry=False)


def test_failing_disk_raises_step_error(tone, monkeypatch):
    def away(path):
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    path = tone("a.wav")
    assert listing.list_file({"path": str(path)})["outcome"] == "not_tried"
    monkeypatch.setattr(decoding, "check_file", away)
    with pytest.raises(StepError, match="found at .*/a.wav: Transport endpoint is not connected"):
        listing.list_file({"path": str(path)})


def test_missing_file_has_no_row(tmp_path):
    assert listing.list_file({"path": str(tmp_path / "a.mp3")}) is None
