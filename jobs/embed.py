"""VECTORS from FEATURES: fit the projection on all tracks of the present feature version, and apply it."""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.feature import PCA, StandardScaler, VectorAssembler
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
    spark = session.spark(arguments.master)
    features = training_set(lake.read(spark, FEATURES), lake.read(spark, TRACKS), arguments.feature_version)
    version, training_hash, tracks = _identity(features)
    projection_id = _projection_id(training_hash, arguments.dimensions)
    counts = {"tracks": tracks, "projection": projection_id}
    vectors = lake.read(spark, VECTORS)
    if vectors.where(F.col("projection_id") == projection_id).count() == tracks:
        return {**counts, "new": 0}
    with progress.watch("embed", tracks):
        partitions = tracks // ROWS_PER_PARTITION + 1
        features = features.repartitionByRange(partitions, "track_id").sortWithinPartitions("track_id").persist()
        dimensions = min(arguments.dimensions, max(tracks - 1, 1))
        projection = fit(features, EMBEDDED_COLUMNS[version], dimensions=dimensions)
        lake.commit(PROJECTIONS, _projection_rows(spark, projection, projection_id, version, training_hash))
        embedded = features.mapInArrow(_applier(projection), "track_id string, embedding array<float>")
        lake.commit(VECTORS, embedded.withColumn("projection_id", F.lit(projection_id)))
        features.unpersist()
    return {**counts, "new": tracks}


def training_set(features: DataFrame, tracks: DataFrame, version: str | None) -> DataFrame:
    """Return the rows of one feature version (the newest found where None) whose track is still in TRACKS."""
    found = sorted(row[0] for row in features.select("feature_version").distinct().collect())
    if not found:
        raise StepError("expected rows in FEATURES, found none; run `segue extract` first")
    known = ", ".join(version for version in EMBEDDED_COLUMNS if version in found)
    chosen = version or newest_version(found)
    if chosen is None:
        raise StepError(
            f"expected rows of feature version {', '.join(EMBEDDED_COLUMNS)}, found only those of another segue: "
            f"{', '.join(found)}; run `segue extract`"
        )
    if chosen not in found or chosen not in EMBEDDED_COLUMNS:
        raise InputError(f"--feature-version: expected one of {known}, found {version!r}")
    rows = features.where(F.col("feature_version") == chosen)
    return rows.join(tracks.select("track_id", "content_hash"), ["track_id", "content_hash"], "left_semi")


def _identity(features: DataFrame) -> tuple[str, str, int]:
    """Return the feature version, the hash of the training data and the number of tracks."""
    rows = features.select("feature_version", "track_id", "content_hash").orderBy("track_id").collect()
    if not rows:
        raise StepError("expected tracks with features, found none; see REJECTS for why")
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.feature_version} {row.track_id} {row.content_hash}\n".encode())
    return rows[0].feature_version, digest.hexdigest(), len(rows)


def _projection_id(training_hash: str, dimensions: int) -> str:
    identity = json.dumps([RECIPE, training_hash, dimensions])
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def fit(features: DataFrame, columns: Sequence[str], *, dimensions: int) -> Projection:
    """Return the projection of these columns of FEATURES: standardisation, then their first principal components."""
    assembled = VectorAssembler(inputCols=list(columns), outputCol="x").transform(features).select("x")
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
            values = np.column_stack(
                [batch.column(name).to_numpy(zero_copy_only=False) for name in projection.features]
            )
            vectors = pa.array(list(projection.apply(values)), pa.list_(pa.float32()))
            yield pa.RecordBatch.from_arrays([batch.column("track_id"), vectors], ["track_id", "embedding"])

    return apply
