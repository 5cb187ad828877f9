"""What changes during a nightly run is new to the next one."""

import pyarrow as pa
import pytest

from jobs.lake.schemas import FILES
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.orchestration import change_detection


@pytest.mark.parametrize(
    ("change", "is_new"),
    [
        (lambda music: None, False),
        (lambda music: (music / "new.mp3").write_bytes(b"x"), True),
        (lambda music: (music / "b.mp3").write_bytes(b"another"), True),
        (lambda music: (music / "b.mp3").unlink(), True),
    ],
)
def test_change_during_a_run_is_new_to_the_next(tmp_path, change, is_new):
    music, lake = tmp_path / "music", Lake(tmp_path / "lake")
    music.mkdir()
    for name in ("a.mp3", "b.mp3"):
        (music / name).write_bytes(b"x")
    params = {"library": str(music), "bitrate": "64k", "in_place": False}
    rows = pa.Table.from_pylist(scan.scan(str(music), lake.root).files, schema=FILES.arrow_schema())
    elsewhere = pa.Table.from_pylist([{"path": "/other/c.mp3"}], schema=FILES.arrow_schema())
    lake.commit_arrow(FILES, [*rows.to_batches(), *elsewhere.to_batches()])
    change(music)  # after compress, before the later steps
    change_detection.record_state(str(lake.root), params)
    assert change_detection.has_changes(str(lake.root), params) == is_new
