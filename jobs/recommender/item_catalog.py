"""The tracks of one model version in memory, as ranking needs them.

Vectors, clusters, popularity, similar items.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.sparse import csr_array

from jobs.audio.tags import UNKNOWN_ARTIST
from jobs.errors import StepError
from jobs.lake.schemas import ITEM_SIMILARITIES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import clustered_vectors
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.search_index import ExactIndex, FilteredIndex, SearchIndex
from jobs.recommender import item_similarities
from jobs.recommender.implicit_als import constant_part
from jobs.recommender.item_similarities import ItemSimilarities

# Candidates per seed track from its nearest neighbours, and candidates from the most popular tracks.
N_CANDIDATES = 60

# Tracks whose nearest neighbours are cached, since the same tracks are played again; about 10 MB.
_MAX_CACHED_SEARCHES = 30_000

# Tracks of each cluster, the most popular first, that exploration chooses from.
_EXPLORED_PER_CLUSTER = 40

# Tracks that every user's factors are compared with: 8 MB.
_MAX_FACTOR_TRACKS = 30_000

# Cached properties that depend on neither the ranking weights nor the similar items.
_SHARED = (
    "index_of",
    "centroids",
    "nearest",
    "id_rank",
    "artist_codes",
    "recording_codes",
    "popularity",
    "most_popular",
    "cold_start_order",
    "exploration_pool",
)


@dataclass(frozen=True, kw_only=True)
class RankingWeights:
    """Weights of the scores; `segue recommend` tunes them.

    Attributes
    ----------
    content, collaborative, factors, popularity
        Weights of the similarity of sound, the similar items, the item factors and the popularity.
    regularization
        Of the fold-in, as the item factors were fitted.
    recency
        How much more a track counts that was played a moment ago.
    """

    content: float = 1.0
    collaborative: float = 0.0
    popularity: float = 0.05
    factors: float = 0.0
    regularization: float = 40.0
    recency: float = 0.0

    def of_parts(self) -> np.ndarray:
        """Return the weights (4,) of the parts of `scoring.Candidates`."""
        return np.array([self.content, self.collaborative, self.factors, self.popularity])

    @classmethod
    def from_state(cls, weights: Mapping[str, float]) -> "RankingWeights":
        """Return the weights of a state document; fields of another version of Segue are left out."""
        return cls(**{name: value for name, value in weights.items() if name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class ItemInfo:
    """What ranking needs to know of a track besides its vector."""

    title: str
    artist: str
    recording_id: str
    listens: int = 0


@dataclass(frozen=True, kw_only=True)
class ItemCatalog:
    """The n tracks that can be recommended, in one order; a track's place in that order is its index.

    Attributes
    ----------
    ids, titles, artists : (n,) text; an unknown artist is ""
    recordings : (n,) the same value for tracks of one recording
    vectors : (n, d) float32 of unit length; mapped, if every track of the model version is in the catalog
    index : the model version's search index over the vectors; None for exact search
    clusters : (n,) int
    plays : (n,) number of listeners
    similar_items : (n, n) similarity of the similar items of each track, 0 to 1, the most similar first
    factors : (n, d) float32 item factors (`implicit_als.py`), or None
    """

    model_version: str
    ids: np.ndarray
    titles: np.ndarray
    artists: np.ndarray
    recordings: np.ndarray
    vectors: np.ndarray
    clusters: np.ndarray
    plays: np.ndarray
    similar_items: csr_array = field(default_factory=lambda: csr_array((0, 0), dtype=np.float32))
    factors: np.ndarray | None = None
    weights: RankingWeights = RankingWeights()
    index: SearchIndex | None = None

    def with_weights(
        self,
        weights: RankingWeights,
        similar_items: csr_array | None = None,
        factors: np.ndarray | None = None,
    ) -> "ItemCatalog":
        """Return a copy with other ranking weights, and other similar items and item factors if given.

        It shares what is cached.
        """
        if similar_items is None:
            similar_items = self.similar_items
        if factors is None:
            factors = self.factors
        copied = replace(self, weights=weights, similar_items=similar_items, factors=factors)
        vars(copied).update({name: getattr(self, name) for name in _SHARED})
        return copied

    @cached_property
    def fold_in_constant(self) -> np.ndarray:
        """What every user's fold-in shares (see `implicit_als.constant_part`)."""
        assert self.factors is not None
        return constant_part(self.factors.astype(float), self.weights.regularization)

    @cached_property
    def factor_tracks(self) -> np.ndarray:
        """The tracks that a user's factors are compared with, sorted: those with the most listeners.

        The others are candidates if they are near a track of the profile.
        """
        return np.sort(self._by_listeners[:_MAX_FACTOR_TRACKS])

    @cached_property
    def compared_factors(self) -> np.ndarray:
        """The factors (m, d) of `factor_tracks`."""
        assert self.factors is not None
        return np.ascontiguousarray(self.factors[self.factor_tracks])

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Track id -> index."""
        return {track_id: index for index, track_id in enumerate(self.ids.tolist())}

    @cached_property
    def centroids(self) -> np.ndarray:
        """The mean of each cluster (k, d) at length 1."""
        n_clusters = int(self.clusters.max(initial=-1)) + 1
        sums = np.zeros((n_clusters, self.vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, self.clusters, self.vectors)
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9))

    @cached_property
    def nearest(self) -> Callable[[int], np.ndarray]:
        """Index -> the indices of the tracks that sound most like it, itself first."""

        index = self.index or ExactIndex(self.vectors)

        def search(track: int) -> np.ndarray:
            found = index.query(self.vectors[track : track + 1], N_CANDIDATES).rows[0]
            return found[found >= 0].astype(np.int32)

        return lru_cache(_MAX_CACHED_SEARCHES)(search)

    @cached_property
    def id_rank(self) -> np.ndarray:
        """Each track's position among the sorted ids (n,): numbers are compared faster than text."""
        rank = np.empty(len(self.ids), dtype=np.int32)
        rank[np.argsort(self.ids, kind="stable")] = np.arange(len(self.ids), dtype=np.int32)
        return rank

    @cached_property
    def artist_codes(self) -> list[int]:
        """A number for each track's artist; below 0 if the artist is unknown."""
        names, codes = np.unique(self.artists, return_inverse=True)
        is_unknown = np.isin(names.astype(str), ("", UNKNOWN_ARTIST))
        return np.where(is_unknown[codes], -1, codes).tolist()

    @cached_property
    def recording_codes(self) -> list[int]:
        """A number for each track's recording."""
        return np.unique(self.recordings, return_inverse=True)[1].tolist()

    @cached_property
    def popularity(self) -> np.ndarray:
        """Popularity of each track (n,), 0 to 1: the logarithm of its listeners."""
        logarithm = np.log1p(self.plays.astype(float))
        return np.asarray(logarithm / max(logarithm.max(initial=0.0), 1e-9))

    @cached_property
    def most_popular(self) -> np.ndarray:
        """The indices of the tracks with the most listeners."""
        return self._by_listeners[:N_CANDIDATES]

    @property
    def _by_listeners(self) -> np.ndarray:
        """The indices (n,), most listeners first, of equals the first id."""
        return np.lexsort((self.id_rank, -self.plays))

    @cached_property
    def cold_start_order(self) -> np.ndarray:
        """Indices (n,) in the order for a user without plays.

        The clusters take turns, the largest first; each gives its most popular track that is left, or, with
        equal popularity, the one nearest to its centroid. Example: of the clusters [0, 0, 0, 1, 1] with the
        plays [5, 9, 7, 1, 2] the order is 1, 4, 2, 3, 0: cluster 0's best and cluster 1's best, then both
        second-best.
        """
        sizes = np.bincount(self.clusters)
        similarity = np.einsum("nd,nd->n", self.vectors, self.centroids[self.clusters])
        # By cluster, and within it the best first: 1, 2, 0, 4, 3 in the example.
        by_cluster = np.lexsort((self.id_rank, -np.round(similarity, 5), -self.plays, self.clusters))
        first_of_cluster = np.cumsum(sizes) - sizes
        # The position of each track within its cluster: 2, 0, 1, 1, 0 in the example.
        position = np.empty(len(self.ids), dtype=int)
        position[by_cluster] = np.arange(len(self.ids)) - first_of_cluster[self.clusters[by_cluster]]
        return np.lexsort((self.clusters, -sizes[self.clusters], position))

    @cached_property
    def exploration_pool(self) -> tuple[np.ndarray, np.ndarray]:
        """First indices of `cold_start_order` (m,), that exploration chooses from, and their clusters."""
        n_clusters = int(self.clusters.max(initial=0)) + 1
        indices = self.cold_start_order[: _EXPLORED_PER_CLUSTER * n_clusters]
        return indices, self.clusters[indices]


def load(
    lake: Lake,
    model_version: str,
    *,
    weights: RankingWeights | None = None,
    tracks: Mapping[str, ItemInfo] | None = None,
) -> ItemCatalog:
    """Return the item catalog of a model version, with the similar items of ITEM_SIMILARITIES.

    `tracks` are the tracks by id if they are in memory already; otherwise they are read from TRACKS. Raises
    StepError if the version has no embedding of any of them.
    """
    embeddings = clustered_vectors.open_vectors(lake, model_version)
    if tracks is None:
        tracks = _read_track_columns(lake)
    catalog = _align(embeddings, tracks, model_version, weights or RankingWeights())
    if not len(catalog.ids):
        raise StepError(f"expected tracks of model version {model_version}, found none; run `segue publish`")
    return with_item_similarities(
        catalog, item_similarities.from_batches(lake.iter_batches(ITEM_SIMILARITIES), catalog.ids)
    )


def empty(model_version: str) -> ItemCatalog:
    """Return an item catalog without tracks."""
    nothing = ClusteredVectors(
        np.zeros(0, "S1"), np.zeros((0, 1), dtype=np.float32), np.zeros(1, dtype=int), np.zeros(0, dtype=int)
    )
    return _align(nothing, {}, model_version, RankingWeights())


def _read_track_columns(lake: Lake) -> dict[str, ItemInfo]:
    """Return the tracks of TRACKS by id.

    A missing title or recording is the track's id, a missing artist "".
    """
    tracks = {}
    for row in lake.iter_rows(TRACKS, "track_id", "title", "artist", "recording_id", "listens"):
        track_id = row["track_id"]
        tracks[track_id] = ItemInfo(
            title=row["title"] or track_id,
            artist=row["artist"] or "",
            recording_id=row["recording_id"] or track_id,
            listens=row["listens"] or 0,
        )
    return tracks


def _align(
    embeddings: ClusteredVectors,
    tracks: Mapping[str, ItemInfo],
    model_version: str,
    weights: RankingWeights,
) -> ItemCatalog:
    """Return the item catalog of the tracks that have both an embedding and an entry in `tracks`.

    Their order is that of the clusters.
    """
    all_ids = [track_id.decode() for track_id in embeddings.ids.tolist()]
    rows = np.array([row for row, track_id in enumerate(all_ids) if track_id in tracks], dtype=int)
    track_ids = [all_ids[row] for row in rows]
    infos = [tracks[track_id] for track_id in track_ids]
    recordings: dict[str, int] = {}
    vectors, index = embeddings.vectors, embeddings.index if len(rows) else None
    if len(rows) < len(all_ids):  # tracks were removed since the version's vectors were written
        vectors = np.ascontiguousarray(vectors[rows])
        index = FilteredIndex(index, rows) if index is not None else None
    return ItemCatalog(
        model_version=model_version,
        ids=np.array(track_ids, dtype=np.str_),
        # object dtype: numpy's fixed-width strings would pad every title to the longest.
        titles=np.array([info.title for info in infos], dtype=object),
        # Interned: an artist's tracks share one text.
        artists=np.array([sys.intern(info.artist) for info in infos], dtype=object),
        recordings=np.array(
            [recordings.setdefault(info.recording_id, len(recordings)) for info in infos], dtype=np.int32
        ),
        vectors=vectors,
        clusters=embeddings.clusters()[rows],
        # FMA's listen counts are only a fallback while there are no local plays.
        plays=np.array([info.listens for info in infos], dtype=int),
        weights=weights,
        index=index,
    )


def with_item_similarities(catalog: ItemCatalog, found: ItemSimilarities) -> ItemCatalog:
    """Return the catalog with listeners, similar items and item factors."""
    plays = found.listeners if found.listeners.any() else catalog.plays
    return replace(catalog, similar_items=found.similar_items, plays=plays, factors=found.factors)
