"""What the tables say of features: one declaration, FMA's layout, versions in order."""

import subprocess
import sys

import pytest

from jobs import tables
from jobs.sound import dsp


def test_the_table_holds_every_feature() -> None:
    assert tables.FEATURES.names[5:] == [*tables.FEATURE_COLUMNS, *tables.ECHONEST_COLUMNS]
    assert tables.FEATURE_COLUMNS[: len(tables.FMA_COLUMNS)] == tables.FMA_COLUMNS
    assert tables.feature_columns("tonnetz", "mean") == tuple(f"tonnetz_mean_0{number}" for number in range(1, 7))
    assert tables.descriptor_columns("tempo") == ("tempo",)
    assert tables.descriptor_columns("mfcc_covariance")[-1] == "mfcc_covariance_210"


def test_the_embedding_takes_columns_that_are_there() -> None:
    for columns in tables.EMBEDDED_COLUMNS.values():
        assert set(columns) <= set(tables.FEATURES.names)
    assert len(tables.EMBEDDED_COLUMNS["basic-1"]) == 308
    assert "key" not in tables.EMBEDDED_COLUMNS[dsp.FEATURE_VERSION]


@pytest.mark.parametrize(
    ("found", "newest"),
    [
        (["basic-1"], "basic-1"),
        (["fma518+1", "basic-1"], "fma518+1"),
        # By name it would be the newest; only the code that wrote it knows.
        (["basic-1", "zzz-9"], "basic-1"),
        (["zzz-9"], None),
        ([], None),
    ],
)
def test_the_newest_version_is_the_last_declared(found: list[str], newest: str | None) -> None:
    assert tables.newest_version(found) == newest


def test_extract_writes_the_newest_version() -> None:
    assert tables.newest_version(tables.EMBEDDED_COLUMNS) == tables.FEATURE_VERSION == dsp.FEATURE_VERSION


def test_the_tables_are_light() -> None:
    code = "import sys; import jobs.tables; print([m for m in ('librosa', 'numba', 'soxr') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
