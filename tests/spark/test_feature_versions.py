"""Two feature versions in one lake: old rows stay readable, extract adds what is missing, embed takes either."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from pyspark.sql import SparkSession

from jobs.errors import InputError, StepError
from jobs.lake.feature_columns import FEATURE_COLUMNS, FEATURE_VERSION, MODEL_INPUT_COLUMNS
from jobs.lake.schemas import EMBEDDERS, FEATURES, TRACKS, VECTORS
from jobs.lake.storage import Lake
from jobs.steps import cluster, embed

OLD = "basic-1"
OLD_COLUMNS = MODEL_INPUT_COLUMNS[OLD]
Rows = Callable[..., list[dict[str, Any]]]


def write_as_before(lake: Lake, tracks: list[dict[str, Any]], version: str = OLD) -> None:
    """Write FEATURES as code wrote it that knew 308 columns."""
    rng = np.random.default_rng(8)
    about = {"feature_version": version, "duration_s": 2.0, "sample_rate": 44_100}
    rows = [
        {
            **{name: track[name] for name in ("track_id", "content_hash")},
            **about,
            **dict.fromkeys(OLD_COLUMNS, 0.0),
        }
        for track in tracks
    ]
    for row in rows:
        row.update(zip(OLD_COLUMNS, rng.standard_normal(len(OLD_COLUMNS)).tolist(), strict=True))
    names = [name for name in FEATURES.names if name in rows[0]]
    schema = pa.schema([FEATURES.arrow_schema().field(name) for name in names])
    folder = lake.root / "FEATURES" / "v000001"
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "part.parquet")
    (folder.parent / "current").symlink_to("v000001")


def embedded(lake: Lake, version: str | None = None) -> dict[str, Any]:
    arguments = {"lake": str(lake.root), "master": "local[2]", "dimensions": 64, "feature_version": version}
    return embed.main(argparse.Namespace(**arguments, recipe="timbre")).counts


def columns(rows: list[dict[str, Any]]) -> set[str]:
    return set(cluster.load_embedder(rows).columns)


@pytest.fixture
def library(step: Callable[..., Any], song: Callable[..., Any], table: Rows) -> list[dict[str, Any]]:
    """Three tracks, compressed and in the catalog."""
    for number in (2, 3, 5):
        song(f"{number}.mp3", seed=number)
    step("compress")
    step("catalog")
    return table(TRACKS)


def test_two_versions_live_side_by_side(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]], spark: SparkSession
) -> None:
    write_as_before(lake, library)
    before = table(FEATURES)
    assert step("extract")["tried now"] == 3
    rows = table(FEATURES)
    assert [(row["track_id"], row["feature_version"]) for row in rows] == [
        (track, version) for track in ("2", "3", "5") for version in (OLD, FEATURE_VERSION)
    ]
    old, new = (
        [row for row in rows if row["feature_version"] == version] for version in (OLD, FEATURE_VERSION)
    )
    assert old == before
    assert all(row["tempo"] is None and row["chroma_cqt_mean_01"] is None for row in old)
    assert all(np.isfinite([row[name] for name in FEATURE_COLUMNS]).all() for row in new)
    # Spark reads both, too, and nothing is done twice.
    assert lake.read(spark, FEATURES).where("tempo IS NULL").count() == 3
    assert step("extract")["tried now"] == 0


def test_extract_recomputes_only_what_is_older(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]]
) -> None:
    write_as_before(lake, library[:1], version=FEATURE_VERSION)
    assert step("extract")["tried now"] == 2
    assert [row["feature_version"] for row in table(FEATURES)] == [FEATURE_VERSION] * 3


def test_the_embedding_is_trained_on_the_newest_or_on_the_one_asked_for(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]]
) -> None:
    write_as_before(lake, library)
    assert embedded(lake)["new"] == 3  # the old one is the newest that is there
    assert {row["feature_version"] for row in table(EMBEDDERS)} == {OLD}
    step("extract")
    newest = embedded(lake)["embedder"]
    projected = table(EMBEDDERS)
    assert {row["feature_version"] for row in projected} == {FEATURE_VERSION}
    assert {"tempo", "mfcc_covariance_210"} < columns(projected) < set(MODEL_INPUT_COLUMNS[FEATURE_VERSION])
    assert embedded(lake, OLD)["embedder"] != newest
    assert {"mfcc_mean_01", "zcr_std_01"} < columns(table(EMBEDDERS)) < set(OLD_COLUMNS)
    vectors = np.array([row["embedding"] for row in table(VECTORS)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    with pytest.raises(InputError, match=f"expected one of {OLD}, .*, found 'basic-2'"):
        embedded(lake, "basic-2")


def test_a_version_of_other_code_is_not_taken_for_the_newest(
    lake: Lake, library: list[dict[str, Any]]
) -> None:
    write_as_before(lake, library, version="zzz-9")
    with pytest.raises(
        StepError, match="expected features of a known version, found only zzz-9; run `segue extract`"
    ):
        embedded(lake)
