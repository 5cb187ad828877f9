"""What can be recommended: a model's embeddings beside titles, artists and what people play together; read from the lake."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, ITEM_SIMILARITIES, TRACKS
from jobs.lake.storage import Lake
from jobs.model.ivf_index import IVFIndex

# Tracks that sound most like another one which are looked at, and of the best known.
N_CANDIDATES = 60

# Tracks whose nearest are kept after they have been looked for: the same ones are played again. Some 10 MB.
_NEAREST_KEPT = 30_000

# Tracks of each cluster, the best known first, among which exploring looks.
_EXPLORED_PER_CLUSTER = 40


@dataclass(frozen=True)
class RankingWeights:
    """How much sound, co-listening and popularity count; `segue recommend` chooses it by what listeners played next."""

    content: float = 1.0
    collaborative: float = 0.0
    popularity: float = 0.05


@dataclass(frozen=True)
class ItemCatalog:
    """What can be recommended, in one order: n tracks.

    `ids`, `titles`, `artists`, `recordings` (n,) text, `vectors` (n, d), `clusters` (n,), `plays` (n,) listeners of each.
    `together`: track number -> (track numbers, strengths 0..1) of what goes with it, as `together.py` learned it.
    """

    model_version: str
    ids: np.ndarray
    titles: np.ndarray
    artists: np.ndarray
    recordings: np.ndarray
    vectors: np.ndarray
    clusters: np.ndarray
    plays: np.ndarray
    similar_items: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    weights: RankingWeights = RankingWeights()

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Track id -> track number."""
        return {track_id: number for number, track_id in enumerate(self.ids.tolist())}

    @cached_property
    def index(self) -> IVFIndex:
        """The clusters as an index of the vectors; a tenth of them is searched, and never less than eight."""
        numbers = np.arange(len(self.ids))
        count = int(self.clusters.max(initial=-1)) + 1
        sums = np.zeros((count, self.vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, self.clusters, self.vectors)
        centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        return IVFIndex(numbers, self.vectors, centroids.astype(np.float32), probes=max(8, count // 10))

    @cached_property
    def nearest(self) -> Callable[[int], np.ndarray]:
        """Track number -> the numbers of what sounds most like it, itself first."""
        return lru_cache(_NEAREST_KEPT)(
            lambda number: self.index.search(self.vectors[number], count=N_CANDIDATES)[0].astype(np.int32)
        )

    @cached_property
    def id_rank(self) -> np.ndarray:
        """Each track's place among the sorted ids (n,): comparing numbers is quick."""
        order = np.empty(len(self.ids), dtype=np.int32)
        order[np.argsort(self.ids, kind="stable")] = np.arange(len(self.ids), dtype=np.int32)
        return order

    @cached_property
    def artist_codes(self) -> list[int]:
        """A number for each track's artist; below 0 where none is known."""
        names, numbers = np.unique(self.artists, return_inverse=True)
        return (numbers - int(bool(len(names)) and names[0] == "")).tolist()

    @cached_property
    def recording_codes(self) -> list[int]:
        """A number for each track's recording."""
        return np.unique(self.recordings, return_inverse=True)[1].tolist()

    @cached_property
    def popularity(self) -> np.ndarray:
        """How well known each track is, 0..1."""
        known = np.log1p(self.plays.astype(float))
        return np.asarray(known / max(known.max(initial=0.0), 1e-9))

    @cached_property
    def most_popular(self) -> np.ndarray:
        """The numbers of the tracks with the most listeners."""
        return np.argsort(-self.plays, kind="stable")[:N_CANDIDATES]

    @cached_property
    def cold_start_order(self) -> np.ndarray:
        """Track numbers for who has played nothing: one cluster after the other, the largest first, the best known first.

        Where nothing is known of popularity, the track nearest to its cluster's centre comes first.
        """
        sizes = np.bincount(self.clusters)
        central = np.einsum("nd,nd->n", self.vectors, self.index.centroids[self.clusters])
        inside = np.lexsort((self.id_rank, -np.round(central, 5), -self.plays, self.clusters))
        firsts = np.cumsum(sizes) - sizes
        turn = np.empty(len(self.ids), dtype=int)
        turn[inside] = np.arange(len(self.ids)) - firsts[self.clusters[inside]]
        return np.lexsort((self.clusters, -sizes[self.clusters], turn))

    @cached_property
    def exploration_pool(self) -> tuple[np.ndarray, np.ndarray]:
        """The beginning of `start`, where exploring looks, and the clusters of it."""
        numbers = self.cold_start_order[: _EXPLORED_PER_CLUSTER * (int(self.clusters.max(initial=0)) + 1)]
        return numbers, self.clusters[numbers]


def load(lake: Lake, model_version: str, blend: RankingWeights | None = None) -> ItemCatalog:
    """Return the catalogue of a model version; StepError where the lake has no row of it."""
    embedded = (
        lake.read_arrow(EMBEDDINGS).filter(pc.field("model_version") == model_version).sort_by("track_id")
    )
    columns = ("track_id", "title", "artist", "recording_id", "listens")
    about = {row["track_id"]: row for row in lake.read_arrow(TRACKS, *columns).to_pylist()}
    ids = embedded["track_id"].to_pylist()
    kept = np.array([number for number, track_id in enumerate(ids) if track_id in about], dtype=int)
    if not kept.size:
        raise StepError(f"expected tracks of model version {model_version}, found none; run `segue publish`")
    rows = [about[ids[number]] for number in kept]
    vectors = embedded["embedding"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    found = np.array([row["track_id"] for row in rows])
    listens = np.array([row["listens"] or 0 for row in rows])
    catalogue = ItemCatalog(
        model_version=model_version,
        ids=found,
        # As objects: numpy's own text is as wide as the longest, of a hundred thousand titles for the sake of one.
        titles=np.array([row["title"] or row["track_id"] for row in rows], dtype=object),
        artists=np.array([row["artist"] or "" for row in rows], dtype=object),
        recordings=np.array([row["recording_id"] or row["track_id"] for row in rows]),
        vectors=np.ascontiguousarray(vectors[kept], dtype=np.float32),
        clusters=embedded["cluster"].to_numpy()[kept],
        # Who plays here says more than who played on FMA; that only decides where nobody has played.
        plays=listens,
        weights=blend or RankingWeights(),
    )
    return with_item_similarities(catalogue, lake.read_arrow(ITEM_SIMILARITIES).to_pylist())


def with_item_similarities(catalogue: ItemCatalog, rows: Iterable[Mapping[str, Any]]) -> ItemCatalog:
    """Return the catalogue with what rows of ITEM_SIMILARITIES say of listeners and of what goes together."""
    places = catalogue.index_of
    together, listeners = {}, np.zeros(len(catalogue.ids), dtype=int)
    for row in rows:
        number = places.get(row["track_id"])
        if number is not None:
            listeners[number] = row["listeners"]
            known = [
                (places[o], s) for o, s in zip(row["neighbours"], row["scores"], strict=True) if o in places
            ]
            if known:
                together[number] = (np.array([o for o, _ in known]), np.array([s for _, s in known]))
    return replace(catalogue, similar_items=together, plays=listeners if listeners.any() else catalogue.plays)
