"""Reading FEATURES for a model: which rows it is trained on, and their values, a bounded number at a time."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.errors import InputError, StepError
from jobs.lake.schemas import FEATURES, MODEL_INPUT_COLUMNS, TRACKS, newest_feature_version
from jobs.lake.storage import Lake
from jobs.model.recipes import GENRE_RECIPES

__all__ = [
    "FEATURES",
    "GENRE_RECIPES",
    "TrainingSet",
    "embedding_inputs_digest",
    "track_genres",
    "select_features",
    "feature_batches",
    "training_set",
]


@dataclass(frozen=True)
class TrainingSet:
    """The tracks to train on: a feature version, the (track_id, content_hash) of every track, sorted, and their hash."""

    version: str
    digest: str
    keys: list[tuple[str, str]]

    @property
    def present(self) -> set[tuple[str, str]]:
        """The keys as a set."""
        return set(self.keys)


def training_set(lake: Lake, version: str | None) -> TrainingSet:
    """Return the training set of a feature version, the newest in FEATURES where None.

    It is every row of FEATURES of that version whose track is still in TRACKS with the same content.
    """
    rows = lake.read_arrow(FEATURES, "feature_version", "track_id", "content_hash").to_pylist()
    versions = sorted({row["feature_version"] for row in rows})
    if not versions:
        raise StepError(
            "expected tracks with features, found none; run `segue extract`, or see REJECTS for why"
        )
    known = [known for known in MODEL_INPUT_COLUMNS if known in versions]
    if version and version not in known:
        raise InputError(f"--feature-version: expected one of {', '.join(known)}, found {version!r}")
    version = version or newest_feature_version(versions)
    if version is None:
        raise StepError(
            f"expected features of a known version, found only {', '.join(versions)}; run `segue extract`"
        )
    there = {
        (row["track_id"], row["content_hash"])
        for row in lake.read_arrow(TRACKS, "track_id", "content_hash").to_pylist()
    }
    keys = sorted((r["track_id"], r["content_hash"]) for r in rows if r["feature_version"] == version)
    keys = [key for key in keys if key in there]
    if not keys:
        raise StepError(
            f"expected tracks with features of version {version}, found none; run `segue extract`"
        )
    hashed = hashlib.sha256()
    for track_id, content_hash in keys:
        hashed.update(f"{version} {track_id} {content_hash}\n".encode())
    return TrainingSet(version, hashed.hexdigest(), keys)


def feature_batches(
    lake: Lake,
    version: str,
    present: Collection[tuple[str, str]],
    columns: Sequence[str],
    wanted: Collection[str] | None = None,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (ids, values (tracks, n) float64) of FEATURES: of one version, of present keys, of `wanted` ids where given."""
    for batch in lake.iter_batches(FEATURES, "track_id", "feature_version", "content_hash", *columns):
        ids, versions, hashes = (batch.column(name).to_pylist() for name in batch.schema.names[:3])
        chosen = [
            number
            for number, (track_id, found, content_hash) in enumerate(zip(ids, versions, hashes, strict=True))
            if found == version
            and (track_id, content_hash) in present
            and (wanted is None or track_id in wanted)
        ]
        if chosen:
            values = np.stack(
                [batch.column(name).to_numpy(zero_copy_only=False)[chosen] for name in columns], axis=1
            )
            yield [ids[number] for number in chosen], values.astype(np.float64)


def track_genres(lake: Lake) -> dict[str, list[str]]:
    """Return the genres of every track that has some."""
    found = lake.read_arrow(TRACKS, "track_id", "genres").to_pylist()
    return {row["track_id"]: sorted(row["genres"]) for row in found if row["genres"]}


def embedding_inputs_digest(training_digest: str, genres: dict[str, list[str]]) -> str:
    """Return a hash of everything that embeddings are computed from."""
    return hashlib.sha256(json.dumps([training_digest, sorted(genres.items())]).encode()).hexdigest()[:16]


def select_features(features: DataFrame, version: str, columns: Sequence[str]) -> DataFrame:
    """Return track_id, content_hash and these columns of a version of FEATURES as one array `x`: plans stay small."""
    return features.where(F.col("feature_version") == version).select(
        "track_id", "content_hash", F.array(*columns).alias("x")
    )
