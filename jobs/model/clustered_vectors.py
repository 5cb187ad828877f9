"""The vectors of a model version in the order of their clusters, in files that processes map.

lake/.vectors/3-5f2c…/      version 3's vectors; the hexadecimal digits are those of their content
lake/.vectors/3.json        the index that `segue cluster` has chosen for version 3 (`index_choice.py`)

The tracks of a cluster are one slice. Serving, the stream and the workers of a machine share the files'
pages: none has its own copy. The files are a copy of EMBEDDINGS, written whole or not at all, by whoever
needs them first; a reader that may not write holds the arrays in memory.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import filelock
import numpy as np
import pyarrow.compute as pc

from jobs.lake.schemas import EMBEDDINGS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize
from jobs.model.ivf_index import IVFIndex
from jobs.model.search_index import EXACT, HNSW, IVF, ExactIndex, HNSWIndex, IndexSettings, SearchIndex
from jobs.paths import atomic_write, fsync_dir

log = logging.getLogger("segue")

_FOLDER = ".vectors"

# The index of a version that none was chosen for: IVF over a tenth of the clusters, and at least this many.
_MIN_NPROBE = 8


@dataclass(frozen=True)
class ClusteredVectors:
    """n vectors of k clusters; cluster c is the rows `starts[c]` to `starts[c + 1]`.

    Attributes
    ----------
    ids : (n,)
        track_ids, UTF-8 bytes; those of a cluster are sorted.
    vectors : (n, d) float32
        Unit vectors.
    starts : (k + 1,)
    numbers : (k,)
        The clusters' numbers in EMBEDDINGS.
    settings
        The index to search them with; None for that of a version without one.
    digest
        A hash of ids, vectors and clusters.
    folder
        Where the files are; None if they are in memory.
    """

    ids: np.ndarray
    vectors: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray
    settings: IndexSettings | None = None
    digest: str = ""
    folder: Path | None = None

    @classmethod
    def open(cls, folder: Path, settings: IndexSettings | None) -> "ClusteredVectors":
        """Map the files in a folder that `open_vectors` has found or written."""
        # As plain arrays over the mapping: a slice of numpy's `memmap` takes microseconds.
        ids, vectors, starts, numbers = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS
        )
        return cls(ids, vectors, starts, numbers, settings, folder.name.rsplit("-", 1)[1], folder)

    @property
    def sizes(self) -> np.ndarray:
        """Tracks of each cluster (k,)."""
        return np.diff(self.starts)

    def clusters(self) -> np.ndarray:
        """Return the number of each track's cluster in EMBEDDINGS (n,)."""
        return np.repeat(self.numbers, self.sizes)

    def centroids(self) -> np.ndarray:
        """Return the mean of each cluster at length 1 (k, d)."""
        sums = np.zeros((len(self.numbers), self.vectors.shape[1]))
        for cluster, (start, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            sums[cluster] = self.vectors[start:end].sum(axis=0)
        return l2_normalize(sums)

    @cached_property
    def index(self) -> SearchIndex:
        """The index of `settings` over the rows."""
        settings = self.settings or IndexSettings(IVF, max(_MIN_NPROBE, len(self.numbers) // 10))
        return self.make_index(settings)

    def make_index(self, settings: IndexSettings) -> SearchIndex:
        """Return an index over the rows; the graph of HNSW is read, or built if there is none yet."""
        if settings.kind == EXACT:
            return ExactIndex(self.vectors)
        if settings.kind == HNSW:
            if self.folder is not None and HNSWIndex.is_saved(self.folder):
                return HNSWIndex.open(self.folder, self.vectors, effort=settings.effort)
            return HNSWIndex.build(self.vectors, effort=settings.effort)
        return IVFIndex(self.vectors, self.starts, self.centroids(), nprobe=settings.effort)


_ARRAYS = ("ids", "vectors", "starts", "numbers")


def open_vectors(lake: Lake, model_version: str) -> ClusteredVectors:
    """Return the vectors of a version, mapped; without rows if EMBEDDINGS has none of it.

    The files are written if they are missing. A process that cannot write them gets a copy in memory.
    """
    settings = _read_settings(lake, model_version)
    try:
        folder = _ensure_folder(lake, model_version)
        if settings is not None and settings.kind == HNSW:
            _ensure_graph(lake, folder, settings)
        return ClusteredVectors.open(folder, settings)
    except OSError as error:
        log.warning("vectors of model version %s are held in memory: %s", model_version, error)
        with tempfile.TemporaryDirectory() as scratch:
            _write_arrays(lake, model_version, Path(scratch))
            ids, vectors, starts, numbers = (np.load(Path(scratch) / f"{name}.npy") for name in _ARRAYS)
        return ClusteredVectors(ids, vectors, starts, numbers, settings, _digest(lake, model_version))


def stored_versions(lake: Lake) -> set[str]:
    """Return the model versions that EMBEDDINGS has."""
    batches = lake.iter_batches(EMBEDDINGS, "model_version")
    return {version for batch in batches for version in batch["model_version"].unique().to_pylist()}


def save_settings(lake: Lake, model_version: str, settings: IndexSettings) -> None:
    """Write which index a version is searched with."""
    folder = lake.root / _FOLDER
    folder.mkdir(exist_ok=True)
    text = json.dumps({"kind": settings.kind, "effort": settings.effort})
    if _read_settings(lake, model_version) != settings:
        atomic_write(folder / f"{model_version}.json", text)


def _read_settings(lake: Lake, model_version: str) -> IndexSettings | None:
    try:
        text = (lake.root / _FOLDER / f"{model_version}.json").read_text()
        return IndexSettings(**json.loads(text))
    except (OSError, ValueError, TypeError):  # none, or of another version of Segue
        return None


def _ensure_folder(lake: Lake, model_version: str) -> Path:
    """Return the folder of a version's vectors as EMBEDDINGS has them now; write it if it is missing."""
    folder = lake.root / _FOLDER / f"{model_version}-{_digest(lake, model_version)}"
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with filelock.FileLock(folder.parent / ".lock"):
        if not folder.exists():
            unfinished = folder.parent / ".unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a killed process
            unfinished.mkdir()
            _write_arrays(lake, model_version, unfinished)
            for path in (*unfinished.iterdir(), unfinished):
                fsync_dir(path)  # works for a file, too
            unfinished.rename(folder)
            fsync_dir(folder.parent)
            _delete_stale(lake, folder)
    return folder


def _ensure_graph(lake: Lake, folder: Path, settings: IndexSettings) -> None:
    with filelock.FileLock(folder.parent / ".lock"):
        if not HNSWIndex.is_saved(folder):
            HNSWIndex.build(ClusteredVectors.open(folder, settings).vectors, effort=settings.effort).save(
                folder
            )


def _delete_stale(lake: Lake, written: Path) -> None:
    """Delete older vectors of the version written, and those of versions that EMBEDDINGS no longer has.

    A process that maps them keeps them until it ends.
    """
    written_version = written.name.rsplit("-", 1)[0]
    stored = stored_versions(lake)
    for path in written.parent.glob("[!.]*"):
        version = path.name.removesuffix(".json").rsplit("-", 1)[0]
        if path.is_dir() and path != written and (version == written_version or version not in stored):
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".json" and version not in stored:
            with suppress(OSError):
                path.unlink()


def _digest(lake: Lake, model_version: str) -> str:
    """Return a hash of a version's rows of EMBEDDINGS, which are sorted by track_id: 16 hex digits."""
    digest = hashlib.sha256()
    for ids, clusters, vectors in _batches(lake, model_version):
        digest.update("\0".join(ids).encode())
        digest.update(np.asarray(clusters, dtype=np.int64).tobytes())
        digest.update(vectors.tobytes())
    return digest.hexdigest()[:16]


def _write_arrays(lake: Lake, model_version: str, folder: Path) -> None:
    ids: list[str] = []
    row_numbers: list[int] = []
    for row_ids, row_clusters, _ in _batches(lake, model_version):
        ids += row_ids
        row_numbers += row_clusters
    numbers, clusters = np.unique(np.array(row_numbers, dtype=np.int64), return_inverse=True)
    np.save(folder / "numbers.npy", numbers)
    order = np.argsort(clusters, kind="stable")
    row_of = np.empty(len(ids), dtype=np.int64)
    row_of[order] = np.arange(len(ids))
    np.save(folder / "ids.npy", np.array([ids[position].encode() for position in order], dtype="S"))
    np.save(folder / "starts.npy", np.searchsorted(clusters[order], np.arange(len(numbers) + 1)))
    _write_vectors(folder / "vectors.npy", row_of, (part for *_, part in _batches(lake, model_version)))


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


def _batches(lake: Lake, model_version: str) -> Iterator[tuple[list[str], list[int], np.ndarray]]:
    """Yield (track_ids, clusters, vectors (n, d)) of the version's rows of EMBEDDINGS."""
    for batch in lake.iter_batches(EMBEDDINGS):
        selected = batch.filter(pc.equal(batch["model_version"], model_version))
        if len(selected):
            vectors = selected["embedding"].flatten().to_numpy().reshape(len(selected), -1)
            yield selected["track_id"].to_pylist(), selected["cluster"].to_pylist(), vectors
