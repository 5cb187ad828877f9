"""What the tables say of features: one declaration, FMA's layout, versions in order."""

import subprocess
import sys

import pytest

from jobs.lake import schemas
from jobs.dsp import features


def test_the_table_holds_every_feature() -> None:
    assert schemas.FEATURES.names[5:] == [*schemas.FEATURE_COLUMNS, *schemas.ECHONEST_COLUMNS]
    assert schemas.FEATURE_COLUMNS[: len(schemas.FMA_COLUMNS)] == schemas.FMA_COLUMNS
    assert schemas.feature_columns("tonnetz", "mean") == tuple(f"tonnetz_mean_0{number}" for number in range(1, 7))
    assert schemas.descriptor_columns("tempo") == ("tempo",)
    assert schemas.descriptor_columns("mfcc_covariance")[-1] == "mfcc_covariance_210"


def test_the_embedding_takes_columns_that_are_there() -> None:
    for columns in schemas.MODEL_INPUT_COLUMNS.values():
        assert set(columns) <= set(schemas.FEATURES.names)
    assert len(schemas.MODEL_INPUT_COLUMNS["basic-1"]) == 308
    assert "key" not in schemas.MODEL_INPUT_COLUMNS[features.FEATURE_VERSION]


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
    assert schemas.newest_feature_version(found) == newest


def test_extract_writes_the_newest_version() -> None:
    assert schemas.newest_feature_version(schemas.MODEL_INPUT_COLUMNS) == schemas.FEATURE_VERSION == features.FEATURE_VERSION


def test_the_tables_are_light() -> None:
    code = "import sys; import jobs.lake.schemas; print([m for m in ('librosa', 'numba', 'soxr') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
