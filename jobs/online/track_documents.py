"""The documents of `tracks` in the online store: from TRACKS, with features for published tracks.

A document without `model_version` belongs to a track that the published model does not know: it can be listed
and played, but not recommended.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from jobs.lake.feature_columns import (
    FEATURE_SIZES,
    PUBLISHED_COLUMNS,
    PUBLISHED_DESCRIPTORS,
    STATISTICS,
    descriptor_columns,
    feature_columns,
)
from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.lake.table import Table
from jobs.online import mongo, state


def track_document(row: Mapping[str, Any]) -> mongo.Document:
    """Return the document of a row of TRACKS: its columns, with track_id as `_id`."""
    return {"_id": row["track_id"], **{name: row[name] for name in TRACKS.names if name != "track_id"}}


def published_document(row: Mapping[str, Any]) -> mongo.Document:
    """Return the document of a published track, with model version and features by name and statistic.

    Its cluster is in `similar`, which is stored per model version: here it would change before the champion
    does.
    """
    values = row["features"]
    features = {}
    for feature, positions in _STATISTIC_POSITIONS.items():
        # An older feature version lacks the newer columns.
        if None not in values[positions["mean"]]:
            features[feature] = {statistic: values[columns] for statistic, columns in positions.items()}
    descriptors = {}
    for name, columns in _DESCRIPTOR_POSITIONS.items():
        if None not in values[columns]:
            descriptors[name] = values[columns]
    return {
        **track_document(row),
        **{name: row[name] for name in ("model_version", "feature_version")},
        "features": features,
        "descriptors": descriptors,
    }


def _positions(columns: tuple[str, ...]) -> slice:
    """Return where these columns, which stand side by side, are in PUBLISHED_COLUMNS."""
    first = PUBLISHED_COLUMNS.index(columns[0])
    return slice(first, first + len(columns))


_STATISTIC_POSITIONS = {
    feature: {statistic: _positions(feature_columns(feature, statistic)) for statistic in STATISTICS}
    for feature in FEATURE_SIZES
}
_DESCRIPTOR_POSITIONS = {name: _positions(descriptor_columns(name)) for name in PUBLISHED_DESCRIPTORS}


def update_track_documents(database: mongo.Database, lake: Lake, *, written: Container[str] = ()) -> int:
    """Update `tracks` from TRACKS, one document per row; return how many were written.

    Documents of `written` ids are up to date already. Fields beyond TRACKS' columns stay. Documents of
    deleted tracks are deleted, unless EMBEDDINGS has them: `publish` deletes those once no published version
    needs them. The document `catalog` of `state` is written last and holds the digest of the TRACKS that this
    was done for.
    """
    n_tracks = lake.count_rows(TRACKS)
    catalog_state = {"_id": state.CATALOG, "tracks": n_tracks, "digest": tracks_digest(lake)}
    n_documents = mongo.count(database["tracks"])
    if mongo.get(database["state"], state.CATALOG) == catalog_state and n_documents >= n_tracks:
        return 0
    rows = (row for row in lake.iter_rows(TRACKS) if row["track_id"] not in written)
    n_written = mongo.merge(database["tracks"], map(track_document, rows))
    if mongo.count(database["tracks"]) > n_tracks:
        needed = track_ids(lake, TRACKS) | track_ids(lake, EMBEDDINGS)
        mongo.delete(database["tracks"], set(mongo.ids(database["tracks"])) - needed)
    state.write(database, catalog_state)
    return n_written


def clear_model_fields(database: mongo.Database, lake: Lake, ids: Iterable[str]) -> None:
    """Replace the documents of tracks that are no longer published: only TRACKS' columns stay."""
    cleared = set(ids)
    rows = (row for row in lake.iter_rows(TRACKS) if row["track_id"] in cleared) if cleared else ()
    mongo.upsert(database["tracks"], map(track_document, rows))


def track_ids(lake: Lake, table: Table) -> set[str]:
    """Return the track_ids of a table, about 120 bytes each in memory."""
    return {row["track_id"] for row in lake.iter_rows(table, "track_id")}


def tracks_digest(lake: Lake, only: Container[str] | None = None) -> str:
    """Return a hash of TRACKS, or of the rows with the ids in `only` (32 hex digits).

    TRACKS is sorted by track_id, so it does not depend on the order in which rows were written.
    """
    digest = hashlib.sha256()
    for row in lake.iter_rows(TRACKS):
        if only is None or row["track_id"] in only:
            digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:32]
