"""The vectors of a model version in the order of their clusters, in files that processes map.

The tracks of a cluster are one slice. Workers of a machine share the files' pages: none has its own copy, so
their memory does not grow with the collection.
"""

import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize


@dataclass(frozen=True)
class ClusteredVectors:
    """n vectors of k clusters; cluster c is the rows `starts[c]` to `starts[c + 1]`.

    Attributes
    ----------
    ids : (n,)
        track_ids, UTF-8 bytes.
    vectors : (n, d) float32
        Unit vectors.
    recordings : (n,)
        Row of the track that stands for the same recording; its own for most.
    starts : (k + 1,)
    numbers : (k,)
        The clusters' numbers in EMBEDDINGS.
    """

    ids: np.ndarray
    vectors: np.ndarray
    recordings: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "ClusteredVectors":
        """Map the files in `folder`."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _NAMES))

    @property
    def sizes(self) -> np.ndarray:
        """Tracks of each cluster (k,)."""
        return np.diff(self.starts)

    def centroids(self) -> np.ndarray:
        """Return the mean of each cluster at length 1 (k, d)."""
        sums = np.zeros((len(self.numbers), self.vectors.shape[1]))
        for cluster, (start, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            sums[cluster] = self.vectors[start:end].sum(axis=0)
        return l2_normalize(sums)


_NAMES = tuple(ClusteredVectors.__dataclass_fields__)


@contextmanager
def clustered_vectors(lake: Lake, model_version: str) -> Iterator[Path]:
    """Write the vectors of a version's tracks that TRACKS has; yield the folder, and delete it at the end.

    Clusters without tracks are left out. Folders of killed runs are deleted.
    """
    folder = lake.root / ".clustered_vectors"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        _write(lake, model_version, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(lake: Lake, model_version: str, folder: Path) -> None:
    recording_by_id = dict(_recording_pairs(lake))
    ids: list[str] = []
    row_numbers: list[int] = []
    for row_ids, row_clusters, _ in _batches(lake, model_version, recording_by_id):
        ids += row_ids
        row_numbers += row_clusters
    numbers, clusters = np.unique(np.array(row_numbers, dtype=np.int64), return_inverse=True)
    np.save(folder / "numbers.npy", numbers)
    order = np.argsort(clusters, kind="stable")
    row_of = np.empty(len(ids), dtype=np.int64)
    row_of[order] = np.arange(len(ids))
    ordered_ids = [ids[position] for position in order]
    np.save(folder / "ids.npy", np.array([track_id.encode() for track_id in ordered_ids], dtype="S"))
    np.save(folder / "recordings.npy", _recording_rows(ordered_ids, recording_by_id))
    np.save(folder / "starts.npy", np.searchsorted(clusters[order], np.arange(len(numbers) + 1)))
    _write_vectors(
        folder / "vectors.npy", row_of, (part for *_, part in _batches(lake, model_version, recording_by_id))
    )


def _write_vectors(file: Path, row_of: np.ndarray, parts: Iterator[np.ndarray]) -> None:
    """Write the vectors of `parts`, in their order, to the rows `row_of` (n,).

    Not through the mapping: on a full disk that would end the process without a message.
    """
    first = next(parts, None)
    if first is None:
        np.save(file, np.zeros((0, 1), dtype=np.float32))
        return
    shape = (len(row_of), first.shape[1])
    offset = np.lib.format.open_memmap(file, "w+", np.float32, shape).offset
    with file.open("r+b", buffering=0) as stream:
        vectors = chain.from_iterable(chain([first], parts))
        for row, vector in zip(row_of.tolist(), vectors, strict=True):
            os.pwrite(stream.fileno(), vector.astype(np.float32).tobytes(), offset + row * 4 * len(vector))


def _recording_pairs(lake: Lake) -> Iterator[tuple[str, str]]:
    """Yield (track_id, recording_id) of TRACKS; the recording of a track without one is the track."""
    for row in lake.iter_rows(TRACKS, "track_id", "recording_id"):
        yield row["track_id"], row["recording_id"] or row["track_id"]


def _batches(
    lake: Lake, model_version: str, known_ids: Container[str]
) -> Iterator[tuple[list[str], list[int], np.ndarray]]:
    """Yield (track_ids, clusters, vectors (n, d)) of the version's rows of EMBEDDINGS with known ids."""
    for batch in lake.iter_batches(EMBEDDINGS):
        versions = batch["model_version"].to_pylist()
        ids = batch["track_id"].to_pylist()
        rows = [
            row
            for row, (version, track_id) in enumerate(zip(versions, ids, strict=True))
            if version == model_version and track_id in known_ids
        ]
        if rows:
            selected = batch.take(rows)
            vectors = selected["embedding"].flatten().to_numpy().reshape(len(rows), -1)
            yield selected["track_id"].to_pylist(), selected["cluster"].to_pylist(), vectors


def _recording_rows(ids: list[str], recording_by_id: dict[str, str]) -> np.ndarray:
    """Return the row of the track that stands for each track's recording: the shortest id, then the first."""
    chosen: dict[str, int] = {}
    for row, track_id in enumerate(ids):
        recording = recording_by_id[track_id]
        best = chosen.get(recording)
        if best is None or (len(track_id), track_id) < (len(ids[best]), ids[best]):
            chosen[recording] = row
    return np.array([chosen[recording_by_id[track_id]] for track_id in ids], dtype=np.int64)
