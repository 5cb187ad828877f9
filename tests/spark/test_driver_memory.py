"""Nothing that grows with the collection is collected by the driver or broadcast.

The limits are far below what the rows of 3,000 tracks need, and above what their clusters and counts need. So
a step that holds or sends all tracks fails here, as it would at a hundred times the size with the defaults.
"""

import subprocess
import sys

import pytest

from jobs.lake.lake_version import VERSION_FILE
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake
from tests.synthetic_fma import SyntheticTracks, commit

N_TRACKS = 3_000

# A track's rows are about 2 KiB in TRACKS, 5 KiB in FEATURES, and 300 bytes in EMBEDDINGS.
LIMITS = {
    "spark.driver.maxResultSize": "600k",
    "spark.sql.maxBroadcastTableSize": "400k",
    # What spark_conf/ allows to be broadcast, in the same proportion.
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "32k",
}

SCRIPT = """
import sys
from jobs import cli
from jobs.spark import session

lake, *limits = sys.argv[1:]
session.get_session("local[2]", options=dict(limit.split("=") for limit in limits))
for step in ("embed", "cluster", "evaluate", "publish", "recommend"):
    status = cli.main([step, "--lake", lake])
    if status:
        sys.exit(f"{step}: exit status {status}")
"""


@pytest.fixture
def large_lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    commit(lake, SyntheticTracks(N_TRACKS))
    return lake


def run(lake, **limits):
    words = [f"{name}={value}" for name, value in (LIMITS | limits).items()]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(lake.root), *words], capture_output=True, text=True, timeout=900
    )


def test_steps_fit_a_driver_that_no_table_fits(large_lake):
    assert (large_lake.root / VERSION_FILE).exists()
    assert large_lake.count_rows(TRACKS) == large_lake.count_rows(FEATURES) == N_TRACKS
    done = run(large_lake)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"publish: {N_TRACKS:,} tracks, {N_TRACKS:,} new" in done.stdout
