"""The documents of `tracks` in the online store: from TRACKS, with features for published tracks.

A document without `model_version` belongs to a track that the published model does not know: it can be listed
and played, but not recommended.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa

from jobs.lake.feature_columns import (
    DESCRIPTORS,
    FEATURE_COLUMNS,
    FEATURE_SIZES,
    STATISTICS,
    descriptor_columns,
    feature_columns,
)
from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo, state


def track_document(row: Any) -> mongo.Document:
    """Return the document of a row of TRACKS: its columns, with track_id as `_id`."""
    return {"_id": row["track_id"], **{name: row[name] for name in TRACKS.names if name != "track_id"}}


def published_document(row: Any) -> mongo.Document:
    """Return the document of a published track, with model version and features by name and statistic.

    Its cluster is in `similar`, which is stored per model version: here it would change before the champion
    does.
    """
    values = dict(zip(FEATURE_COLUMNS, row["features"], strict=True))
    features = {}
    for feature in FEATURE_SIZES:
        by_statistic = {
            statistic: _select(values, feature_columns(feature, statistic)) for statistic in STATISTICS
        }
        # An older feature version lacks the newer columns.
        if None not in by_statistic["mean"]:
            features[feature] = by_statistic
    descriptors = {}
    for name in DESCRIPTORS:
        descriptor = _select(values, descriptor_columns(name))
        if None not in descriptor:
            descriptors[name] = descriptor
    return {
        **track_document(row),
        **{name: row[name] for name in ("model_version", "feature_version", "sample_rate")},
        "features": features,
        "descriptors": descriptors,
    }


def _select(values: dict[str, float | None], columns: tuple[str, ...]) -> list[float | None]:
    return [values[column] for column in columns]


def update_track_documents(database: mongo.Database, lake: Lake, *, written: Collection[str] = ()) -> int:
    """Update `tracks` from TRACKS, one document per row; return how many were written.

    Documents of `written` ids are up to date already. Fields beyond TRACKS' columns stay. Documents of
    deleted tracks are deleted, unless EMBEDDINGS has them: `publish` deletes those once no published version
    needs them. The document `catalog` of `state` is written last and holds the digest of the TRACKS that this
    was done for.
    """
    tracks = lake.read_arrow(TRACKS)
    track_ids = tracks["track_id"].to_pylist()
    catalog_state = {"_id": state.CATALOG, "tracks": len(tracks), "digest": tracks_digest(tracks)}
    n_documents = mongo.count(database["tracks"])
    if mongo.get(database["state"], state.CATALOG) == catalog_state and n_documents >= len(tracks):
        return 0
    rows = [row for row in tracks.to_pylist() if row["track_id"] not in written]
    mongo.merge(database["tracks"], map(track_document, rows))
    if mongo.count(database["tracks"]) > len(tracks):
        embedded = lake.read_arrow(EMBEDDINGS, "track_id")["track_id"].to_pylist()
        mongo.delete(database["tracks"], set(mongo.ids(database["tracks"])) - {*track_ids, *embedded})
    state.write(database, catalog_state)
    return len(rows)


def clear_model_fields(database: mongo.Database, lake: Lake, track_ids: Iterable[str]) -> None:
    """Replace the documents of tracks that are no longer published: only TRACKS' columns stay."""
    cleared = set(track_ids)
    rows = [row for row in lake.read_arrow(TRACKS).to_pylist() if row["track_id"] in cleared]
    mongo.upsert(database["tracks"], map(track_document, rows))


def tracks_digest(tracks: pa.Table) -> str:
    """Return a hash of rows of TRACKS, independent of their order (32 hex digits)."""
    digest = hashlib.sha256()
    for row in tracks.sort_by("track_id").to_pylist():
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:32]
