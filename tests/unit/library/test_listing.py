import errno
import os

import pytest

from jobs.audio import decoding
from jobs.errors import StepError, UnusableFile
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


def test_duration_that_the_size_contradicts_is_measured(sound, tmp_path):
    """AAC behind the first bytes of a FLAC file: nothing decodes, whatever its header states."""
    path = tmp_path / "spliced.flac"
    path.write_bytes(b"fLaC\0\0\0\x22" + sound("x.aac").read_bytes())
    header = decoding.Header(kind="flac", duration_s=66_703.6, bit_rate=8)
    with pytest.raises(UnusableFile, match="a header and nothing that decodes"):
        listing.original_columns(str(path), header)
    whole = str(sound("whole.flac", seconds=2.0))
    columns = listing.original_columns(whole, decoding.Header("flac", 66_703.6, 8))
    assert columns["duration_s"] == pytest.approx(2.0, abs=0.01) and columns["bit_rate"] > 100_000
