"""Publish the champion to the online store: tracks, neighbours, map, and the pointer to the version.

The collections `tracks` and `similar` are written first and the document `champion` of `state` last, so a
reader sees either the version before or the whole new one. The version before stays in `similar`: a rollback
writes one document.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.accumulators import Accumulator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import progress
from jobs.lake.feature_columns import PUBLISHED_COLUMNS
from jobs.lake.schemas import EMBEDDINGS, FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import batch_inference, clustered_vectors, index_registry, registry
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.online import collection_map, mongo, similar_documents, state, track_documents
from jobs.online.state import ChampionState, PublishedVersion
from jobs.progress import StepResult
from jobs.runtime import embedded_mongo
from jobs.spark import session

T = TypeVar("T")


@dataclass(frozen=True)
class _Publication:
    """A model version as it is to be online, with its vectors."""

    version: PublishedVersion
    vectors: ClusteredVectors
    track_ids: frozenset[str]


def publish_champion(lake: Lake, *, master: str, mongo_uri: str | None) -> StepResult:
    """Publish the champion; return the number of its tracks and how many were written.

    The registry must be connected.

    Without a champion the newest model version becomes it. Nothing is written if the store is up to date.
    """
    champion = registry.version_by_alias(registry.CHAMPION) or registry.version(None)
    model_version = str(champion.version)
    batch_inference.update_embeddings(lake, master, champion)
    publication = _read_publication(lake, champion)
    version = publication.version
    with embedded_mongo.mongo_uri(mongo_uri, lake.root) as uri:
        with mongo.database(uri) as database:
            is_new = not is_published(database, version, n_tracks=lake.count_rows(TRACKS))
            has_map = collection_map.is_published(database, model_version, version["digest"])
        # The map takes a core a minute or more; meanwhile most of the work is the store's.
        map_documents = (
            None
            if has_map
            else _in_background(partial(collection_map.map_documents, publication.vectors, model_version))
        )
        if is_new:
            _write_version(uri, session.get_session(master), lake, publication)
        with mongo.database(uri) as database:
            track_documents.update_track_documents(
                database, lake, written=publication.track_ids if is_new else frozenset()
            )
            if map_documents is not None:
                documents = map_documents.result()
                collection_map.write_map(database, model_version, version["digest"], documents)
    registry.set_champion(model_version)
    n_written = version["tracks"] if is_new else 0
    return StepResult({"tracks": version["tracks"], "new": n_written}, model_version=model_version)


def _in_background(function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread that does not keep the process from ending; return its result to come."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _read_publication(lake: Lake, champion: Any) -> _Publication:
    model_version = str(champion.version)
    index = index_registry.index_settings(champion)
    clustered_vectors.save_settings(lake, model_version, index)
    vectors = clustered_vectors.open_vectors(lake, model_version)
    track_ids = track_documents.track_ids(lake, TRACKS)
    track_ids.intersection_update(track_id.decode() for track_id in vectors.ids.tolist())
    version = PublishedVersion(
        model_version=model_version,
        feature_version=champion.tags["feature_version"],
        tracks=len(track_ids),
        digest=publication_digest(track_documents.tracks_digest(lake, track_ids), vectors.digest),
    )
    return _Publication(version, vectors, frozenset(track_ids))


def _tracks_frame(spark: SparkSession, lake: Lake, version: PublishedVersion) -> DataFrame:
    """Return the tracks of a model version with their features."""
    embedded = lake.read(spark, EMBEDDINGS).where(F.col("model_version") == version["model_version"])
    # One array column: with about a thousand columns Spark's planning would take longer than the work.
    values = F.array(*PUBLISHED_COLUMNS).alias("features")
    read_features = FEATURES.select("track_id", "feature_version", *PUBLISHED_COLUMNS)
    features = lake.read(spark, read_features).where(F.col("feature_version") == version["feature_version"])
    return (
        lake.read(spark, TRACKS)
        .join(embedded.select("track_id", "model_version"), "track_id")
        .join(features.select("track_id", "feature_version", values), "track_id")
    )


def publication_digest(tracks_digest: str, vectors_digest: str) -> str:
    """Return a hash of what is published (32 hex digits)."""
    return hashlib.sha256(f"{tracks_digest} {vectors_digest}".encode()).hexdigest()[:32]


def is_published(database: mongo.Database, version: PublishedVersion, *, n_tracks: int) -> bool:
    """Return whether the store has this version online with all its documents, and `n_tracks` tracks in all.

    The state is written last, and a store that lost its latest writes lost it first. The collections are
    counted without a filter: to filter, the embedded server would read every document.
    """
    current = state.champion(database)
    if current is None or published_version(current) != version:
        return False
    is_complete = version["tracks"] <= mongo.count(database["similar"])
    return is_complete and mongo.count(database["tracks"]) == n_tracks


def published_version(champion: ChampionState) -> PublishedVersion:
    """Return which version a champion's state is about, without when and after which one it was published."""
    return PublishedVersion(
        model_version=champion["model_version"],
        feature_version=champion["feature_version"],
        tracks=champion["tracks"],
        digest=champion["digest"],
    )


def restore_champion(database: mongo.Database, model_version: str) -> bool:
    """Put `model_version` online again by writing one document.

    Return False if the store does not have it.
    """
    current = state.champion(database)
    if current is None:
        return False
    if current["model_version"] == model_version:
        return True
    previous = current["previous"]
    if previous is None or previous["model_version"] != model_version:
        return False
    _write_champion(database, previous, previous=published_version(current))
    return True


def _write_version(uri: str, spark: SparkSession, lake: Lake, publication: _Publication) -> None:
    """Write both collections, flip the pointer, then delete what neither version needs."""
    version = publication.version
    model_version = version["model_version"]
    n_done = spark.sparkContext.accumulator(0)
    with progress.watch("publish", 2 * version["tracks"], lambda: n_done.value):
        _write_tracks(_tracks_frame(spark, lake, version), uri, n_done)
        similar_documents.write(spark, lake, uri, model_version, publication.vectors, n_done)
        with mongo.database(uri) as database:
            previous = _version_before(database, model_version)
            _write_champion(database, version, previous=previous)
            _delete_stale(database, lake, model_version, previous)


def _write_tracks(tracks: DataFrame, uri: str, n_done: Accumulator[int]) -> None:
    """Write a document per track, on the workers."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with mongo.database(uri) as database:
            rows = (row for batch in batches for row in batch.to_pylist())
            documents = map(track_documents.published_document, rows)
            n_done.add(mongo.upsert(database["tracks"], documents, mostly_new=True))
        yield from ()

    # Arrow, because Spark's own rows of 900 features cost more than the documents.
    tracks.mapInArrow(write, "nothing int").collect()


def _version_before(database: mongo.Database, model_version: str) -> PublishedVersion | None:
    """Return the version that a rollback from `model_version` restores, or None.

    That is the one online now; when `model_version` itself is online, the one that it would roll back to.
    """
    current = state.champion(database)
    if current is None:
        return None
    if current["model_version"] == model_version:
        return current["previous"]
    return published_version(current)


def _write_champion(
    database: mongo.Database, version: PublishedVersion, *, previous: PublishedVersion | None
) -> None:
    published_at = datetime.now(UTC)
    state.write(
        database, {"_id": state.CHAMPION, **version, "previous": previous, "published_at": published_at}
    )


def _delete_stale(
    database: mongo.Database, lake: Lake, model_version: str, previous: PublishedVersion | None
) -> None:
    """Delete what neither version needs, by id.

    By any other field the embedded server would read every document.
    """
    track_ids = track_documents.track_ids(lake, TRACKS)
    published = {track_id for version, track_id in _embedding_keys(lake) if version == model_version}
    published &= track_ids
    unpublished = track_documents.track_ids(lake, EMBEDDINGS) - published
    track_documents.clear_model_fields(database, lake, unpublished & track_ids)
    mongo.delete(database["tracks"], unpublished - track_ids)
    _delete_stale_neighbours(database, lake, model_version, previous, published)
    # Tracks of model versions that EMBEDDINGS no longer has are found by comparing all ids.
    if mongo.count(database["tracks"]) > len(track_ids):
        mongo.delete(database["tracks"], set(mongo.ids(database["tracks"])) - track_ids)


def _embedding_keys(lake: Lake) -> Iterator[tuple[str, str]]:
    """Yield (model version, track_id) of every row of EMBEDDINGS."""
    for batch in lake.iter_batches(EMBEDDINGS, *EMBEDDINGS.key):
        yield from zip(batch["model_version"].to_pylist(), batch["track_id"].to_pylist(), strict=True)


def _delete_stale_neighbours(
    database: mongo.Database,
    lake: Lake,
    model_version: str,
    previous: PublishedVersion | None,
    published: set[str],
) -> None:
    versions = {model_version} | ({previous["model_version"]} if previous else set())
    stale = (
        f"{version}:{track_id}"
        for version, track_id in _embedding_keys(lake)
        if version not in versions or (version == model_version and track_id not in published)
    )
    mongo.delete(database["similar"], stale)
    # A version published again may have lost the EMBEDDINGS rows of deleted tracks, but not their neighbour
    # lists.
    n_expected = len(published) + (previous["tracks"] if previous else 0)
    if mongo.count(database["similar"]) > n_expected:
        prefix = f"{model_version}:"
        orphans = [
            document_id
            for document_id in mongo.ids(database["similar"])
            if document_id.startswith(prefix) and document_id.removeprefix(prefix) not in published
        ]
        mongo.delete(database["similar"], orphans)
