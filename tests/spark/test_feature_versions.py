"""Two feature versions in one lake: old rows stay readable, extract adds the newest, embed accepts either."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from pyspark.sql import SparkSession

from jobs.errors import InputError, StepError
from jobs.lake.feature_columns import (
    FEATURE_COLUMNS,
    FEATURE_VERSION,
    MODEL_INPUT_COLUMNS,
    PRETRAINED_COLUMNS,
)
from jobs.lake.schemas import EMBEDDERS, FEATURES, TRACKS, VECTORS
from jobs.lake.storage import Lake
from jobs.steps import cluster, embed

OLD = "basic-1"
OLD_COLUMNS = MODEL_INPUT_COLUMNS[OLD]
Rows = Callable[..., list[dict[str, Any]]]


def write_old_features(lake: Lake, tracks: list[dict[str, Any]], version: str = OLD) -> None:
    """Write FEATURES like the code that had only 308 columns."""
    rng = np.random.default_rng(8)
    constants = {"feature_version": version, "duration_s": 2.0, "sample_rate": 44_100}
    rows = []
    for track in tracks:
        values = rng.standard_normal(len(OLD_COLUMNS)).tolist()
        row = {"track_id": track["track_id"], "content_hash": track["content_hash"], **constants}
        row |= dict(zip(OLD_COLUMNS, values, strict=True))
        if version == FEATURE_VERSION:  # or it would lack the embedding that this machine has the weights for
            row[PRETRAINED_COLUMNS[0]] = 0.5
        rows.append(row)
    names = [name for name in FEATURES.names if name in rows[0]]
    schema = pa.schema([FEATURES.arrow_schema().field(name) for name in names])
    folder = lake.root / "FEATURES" / "v000001"
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "part.parquet")
    (folder.parent / "current").symlink_to("v000001")


def run_embed(lake: Lake, version: str | None = None) -> dict[str, Any]:
    arguments = {"lake": str(lake.root), "master": "local[2]", "dimensions": 64, "feature_version": version}
    return embed.main(argparse.Namespace(**arguments, recipe="timbre")).counts


def embedder_columns(rows: list[dict[str, Any]]) -> set[str]:
    return set(cluster.load_embedder(rows).columns)


@pytest.fixture
def library(step: Callable[..., Any], song: Callable[..., Any], table: Rows) -> list[dict[str, Any]]:
    """Three tracks, compressed and in the catalog."""
    for number in (2, 3, 5):
        song(f"000/{number:06d}.mp3", seed=number)
    step("compress")
    step("catalog")
    return table(TRACKS)


def test_table_holds_two_feature_versions(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]], spark: SparkSession
) -> None:
    write_old_features(lake, library)
    before = table(FEATURES)
    assert step("extract")["attempted"] == 3
    rows = table(FEATURES)
    assert [(row["track_id"], row["feature_version"]) for row in rows] == [
        (track, version) for track in ("2", "3", "5") for version in (OLD, FEATURE_VERSION)
    ]
    old = [row for row in rows if row["feature_version"] == OLD]
    new = [row for row in rows if row["feature_version"] == FEATURE_VERSION]
    assert old == before
    assert all(row["tempo"] is None and row["chroma_cqt_mean_01"] is None for row in old)
    assert all(np.isfinite([row[name] for name in FEATURE_COLUMNS]).all() for row in new)
    # Spark reads both, too, and a second run has nothing to do.
    assert lake.read(spark, FEATURES).where("tempo IS NULL").count() == 3
    assert step("extract")["attempted"] == 0


def test_extract_computes_only_older_versions(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]]
) -> None:
    write_old_features(lake, library[:1], version=FEATURE_VERSION)
    assert step("extract")["attempted"] == 2
    assert [row["feature_version"] for row in table(FEATURES)] == [FEATURE_VERSION] * 3


def test_embed_uses_the_newest_or_the_given_version(
    step: Callable[..., Any], lake: Lake, table: Rows, library: list[dict[str, Any]]
) -> None:
    write_old_features(lake, library)
    assert run_embed(lake)["new"] == 3  # the old version is the newest in the table
    assert {row["feature_version"] for row in table(EMBEDDERS)} == {OLD}
    step("extract")
    newest = run_embed(lake)["embedder"]
    arrays = table(EMBEDDERS)
    assert {row["feature_version"] for row in arrays} == {FEATURE_VERSION}
    assert (
        {"tempo", "mel_covariance_210"} < embedder_columns(arrays) < set(MODEL_INPUT_COLUMNS[FEATURE_VERSION])
    )
    assert run_embed(lake, OLD)["embedder"] != newest
    assert {"mfcc_mean_01", "zcr_std_01"} < embedder_columns(table(EMBEDDERS)) < set(OLD_COLUMNS)
    vectors = np.array([row["embedding"] for row in table(VECTORS)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    with pytest.raises(InputError, match=f"expected one of {OLD}, .*, found 'basic-2'"):
        run_embed(lake, "basic-2")


def test_embed_refuses_an_unknown_version(lake: Lake, library: list[dict[str, Any]]) -> None:
    write_old_features(lake, library, version="zzz-9")
    with pytest.raises(
        StepError, match="expected features of a known version, found only zzz-9; run `segue extract`"
    ):
        run_embed(lake)
