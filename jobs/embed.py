"""VECTORS from FEATURES: fit the projection on all tracks of the present feature version, and apply it."""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import progress, session, settings
from jobs.embedding import ROWS_PER_PARTITION, Projection, fixed_signs
from jobs.errors import InputError, StepError
from jobs.storage import Lake
from jobs.tables import EMBEDDED_COLUMNS, FEATURES, PROJECTIONS, TRACKS, VECTORS, newest_version

# Names the way from features to embedding; change it when the way changes.
RECIPE = "standardise+pca-1"

MOST_DIMENSIONS = min(map(len, EMBEDDED_COLUMNS.values()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("--dimensions", type=int, default=64, help="of the embedding, at most (default 64)")
    add_feature_version_argument(parser)


def add_feature_version_argument(parser: argparse.ArgumentParser) -> None:
    """Add --feature-version."""
    parser.add_argument("--feature-version", help="version of FEATURES to train on (default: the newest extracted)")


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring PROJECTIONS and VECTORS up to date with FEATURES; return the counts."""
    if not 1 <= arguments.dimensions <= MOST_DIMENSIONS:
        raise InputError(f"--dimensions: expected 1 to {MOST_DIMENSIONS}, found {arguments.dimensions}")
    lake = Lake(settings.lake_path(arguments.lake))
    version, training_hash, tracks = training_set(lake, arguments.feature_version)
    projection_id = _projection_id(training_hash, arguments.dimensions)
    counts = {"tracks": tracks, "projection": projection_id}
    if lake.arrow(VECTORS, "projection_id")["projection_id"].to_pylist() == [projection_id] * tracks:
        return {**counts, "new": 0}
    with progress.watch("embed", tracks):
        spark = session.spark(arguments.master)
        columns = EMBEDDED_COLUMNS[version]
        features = narrow(lake.read(spark, FEATURES).where(F.col("feature_version") == version), columns)
        present = lake.read(spark, TRACKS).select("track_id", "content_hash")
        features = features.join(present, ["track_id", "content_hash"], "left_semi")
        features = features.repartitionByRange(tracks // ROWS_PER_PARTITION + 1, "track_id")
        features = features.sortWithinPartitions("track_id").persist()
        dimensions = min(arguments.dimensions, max(tracks - 1, 1))
        projection = fit(features, columns, dimensions=dimensions)
        lake.commit(PROJECTIONS, _projection_rows(spark, projection, projection_id, version, training_hash))
        embedded = features.mapInArrow(_applier(projection), "track_id string, embedding array<float>")
        lake.commit(VECTORS, embedded.withColumn("projection_id", F.lit(projection_id)))
        features.unpersist()
    return {**counts, "new": tracks}


def training_set(lake: Lake, version: str | None) -> tuple[str, str, int]:
    """Return the feature version to train on (the newest in FEATURES where None), the training data's hash, the tracks.

    The training set is every row of FEATURES of that version whose track is still in TRACKS with the same content.
    """
    rows = lake.arrow(FEATURES, "feature_version", "track_id", "content_hash").to_pylist()
    versions = sorted({row["feature_version"] for row in rows})
    if not versions:
        raise StepError("expected tracks with features, found none; run `segue extract`, or see REJECTS for why")
    known = [known for known in EMBEDDED_COLUMNS if known in versions]
    if version and version not in known:
        raise InputError(f"--feature-version: expected one of {', '.join(known)}, found {version!r}")
    version = version or newest_version(versions)
    if version is None:
        raise StepError(f"expected features of a known version, found only {', '.join(versions)}; run `segue extract`")
    present = {
        (row["track_id"], row["content_hash"]) for row in lake.arrow(TRACKS, "track_id", "content_hash").to_pylist()
    }
    keys = sorted((r["track_id"], r["content_hash"]) for r in rows if r["feature_version"] == version)
    keys = [key for key in keys if key in present]
    if not keys:
        raise StepError(f"expected tracks with features of version {version}, found none; run `segue extract`")
    digest = hashlib.sha256()
    for track_id, content_hash in keys:
        digest.update(f"{version} {track_id} {content_hash}\n".encode())
    return version, digest.hexdigest(), len(keys)


def _projection_id(training_hash: str, dimensions: int) -> str:
    identity = json.dumps([RECIPE, training_hash, dimensions])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def narrow(features: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Return track_id, content_hash and these columns of FEATURES as one array `x`: the plans after it stay small."""
    return features.select("track_id", "content_hash", F.array(*columns).alias("x"))


def fit(features: DataFrame, columns: Sequence[str], *, dimensions: int) -> Projection:
    """Return the projection of the arrays `x`, whose entries `columns` names: standardised, then principal components."""
    assembled = features.select(array_to_vector("x").alias("x"))
    scaler = StandardScaler(withMean=True, withStd=True, inputCol="x", outputCol="z").fit(assembled)
    components = PCA(k=dimensions, inputCol="z", outputCol="y").fit(scaler.transform(assembled)).pc.toArray()
    scale = scaler.std.toArray()
    scale = np.where(scale > 0, scale, 1.0)  # a constant feature: its standardised value is 0 whatever divides it
    loadings = fixed_signs(np.nan_to_num(components)).astype(np.float32)
    return Projection(tuple(columns), scaler.mean.toArray(), scale, loadings)


def _projection_rows(
    spark: SparkSession, projection: Projection, projection_id: str, version: str, training_hash: str
) -> DataFrame:
    rows = [
        (projection_id, name, version, training_hash, float(mean), float(scale), loadings.tolist())
        for name, mean, scale, loadings in zip(
            projection.features, projection.mean, projection.scale, projection.loadings, strict=True
        )
    ]
    return spark.createDataFrame(rows, PROJECTIONS.spark_schema())


def _applier(projection: Projection) -> Any:
    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = batch.column("x").flatten().to_numpy().reshape(len(batch), -1)
            vectors = pa.array(list(projection.apply(values)), pa.list_(pa.float32()))
            yield pa.RecordBatch.from_arrays([batch.column("track_id"), vectors], ["track_id", "embedding"])

    return apply
