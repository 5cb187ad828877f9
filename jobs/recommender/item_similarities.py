"""ITEM_SIMILARITIES as arrays in the order of a catalog: listeners, similar items and item factors."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from jobs.lake.schemas import ITEM_SIMILARITIES


class ItemSimilarities(NamedTuple):
    """What was learned of n tracks.

    Attributes
    ----------
    listeners : (n,) number of users who finished or liked each track
    similar_items : (n, n) similarity of the similar items of each track, 0 to 1, the most similar first
    factors : (n, d) float32 item factors, 0 for a track that has none; None without any
    """

    listeners: np.ndarray
    similar_items: csr_array
    factors: np.ndarray | None


def to_table(ids: np.ndarray, found: ItemSimilarities) -> pa.Table:
    """Return the rows of ITEM_SIMILARITIES of the tracks (n,) that something is known of."""
    factors = found.factors if found.factors is not None else np.zeros((len(ids), 0), dtype=np.float32)
    has_similar = np.diff(found.similar_items.indptr) > 0
    tracks = np.flatnonzero((found.listeners > 0) | has_similar | factors.any(axis=1))
    similar = found.similar_items[tracks]
    track_ids = pa.array(ids.tolist(), pa.string())
    starts = pa.array(similar.indptr, pa.int32())
    factor_starts = pa.array(np.arange(len(tracks) + 1) * factors.shape[1], pa.int32())
    columns = {
        "track_id": track_ids.take(pa.array(tracks)),
        "listeners": found.listeners[tracks],
        "neighbours": pa.ListArray.from_arrays(starts, track_ids.take(pa.array(similar.indices))),
        "scores": pa.ListArray.from_arrays(starts, pa.array(similar.data)),
        "factors": pa.ListArray.from_arrays(factor_starts, pa.array(factors[tracks].ravel())),
    }
    return pa.table(columns).cast(ITEM_SIMILARITIES.arrow_schema()).sort_by("track_id")


def from_batches(batches: Iterable[pa.RecordBatch], ids: np.ndarray) -> ItemSimilarities:
    """Return what batches of ITEM_SIMILARITIES say of the tracks (n,); unknown tracks are left out."""
    listeners = np.zeros(len(ids), dtype=int)
    factors: np.ndarray | None = None
    track_ids = pa.array(ids.tolist(), pa.string())
    rows, columns, scores = [], [], []
    for batch in batches:
        positions = pc.index_in(batch["track_id"], value_set=track_ids)
        batch = batch.filter(positions.is_valid())
        tracks = positions.drop_null().to_numpy()
        listeners[tracks] = batch["listeners"].to_numpy()
        neighbours = pc.index_in(batch["neighbours"].flatten(), value_set=track_ids)
        is_known = neighbours.is_valid().to_numpy(zero_copy_only=False)
        rows.append(np.repeat(tracks, batch["neighbours"].value_lengths().to_numpy())[is_known])
        columns.append(neighbours.drop_null().to_numpy())
        scores.append(batch["scores"].flatten().to_numpy()[is_known])
        factors = _add_factors(factors, batch["factors"], tracks, len(ids))
    return ItemSimilarities(listeners, _to_matrix(rows, columns, scores, len(ids)), factors)


def _add_factors(
    factors: np.ndarray | None, column: pa.ListArray, tracks: np.ndarray, n_tracks: int
) -> np.ndarray | None:
    """Return the factors with those of a batch; a table of Segue 0.2's first builds has none (null)."""
    sizes = column.value_lengths().fill_null(0).to_numpy()
    if not sizes.any():
        return factors
    if factors is None:
        factors = np.zeros((n_tracks, sizes.max()), dtype=np.float32)
    factors[tracks[sizes > 0]] = column.flatten().to_numpy().reshape(-1, factors.shape[1])
    return factors


def _to_matrix(
    rows: list[np.ndarray], columns: list[np.ndarray], scores: list[np.ndarray], n_tracks: int
) -> csr_array:
    """Return the matrix (n, n) of the entries of batches; within a row they stay in their order."""
    nothing = np.zeros(0, dtype=np.int32)
    all_rows = np.concatenate([nothing, *rows])
    order = np.argsort(all_rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(all_rows, minlength=n_tracks))])
    return csr_array(
        (
            np.concatenate([nothing, *scores])[order].astype(np.float32),
            np.concatenate([nothing, *columns])[order].astype(np.int32),
            starts.astype(np.int32),
        ),
        shape=(n_tracks, n_tracks),
    )
