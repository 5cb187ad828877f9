"""Bring tracks, each track's nearest, and the champion to MongoDB; the champion's pointer flips last."""

import argparse
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pymongo.database import Database
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import progress
from jobs.lake.schemas import EMBEDDINGS, FEATURE_COLUMNS, FEATURES, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.model import batch_inference, layout_2d, registry
from jobs.model.neighbours import add_recording_column, neighbours, similar_document
from jobs.online import mongo, track_documents
from jobs.progress import StepResult
from jobs.runtime import embedded_mongo
from jobs.spark import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the champion is what is published."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Make MongoDB show the lake's tracks and the champion's neighbours; return the counts.

    The first model of all becomes champion here where nobody made it so before.
    """
    lake = open_lake(arguments)
    registry.connect(arguments.mlflow, lake.root)
    champion = registry.version_by_alias(registry.CHAMPION) or registry.version(None)
    version, feature_version = str(champion.version), champion.tags["feature_version"]
    batch_inference.update_embeddings(lake, arguments.master, champion)
    embedded = lake.read_arrow(EMBEDDINGS).filter(pc.field("model_version") == version)
    tracks = lake.read_arrow(TRACKS).filter(
        pc.is_in(pc.field("track_id"), embedded["track_id"].combine_chunks())
    )
    pointer = {
        "_id": "champion",
        "model_version": version,
        "feature_version": feature_version,
        "tracks": len(tracks),
        "digest": publication_digest(tracks, embedded),
    }
    with embedded_mongo.mongo_uri(arguments.mongo, lake.root) as uri:
        fresh = not is_published(uri, pointer, lake.count_rows(TRACKS))
        if fresh:
            spark = session.get_session(arguments.master)
            frame, embeddings = published_frames(spark, lake, version, feature_version)
            _publish(uri, frame, embeddings, pointer, lake, int(champion.tags.get("probes", 1)))
        with mongo.database(uri) as database:
            track_documents.update_track_documents(
                database, lake, written=set(tracks["track_id"].to_pylist()) if fresh else ()
            )
            layout_2d.publish_map(database, lake, version, pointer["digest"])
    registry.set_champion(version)
    return StepResult({"tracks": len(tracks), "new": len(tracks) if fresh else 0}, model_version=version)


def published_frames(
    spark: SparkSession, lake: Lake, version: str, feature_version: str
) -> tuple[DataFrame, DataFrame]:
    """Return what MongoDB is to show of a model version: its tracks with features, and its embeddings."""
    tracks = lake.read(spark, TRACKS)
    embeddings = lake.read(spark, EMBEDDINGS).where(F.col("model_version") == version).drop("model_version")
    embeddings = add_recording_column(embeddings.join(tracks, "track_id", "left_semi"), tracks)
    values = F.array(*FEATURE_COLUMNS).alias(
        "features"
    )  # one column: a thousand would cost Spark more than the work
    features = lake.read(spark, FEATURES).where(F.col("feature_version") == feature_version)
    frame = (
        tracks.join(embeddings.select("track_id"), "track_id")
        .join(features.select("track_id", "feature_version", "sample_rate", values), "track_id")
        .withColumn("model_version", F.lit(version))
    )
    return frame, embeddings


def publication_digest(tracks: pa.Table, embedded: pa.Table) -> str:
    """Return a hash of what is to be shown, whatever the order of the rows: is what is published still true?"""
    hashed = hashlib.sha256(track_documents.tracks_digest(tracks).encode())
    embedded = embedded.sort_by("track_id")
    for column in ("cluster", "embedding"):
        values = embedded[column].combine_chunks()
        hashed.update((values.flatten() if column == "embedding" else values).to_numpy().tobytes())
    return hashed.hexdigest()[:32]


def is_published(uri: str, champion: mongo.Document, least: int) -> bool:
    """Tell whether MongoDB shows this champion, with all its documents, and `least` of tracks in all.

    The champion is written last, and a store that lost its latest writes lost it first; the collections are counted
    without a filter, which the embedded server would answer by reading every document.
    """
    with mongo.database(uri) as database:
        current = database["settings"].find_one({"_id": "champion"}) or {}
        tracks, similar = (database[name].estimated_document_count() for name in ("tracks", "similar"))
        same = all(current.get(name) == value for name, value in champion.items())
        return same and tracks == least and champion["tracks"] <= similar


def _publish(
    uri: str, frame: DataFrame, embeddings: DataFrame, champion: mongo.Document, lake: Lake, probes: int
) -> None:
    """Write both collections, flip the pointer, then clear away what no version shows any more."""
    version = champion["model_version"]
    done = frame.sparkSession.sparkContext.accumulator(0)
    with progress.watch("publish", 2 * champion["tracks"], lambda: done.value):
        frame.foreachPartition(_writer(uri, "tracks", track_documents.published_document, done))
        similar = neighbours(embeddings, probes=probes).withColumn("model_version", F.lit(version))
        similar.foreachPartition(_writer(uri, "similar", similar_document, done))
        with mongo.database(uri) as database:
            previous = _previous(database, version)
            # One document: until it is written the version before is served, and it stays to roll back to.
            written = {**champion, "previous": previous, "published_at": datetime.now(UTC)}
            mongo.upsert(database["settings"], [written])
            _delete_stale(database, lake, version, previous)


# What says which version is online, and that it is whole.
_POINTER = ("model_version", "feature_version", "tracks", "digest")


def _previous(database: Database[mongo.Document], version: str) -> mongo.Document | None:
    """Return what a rollback from `version` goes back to: what is online now, or what that one would go back to."""
    before = database["settings"].find_one({"_id": "champion"})
    if before is None:
        return None
    if before["model_version"] == version:
        return before.get("previous")
    return {name: before[name] for name in _POINTER}


def restore_champion(uri: str, version: str) -> bool:
    """Bring `version` online again by writing one document; False where it is not the one that was online before."""
    with mongo.database(uri) as database:
        now = database["settings"].find_one({"_id": "champion"})
        if now is None or now["model_version"] == version:
            return now is not None
        back = now.get("previous")
        if not back or back["model_version"] != version:
            return False
        ahead = {name: now[name] for name in _POINTER}
        document = {"_id": "champion", **back, "previous": ahead, "published_at": datetime.now(UTC)}
        mongo.upsert(database["settings"], [document])
        return True


def _delete_stale(
    database: Database[mongo.Document], lake: Lake, version: str, previous: mongo.Document | None
) -> None:
    """Delete what neither version shows, by id: by any other field the embedded server would read every document."""
    kept = (version, previous and previous["model_version"])
    rows = lake.read_arrow(EMBEDDINGS, "model_version", "track_id").to_pylist()
    present = set(lake.read_arrow(TRACKS, "track_id")["track_id"].to_pylist())
    shown = {row["track_id"] for row in rows if row["model_version"] == version} & present
    once = {row["track_id"] for row in rows} - shown
    track_documents.clear_model_fields(database, lake, once & present)
    mongo.delete(database["tracks"], once - present)
    mongo.delete(
        database["similar"],
        (
            f"{row['model_version']}:{row['track_id']}"
            for row in rows
            if row["model_version"] not in kept
            or (row["model_version"] == version and row["track_id"] not in shown)
        ),
    )
    # A champion that stayed has lost its rows of tracks that are gone, but not their lists.
    if database["similar"].estimated_document_count() > len(shown) + (previous["tracks"] if previous else 0):
        own = (each for each in mongo.ids(database["similar"]) if each.startswith(f"{version}:"))
        mongo.delete(database["similar"], {each for each in own if each.partition(":")[2] not in shown})
    if database["tracks"].estimated_document_count() > len(
        present
    ):  # of versions that the lake has forgotten
        mongo.delete(database["tracks"], set(mongo.ids(database["tracks"])) - present)


def _writer(uri: str, collection: str, document: Callable[[Any], mongo.Document], done: Any) -> Any:
    def write(rows: Iterator[Any]) -> None:
        with mongo.database(uri) as database:
            done.add(mongo.upsert(database[collection], (document(row) for row in rows)))

    return write
