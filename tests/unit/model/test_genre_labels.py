"""Labels of a file find their tracks by id, or by an end of the path that only one track has."""

import pyarrow as pa
import pytest

from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.model.genre_labels import GenreLabel, read_labels


@pytest.fixture
def lake(tmp_path):
    """Return a lake of two albums with a `01.mp3` each."""
    lake = Lake(tmp_path / "lake")
    paths = {"2": "/music/rock/01.mp3", "3": "/music/folk/01.mp3", "5": "/music/folk/.hidden.mp3"}
    rows = [{"track_id": track_id, "path": path} for track_id, path in paths.items()]
    lake.commit_arrow(TRACKS, pa.Table.from_pylist(rows, schema=TRACKS.arrow_schema()).to_batches())
    return lake


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["track_id,genre,artist", "2,Rock,A"], {"2": GenreLabel("Rock", "A")}),
        (
            ["path,genre", "rock/01.mp3,Rock", "./folk/01.mp3,Folk"],
            {"2": GenreLabel("Rock"), "3": GenreLabel("Folk")},
        ),
        (
            ["path,genre", "/music/folk/.hidden.mp3,Folk", ".hidden.mp3,Folk"],
            {"5": GenreLabel("Folk")},
        ),
        (["path,genre", "01.mp3,Rock", "rock/01.mp3,Rock"], {"2": GenreLabel("Rock")}),
    ],
)
def test_label_finds_its_track(lake, tmp_path, lines, expected):
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(lines))
    assert read_labels(lake, str(file)) == expected
