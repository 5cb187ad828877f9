"""A track's document in MongoDB's `tracks`: made here alone, by catalog for every track, by publish with what a model says.

A document without `model_version` is one that no published model knows: it can be shown and played, not recommended.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa
from pymongo.database import Database

from jobs.lake.schemas import (
    DESCRIPTORS,
    EMBEDDINGS,
    FEATURE_COLUMNS,
    FEATURE_SIZES,
    STATISTICS,
    TRACKS,
    descriptor_columns,
    feature_columns,
)
from jobs.lake.storage import Lake
from jobs.online import mongo

_STATE = "catalog"


def track_document(row: Any) -> mongo.Document:
    """Return the document of a row of TRACKS: its columns, the track_id as `_id`."""
    return {"_id": row["track_id"], **{name: row[name] for name in TRACKS.names if name != "track_id"}}


def published_document(row: Any) -> mongo.Document:
    """Return the document of a track with its model version and features (by name and statistic).

    Its cluster is in `similar`, which is kept per version: here it would change before the champion does.
    """
    values = dict(zip(FEATURE_COLUMNS, row["features"], strict=True))
    features = {
        feature: {statistic: _values(values, feature_columns(feature, statistic)) for statistic in STATISTICS}
        for feature in FEATURE_SIZES
    }
    descriptors = {name: _values(values, descriptor_columns(name)) for name in DESCRIPTORS}
    return {
        **track_document(row),
        **{name: row[name] for name in ("model_version", "feature_version", "sample_rate")},
        # An older feature version has no values for the newer columns.
        "features": {name: found for name, found in features.items() if None not in found["mean"]},
        "descriptors": {name: found for name, found in descriptors.items() if None not in found},
    }


def _values(row: dict[str, float | None], columns: tuple[str, ...]) -> list[float | None]:
    return [row[column] for column in columns]


def update_track_documents(
    database: Database[mongo.Document], lake: Lake, *, written: Collection[str] = ()
) -> int:
    """Make `tracks` hold a document for each row of TRACKS; return how many were written.

    `written` are ids whose documents are known to be new. What a document has beyond TRACKS' columns stays. Documents of
    tracks that are gone go with them, but for those that a model in EMBEDDINGS knows: publish removes these when it no
    longer shows them. `settings.catalog` is written last and says for which TRACKS this has been done.
    """
    tracks = lake.read_arrow(TRACKS)
    state = {"_id": _STATE, "tracks": len(tracks), "digest": tracks_digest(tracks)}
    count = database["tracks"].estimated_document_count()
    if database["settings"].find_one({"_id": _STATE}) == state and count >= len(tracks):
        return 0
    rows = [row for row in tracks.to_pylist() if row["track_id"] not in written]
    mongo.merge(database["tracks"], map(track_document, rows))
    known = {
        *tracks["track_id"].to_pylist(),
        *lake.read_arrow(EMBEDDINGS, "track_id")["track_id"].to_pylist(),
    }
    if database["tracks"].estimated_document_count() > len(tracks):
        mongo.delete(database["tracks"], set(mongo.ids(database["tracks"])) - known)
    mongo.upsert(database["settings"], [state])
    return len(rows)


def clear_model_fields(database: Database[mongo.Document], lake: Lake, ids: Iterable[str]) -> None:
    """Replace the documents of tracks that no published model knows any more: only TRACKS' columns stay."""
    wanted = set(ids)
    rows = (row for row in lake.read_arrow(TRACKS).to_pylist() if row["track_id"] in wanted)
    mongo.upsert(database["tracks"], map(track_document, rows))


def tracks_digest(tracks: pa.Table) -> str:
    """Return a hash of rows of TRACKS, 32 hex digits, whatever their order."""
    hashed = hashlib.sha256()
    for row in tracks.sort_by("track_id").to_pylist():
        hashed.update(json.dumps(row, sort_keys=True).encode())
    return hashed.hexdigest()[:32]
