"""The score of every query, of the model and of the champion on the same queries: the gate compares them.

Stored beside the metrics as `query_scores.json`; at 2,000 queries about 200 kB.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Metrics whose scores are stored. Next-play metrics have one score per user, the others one per track.
GENRE_METRICS = ("genre_precision_at_10", "genre_map", "genre_r_precision")
PLAY_METRICS = ("next_play_recall_at_10",)

# Decimals in the file.
_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class PairedDifferences:
    """Model minus champion of one metric: `differences` and `units` (q,), see `significance`."""

    differences: np.ndarray
    units: np.ndarray

    @property
    def mean(self) -> float:
        """The difference of the metric."""
        return float(self.differences.mean())


@dataclass(frozen=True, kw_only=True)
class QueryScores:
    """Scores by system and metric.

    Attributes
    ----------
    scores
        By system, then metric: (q,) for GENRE_METRICS, (users,) for PLAY_METRICS.
    track_ids, genres
        Of the queries of GENRE_METRICS, q of each.
    """

    scores: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    track_ids: list[str] = field(default_factory=list)
    genres: list[str] = field(default_factory=list)

    def compare(self, metric: str) -> PairedDifferences | None:
        """Return the differences of a metric, or None where either system has none.

        The unit of a genre metric is the genre, that of a next-play metric the user.
        """
        model = self.scores.get("model", {}).get(metric)
        champion = self.scores.get("champion", {}).get(metric)
        if model is None or champion is None or not len(model):
            return None
        units = np.array(self.genres) if metric in GENRE_METRICS else np.arange(len(model))
        return PairedDifferences(differences=model - champion, units=units)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        scores = {
            system: {name: np.round(values, _DECIMALS).tolist() for name, values in by_metric.items()}
            for system, by_metric in self.scores.items()
        }
        return {"track_ids": self.track_ids, "genres": self.genres, "scores": scores}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "QueryScores":
        """Return the scores that a file holds."""
        scores = {
            system: {name: np.array(values) for name, values in by_metric.items()}
            for system, by_metric in content["scores"].items()
        }
        return cls(scores=scores, track_ids=content["track_ids"], genres=content["genres"])
