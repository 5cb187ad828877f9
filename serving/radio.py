"""Radio: from a track, an artist, a genre or a mood, on and on without a repeat, by the model's vectors in the lake."""

import threading
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from jobs.storage import Lake
from jobs.tables import EMBEDDINGS, FEATURES
from serving.catalog import Catalog, Track, fold

# A mood is a sixth of the collection: those for which the sum of these, as ranks, is largest.
MOODS: dict[str, dict[str, float]] = {
    "calm": {"rmse_mean_01": -1, "zcr_mean_01": -1, "onset_density": -1},
    "energetic": {"rmse_mean_01": 1, "onset_density": 1, "spectral_rolloff_mean_01": 0.5},
    "bright": {"spectral_centroid_mean_01": 1, "spectral_rolloff_mean_01": 1},
    "dark": {"spectral_centroid_mean_01": -1, "spectral_rolloff_mean_01": -1},
}
_MOOD_SHARE = 6

# How far the latest track pulls the radio from where it started: 0 never leaves, 1 forgets the start.
_DRIFT = 0.35

# Tracks that have to lie between two of one artist, as long as there are enough others.
_APART = 5

# Among so many of the nearest one is drawn: the same radio is another each time.
_DRAWN_FROM = 6


@dataclass(frozen=True)
class Vectors:
    """The embeddings of a model version: `ids` (n,), `values` (n, d) of unit length."""

    version: str
    ids: list[str]
    values: np.ndarray
    row_of: dict[str, int]


class Radio:
    """The vectors of the champion, read when first asked for and anew when it changes."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._vectors: tuple[str, Vectors] | None = None
        self._moods: tuple[str, dict[str, list[str]]] | None = None

    def vectors(self, champion: str | None) -> Vectors:
        """Return the vectors of the version `champion`, of the newest there is for None."""
        table = self._lake.version(EMBEDDINGS)
        mark = f"{table and table.name}:{champion}"
        with self._lock:
            if self._vectors is None or self._vectors[0] != mark:
                self._vectors = (mark, self._load(champion))
            return self._vectors[1]

    def _load(self, champion: str | None) -> Vectors:
        versions = self._lake.arrow(EMBEDDINGS, "model_version")["model_version"].unique().to_pylist()
        version = champion if champion and champion in versions else max(versions, key=int, default="")
        rows = self._lake.arrow(EMBEDDINGS, "model_version", "track_id", "embedding")
        rows = rows.filter(pc.field("model_version") == version)
        ids = rows["track_id"].to_pylist()
        flat = rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = flat.astype(np.float32).reshape(len(ids), -1) if ids else np.zeros((0, 1), np.float32)
        return Vectors(version, ids, values, {each: row for row, each in enumerate(ids)})

    def mood(self, name: str) -> list[str]:
        """Return the ids of the tracks of a mood of MOODS, the most so first."""
        table = self._lake.version(FEATURES)
        mark = str(table)
        with self._lock:
            if self._moods is None or self._moods[0] != mark:
                self._moods = (mark, self._load_moods())
            return self._moods[1][name]

    def _load_moods(self) -> dict[str, list[str]]:
        columns = sorted({column for weights in MOODS.values() for column in weights})
        rows = self._lake.arrow(FEATURES, "track_id", *columns)
        ids = rows["track_id"].to_pylist()
        ranks = {}
        for column in columns:
            values = np.nan_to_num(rows[column].to_numpy().astype(float))
            ranks[column] = values.argsort().argsort() / max(1, len(ids) - 1)
        found = {}
        for name, weights in MOODS.items():
            scores = sum(weight * ranks[column] for column, weight in weights.items())
            order = np.argsort(-np.asarray(scores), kind="stable")[: max(1, len(ids) // _MOOD_SHARE)]
            found[name] = [ids[row] for row in order] if ids else []
        return found

    def next(
        self,
        catalog: Catalog,
        champion: str | None,
        seeds: list[Track],
        played: list[str],
        never: set[str],
        count: int,
        *,
        salt: int = 0,
    ) -> list[Track]:
        """Return the next `count` tracks after `played` (oldest first): near the seeds, drifting with what was played.

        Never one of `played` or `never` (track ids), never one recording twice; fewer where the collection has no more.
        The same arguments give the same tracks.
        """
        vectors = self.vectors(champion)
        rows = [row for track in seeds if (row := vectors.row_of.get(track.track_id)) is not None]
        gone = {*played, *never}
        recordings = {track.recording_id for track in catalog.known(played)}
        artists = [fold(track.artist) for track in catalog.known(played)][-_APART:]
        latest = next((vectors.row_of[each] for each in reversed(played) if each in vectors.row_of), None)
        random = np.random.default_rng([salt, len(played)])
        if not rows:
            return [t for t in catalog.tracks if t.track_id not in gone][:count]
        centre = vectors.values[rows].mean(axis=0)
        chosen: list[Track] = []
        while len(chosen) < count:
            target = centre if latest is None else (1 - _DRIFT) * centre + _DRIFT * vectors.values[latest]
            order = np.argsort(-(vectors.values @ target), kind="stable")
            track = _draw(catalog, vectors, order, gone, recordings, artists, random)
            if track is None:
                break
            chosen.append(track)
            gone.add(track.track_id)
            recordings.add(track.recording_id)
            artists = [*artists, fold(track.artist)][-_APART:]
            latest = vectors.row_of[track.track_id]
        return chosen

    def path(
        self, catalog: Catalog, champion: str | None, start: Track, end: Track, count: int
    ) -> list[tuple[Track, float]]:
        """Return at most `count` tracks from `start` to `end`, each with its cosine to the one before."""
        vectors = self.vectors(champion)
        if start.track_id not in vectors.row_of or end.track_id not in vectors.row_of or count < 2:
            return []
        first, last = (vectors.values[vectors.row_of[track.track_id]] for track in (start, end))
        chosen = [start]
        taken = {start.track_id, end.track_id}
        for part in np.linspace(0, 1, count)[1:-1]:
            scores = vectors.values @ ((1 - part) * first + part * last)
            order = (vectors.ids[row] for row in np.argsort(-scores, kind="stable"))
            track = next((catalog.by_id[each] for each in order if each in catalog.by_id and each not in taken), None)
            if track is not None:
                taken.add(track.track_id)
                chosen.append(track)
        rows = [vectors.values[vectors.row_of[track.track_id]] for track in (*chosen, end)]
        cosines = [1.0, *(float(max(0.0, a @ b)) for a, b in zip(rows, rows[1:], strict=False))]
        return list(zip((*chosen, end), cosines, strict=True))


def _draw(
    catalog: Catalog,
    vectors: Vectors,
    order: np.ndarray,
    gone: set[str],
    recordings: set[str],
    artists: list[str],
    random: np.random.Generator,
) -> Track | None:
    fresh: list[Track] = []
    any_left: Track | None = None
    for row in order:
        track = catalog.by_id.get(vectors.ids[row])
        if track is None or track.track_id in gone or track.recording_id in recordings:
            continue
        any_left = any_left or track
        if fold(track.artist) not in artists:
            fresh.append(track)
            if len(fresh) == _DRAWN_FROM:
                break
    if fresh:
        weights = 1 / np.arange(1, len(fresh) + 1)
        return fresh[int(random.choice(len(fresh), p=weights / weights.sum()))]
    return any_left
