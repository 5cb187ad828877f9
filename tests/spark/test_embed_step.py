"""The projection against numpy's own singular value decomposition, and constant columns."""

import numpy as np

from jobs import embed
from jobs.tables import FEATURE_COLUMNS, FEATURES


def features(spark, values):
    rows = [
        {
            "track_id": f"t{i:03d}",
            "feature_version": "v",
            "content_hash": f"{i}",
            **dict(zip(FEATURE_COLUMNS, row, strict=True)),
        }
        for i, row in enumerate(values.tolist())
    ]
    return spark.createDataFrame(
        [tuple(row.get(name) for name in FEATURES.names) for row in rows], FEATURES.spark_schema()
    )


def test_the_components_are_those_of_the_standardised_features(spark):
    values = np.random.default_rng(0).standard_normal((30, len(FEATURE_COLUMNS))).astype(np.float32)
    values[:, 5] = 7.0  # a constant feature
    narrow = embed.narrow(features(spark, values).coalesce(1), FEATURE_COLUMNS)
    projection = embed.fit(narrow, FEATURE_COLUMNS, dimensions=4)
    scale = values.std(axis=0, ddof=1, dtype=float)
    scale[5] = 1
    standardised = (values - values.mean(axis=0, dtype=float)) / scale
    components = np.linalg.svd(standardised, full_matrices=False)[2][:4].T
    np.testing.assert_allclose(np.abs(projection.loadings), np.abs(components), atol=1e-4)
    assert np.isfinite(projection.apply(values)).all()
    largest = projection.loadings[np.abs(projection.loadings).argmax(axis=0), range(4)]
    assert (largest > 0).all()
