"""The collection `similar`: each track's nearest tracks, searched and written by Spark's workers."""

from dataclasses import replace

import numpy as np
from pyspark.accumulators import Accumulator
from pyspark.sql import SparkSession

from jobs.errors import StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.model import clustered_vectors, neighbours
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.online import mongo

# Enough for the progress to be seen and for workers to end together.
_TASKS = 64


def write(
    spark: SparkSession,
    lake: Lake,
    uri: str,
    model_version: str,
    vectors: ClusteredVectors,
    n_done: Accumulator[int],
) -> None:
    """Write the neighbours of every track that is in TRACKS, a list of clusters per task."""
    folder, index = vectors.folder, vectors.settings
    if folder is None:
        raise StepError(
            f"expected {lake.root} to take the vectors of model version {model_version}; see above"
        )
    root, store = lake.root, lake.store
    tasks = neighbours.balanced_tasks(vectors.sizes, _TASKS)
    # 8 bytes a track for each worker.
    broadcast = spark.sparkContext.broadcast(_recordings(lake, vectors))

    def write_clusters(clusters: list[int]) -> None:
        # A worker on another machine has the lake's folder only if that is shared.
        if folder.is_dir():
            mapped = ClusteredVectors.open(folder, index)
        else:
            mapped = replace(clustered_vectors.open_vectors(Lake(root, store), model_version), settings=index)
        recordings = broadcast.value
        searched = neighbours.one_per_recording(mapped.index, recordings)
        documents = (
            neighbours.similar_document(model_version, int(mapped.numbers[cluster]), *row)
            for cluster in clusters
            for row in neighbours.search_rows(
                mapped,
                recordings,
                np.arange(mapped.starts[cluster], mapped.starts[cluster + 1]),
                searched=searched,
            )
        )
        with mongo.database(uri) as database:
            n_done.add(mongo.upsert(database["similar"], documents, mostly_new=True))

    if tasks:
        spark.sparkContext.parallelize(tasks, len(tasks)).foreach(write_clusters)
    broadcast.destroy()


def _recordings(lake: Lake, vectors: ClusteredVectors) -> np.ndarray:
    """Return `neighbours.recording_rows` of TRACKS."""
    rows = lake.iter_rows(TRACKS, "track_id", "recording_id")
    return neighbours.recording_rows(
        vectors.ids, {row["track_id"]: row["recording_id"] or row["track_id"] for row in rows}
    )
