"""Training data.

Which rows of FEATURES a model is trained on, and their values in batches of bounded size.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.errors import InputError, StepError
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, newest_feature_version
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake

# (track_id, content_hash): features belong to one content of a track.
Key = tuple[str, str]
_KEY_COLUMNS = ("track_id", "content_hash")


@dataclass(frozen=True)
class TrainingSet:
    """The tracks to train on: a feature version, the sorted keys of the tracks, and the hash of both."""

    feature_version: str
    digest: str
    keys: list[Key]

    @property
    def keys_set(self) -> set[Key]:
        """The keys as a set."""
        return set(self.keys)


def training_set(lake: Lake, feature_version: str | None) -> TrainingSet:
    """Return the training set of a feature version, or of the newest one in FEATURES.

    It is every row of FEATURES of that version whose track is in TRACKS with the same content. Raises
    InputError for an unknown version, and StepError where no track can be trained on.
    """
    batches = lake.iter_batches(FEATURES, "feature_version")
    extracted = {version for batch in batches for version in batch["feature_version"].unique().to_pylist()}
    feature_version = _check_version(feature_version, extracted)
    current_hashes = {row["track_id"]: row["content_hash"] for row in lake.iter_rows(TRACKS, *_KEY_COLUMNS)}
    keys = []
    for row in lake.iter_rows(FEATURES, "feature_version", *_KEY_COLUMNS):
        track_id, content_hash = row["track_id"], row["content_hash"]
        # A hash is null for a track that was imported without its file.
        is_current = track_id in current_hashes and current_hashes[track_id] == content_hash
        if is_current and row["feature_version"] == feature_version:
            keys.append((track_id, content_hash))
    if not keys:
        raise StepError(
            f"expected tracks with features of version {feature_version}, found none; run `segue extract`"
        )
    keys.sort()
    sha256 = hashlib.sha256()
    for track_id, content_hash in keys:
        sha256.update(f"{feature_version} {track_id} {content_hash}\n".encode())
    return TrainingSet(feature_version, sha256.hexdigest(), keys)


def _check_version(feature_version: str | None, extracted: set[str]) -> str:
    """Return the feature version to use of those that are extracted, the newest one for None."""
    if not extracted:
        raise StepError(
            "expected tracks with features, found none; run `segue extract`, or see REJECTS for the reasons"
        )
    known = [version for version in MODEL_INPUT_COLUMNS if version in extracted]
    if feature_version and feature_version not in known:
        raise InputError(f"--feature-version: expected one of {', '.join(known)}, found {feature_version!r}")
    newest = feature_version or newest_feature_version(sorted(extracted))
    if newest is None:
        raise StepError(
            f"expected features of a known version, found only {', '.join(sorted(extracted))}; "
            "run `segue extract`"
        )
    return newest


def feature_batches(
    lake: Lake,
    training: TrainingSet,
    columns: Sequence[str],
    *,
    track_ids: Collection[str] | None = None,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (track ids, values (tracks, len(columns)) float64) of the training set, or of `track_ids`."""
    keys = training.keys_set
    for batch in lake.iter_batches(FEATURES, "track_id", "feature_version", "content_hash", *columns):
        ids = batch.column("track_id").to_pylist()
        versions = batch.column("feature_version").to_pylist()
        hashes = batch.column("content_hash").to_pylist()
        positions = [
            position
            for position, key in enumerate(zip(ids, hashes, strict=True))
            if versions[position] == training.feature_version
            and key in keys
            and (track_ids is None or key[0] in track_ids)
        ]
        if positions:
            arrays = [batch.column(name).to_numpy(zero_copy_only=False)[positions] for name in columns]
            values = np.stack(arrays, axis=1) if arrays else np.zeros((len(positions), 0))
            yield [ids[position] for position in positions], values.astype(np.float64)


def track_genres(lake: Lake) -> dict[str, list[str]]:
    """Return the sorted genres of every track that has any."""
    rows = lake.iter_rows(TRACKS, "track_id", "genres")
    return {row["track_id"]: sorted(row["genres"]) for row in rows if row["genres"]}


def embedding_inputs_digest(training_digest: str, genres: dict[str, list[str]]) -> str:
    """Return a hash of everything that embeddings are computed from: 16 hex digits."""
    return hashlib.sha256(json.dumps([training_digest, sorted(genres.items())]).encode()).hexdigest()[:16]
