"""`segue produce` refuses numbers that nothing can be simulated or sent with."""

import pyarrow as pa
import pytest

from jobs.cli import main
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--users", "0"], "expected --users and --count of at least 1, found 0 and 1000"),
        (["--users", "1", "--count", "0"], "expected --users and --count of at least 1, found 1 and 0"),
        (["--users", "1", "--days", "0.5"], "--days: expected 1 to 3650, found 0.5"),
        (["--users", "1", "--days", "nan"], "--days: expected 1 to 3650, found nan"),
        (["--users", "1", "--days", "1e9"], "--days: expected 1 to 3650, found 1e+09"),
        (["--users", "1", "--rate", "0"], "--rate: expected more than 0 events a second, found 0"),
        (["--users", "1", "--rate", "nan"], "--rate: expected more than 0 events a second, found nan"),
        (["--events", "/nowhere"], "--events: expected a file of JSON lines, found /nowhere: No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, capsys, options, reason):
    """Nothing listens at the Kafka address: the input is refused before."""
    lake = Lake(tmp_path)
    track = pa.Table.from_pylist([{"track_id": "1"}], schema=TRACKS.arrow_schema())
    lake.commit_arrow(TRACKS, track.to_batches())
    assert main(["produce", *options, "--lake", str(tmp_path), "--kafka", "127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"segue produce: {reason}") and error.count("\n") == 1
