"""Words for how tracks sound, relative to their collection: "slow", "acoustic", "dark".

A word's score is a weighted sum of features, each as its rank in the collection, so that a word means the
same share of tracks in every collection. MusiCNN's tags are features too, where FEATURES has them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS, descriptor_columns
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.musicnn import tags

# Words by the weights of the columns of FEATURES that they are measured by. Opposites have opposite weights.
_ENERGY = {"rmse_mean_01": 1.0, "onset_density": 1.0, "zcr_mean_01": 0.5}
_PACE = {"tempo": 1.0, "onset_density": 1.0}
_BRIGHTNESS = {"spectral_centroid_mean_01": 1.0, "spectral_rolloff_mean_01": 1.0}
_OPPOSITES = {
    "energetic": _ENERGY,
    "calm": {column: -weight for column, weight in _ENERGY.items()},
    "fast": _PACE,
    "slow": {column: -weight for column, weight in _PACE.items()},
    "bright": _BRIGHTNESS,
    "dark": {column: -weight for column, weight in _BRIGHTNESS.items()},
}

# Words by the tag of MusiCNN that they are; the other tags are genres, decades, or say little of the sound.
_TAG_WORDS = {
    "acoustic": "acoustic",
    "ambient": "ambient",
    "dance": "danceable",
    "electronic": "electronic",
    "experimental": "experimental",
    "guitar": "guitar",
    "happy": "happy",
    "instrumental": "instrumental",
    "Mellow": "mellow",
    "sad": "sad",
    "female vocalists": "female vocals",
    "male vocalists": "male vocals",
}
_TAG_COLUMNS = dict(zip(tags.TAGS, descriptor_columns("musicnn_tags"), strict=True))

WORDS: dict[str, dict[str, float]] = {
    **_OPPOSITES,
    **{word: {_TAG_COLUMNS[tag]: 1.0} for tag, word in _TAG_WORDS.items()},
}
_NAMES = tuple(WORDS)

# Mean score, in deviations, from which on a word describes several tracks.
_MIN_SCORE = 0.6


@dataclass(frozen=True, eq=False)
class SoundWords:
    """The scores of every word for every track.

    Attributes
    ----------
    track_ids : n ids
    scores : (n, words) float16 in the order of WORDS, of mean 0 and deviation 1 over the collection; 0 where
        FEATURES lacks what the word is measured by
    """

    track_ids: list[str]
    scores: np.ndarray

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {track_id: row for row, track_id in enumerate(self.track_ids)}

    def strongest(self, word: str, fraction: float) -> list[str]:
        """Return the `fraction` (0 to 1) of the tracks that a word describes best, the best first."""
        count = max(1, int(len(self.track_ids) * fraction))
        order = np.argsort(-self.scores[:, _NAMES.index(word)], kind="stable")[:count]
        return [self.track_ids[row] for row in order]

    def describe(self, track_ids: Iterable[str], count: int = 2) -> list[str]:
        """Return at most `count` words that describe the tracks as a whole, the fittest first."""
        rows = [self._row_of[track_id] for track_id in track_ids if track_id in self._row_of]
        if not rows:
            return []
        means = self.scores[rows].astype(np.float32).mean(axis=0)
        best = np.argsort(-means, kind="stable")[:count]
        return [_NAMES[word] for word in best if means[word] >= _MIN_SCORE]


def load(lake: Lake) -> SoundWords:
    """Return the words of the tracks in FEATURES, by the newest feature version of each."""
    columns = sorted({column for weights in WORDS.values() for column in weights})
    table = lake.read_arrow(FEATURES, "track_id", "feature_version", *columns)
    versions = pa.array(list(MODEL_INPUT_COLUMNS))  # oldest first
    age_order = pc.sort_indices(pc.index_in(table["feature_version"], versions), null_placement="at_start")
    track_ids = table["track_id"].to_pylist()
    newest = {track_ids[row]: row for row in age_order.to_pylist()}
    table = table.take(pa.array(list(newest.values()), pa.int64()))
    n_tracks = len(newest)
    deviations = {column: _rank_deviations(table[column].to_numpy()) for column in columns}
    scores = np.zeros((n_tracks, len(WORDS)), dtype=np.float16)
    for number, weights in enumerate(WORDS.values()):
        total = np.sum([weight * deviations[column] for column, weight in weights.items()], axis=0)
        spread = total.std() if n_tracks else 0.0
        scores[:, number] = total / spread if spread > 0 else 0.0
    return SoundWords(list(newest), scores)


def _rank_deviations(values: np.ndarray) -> np.ndarray:
    """Return the ranks (n,) of values (n,), scaled to mean 0; 0 for what is not a number.

    Equal values have equal ranks. Example: [5, 7, 7, nan] gives [-0.5, 0.25, 0.25, 0].
    """
    values = values.astype(float)
    deviations = np.zeros(len(values))
    known = np.isfinite(values)
    if not known.any():
        return deviations
    _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts + 1) / 2
    ranks = mean_ranks[inverse]
    deviations[known] = (ranks - ranks.mean()) / max(1, known.sum() - 1)
    return deviations
