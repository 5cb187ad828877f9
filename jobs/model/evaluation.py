"""Evaluate systems on the tracks of FEATURES in two passes.

Collect the queries' vectors, then score all candidates.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from jobs.lake.storage import Lake
from jobs.model import training_data
from jobs.model.evaluated_systems import EmbeddingSystem
from jobs.model.metrics import K, Labels, mean_scores, ranking_scores
from jobs.model.query_scores import GENRE_METRICS, PLAY_METRICS
from jobs.model.retrieval_evaluator import RetrievalEvaluator
from jobs.model.significance import bootstrap_interval
from jobs.model.top_k import TopK
from jobs.model.training_data import TrainingSet

# Query tracks: all where there are fewer, else by the hash of their ids.
MAX_QUERIES = 2_000

# The "system" whose metrics are the largest that any ordering could reach on this collection.
CEILING = "ceiling"


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Metrics by system, with CEILING, and the scores that the main ones are means of.

    Attributes
    ----------
    scores
        By system, then metric: one per genre query (g,), or per user.
    genre_positions : (g,)
        Track numbers of the genre queries.
    """

    metrics: dict[str, dict[str, float]]
    scores: dict[str, dict[str, np.ndarray]]
    genre_positions: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PlaySplit:
    """Tracks of the evaluated users, by track number.

    Played before the temporal split, and new to them after it.
    """

    before: list[set[int]]
    after: list[set[int]]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What systems are evaluated on. Track numbers are positions in the sorted keys of `training`.

    Attributes
    ----------
    report
        Called with the number of tracks compared so far.
    """

    lake: Lake
    training: TrainingSet
    labels: Labels
    plays: PlaySplit
    report: Callable[[int], None] = lambda _: None

    def run(self, systems: dict[str, EmbeddingSystem]) -> EvaluationResult:
        """Evaluate the systems, at least one, on the same queries."""
        columns = _all_columns(systems)
        queries = self._query_positions()
        evaluators = {name: _SystemEvaluator(system, columns) for name, system in systems.items()}
        for positions, values in self._batches(columns, set(queries).union(*self.plays.before)):
            for evaluator in evaluators.values():
                evaluator.add_queries(values, positions)
        for evaluator in evaluators.values():
            evaluator.start(queries, self.labels, self.plays)
        n_compared = 0
        for positions, values in self._batches(columns, None):
            is_played = [[n in tracks for n in positions.tolist()] for tracks in self.plays.before]
            for evaluator in evaluators.values():
                evaluator.add(values, positions, np.array(is_played, dtype=bool))
            n_compared += len(positions)
            self.report(n_compared)
        metrics = {name: evaluator.metrics() for name, evaluator in evaluators.items()}
        # The queries and their relevant tracks are the same for every system.
        retrieval = next(iter(evaluators.values())).retrieval
        ceilings = retrieval.ceilings()
        if ceilings:
            metrics[CEILING] = ceilings
        scores = {name: evaluator.scores() for name, evaluator in evaluators.items()}
        return EvaluationResult(metrics=metrics, scores=scores, genre_positions=retrieval.genre_positions)

    def _query_positions(self) -> list[int]:
        """Return the track numbers of the queries, ascending."""
        ids = [track_id for track_id, _ in self.training.keys]
        by_hash = sorted(range(len(ids)), key=lambda n: hashlib.sha256(ids[n].encode()).digest())
        return sorted(by_hash[:MAX_QUERIES])

    def _batches(
        self, columns: tuple[str, ...], positions: set[int] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (track numbers (n,), values (n, columns)) of all tracks, or of those at `positions`."""
        ids = [track_id for track_id, _ in self.training.keys]
        position_of = {track_id: position for position, track_id in enumerate(ids)}
        track_ids = None if positions is None else {ids[position] for position in positions}
        for batch_ids, values in training_data.feature_batches(
            self.lake, self.training, columns, track_ids=track_ids
        ):
            yield np.array([position_of[track_id] for track_id in batch_ids]), values


def _all_columns(systems: dict[str, EmbeddingSystem]) -> tuple[str, ...]:
    """Return the columns that any system reads, each once."""
    columns: dict[str, None] = {}
    for system in systems.values():
        columns |= dict.fromkeys(system.columns)
    return tuple(columns)


@dataclass
class _SystemEvaluator:
    """One system over both passes. `columns` are those of the value rows."""

    system: EmbeddingSystem
    columns: tuple[str, ...]
    _query_vectors: dict[int, np.ndarray] = field(default_factory=dict)
    _retrieval: RetrievalEvaluator | None = None
    _recommendations: TopK | None = None
    _next_tracks: list[set[int]] = field(default_factory=list)

    def add_queries(self, values: np.ndarray, positions: np.ndarray) -> None:
        """First pass: add tracks (n, columns) that are queries, or that evaluated users played."""
        vectors, _ = self._vectors(values, positions)
        self._query_vectors.update(zip(positions.tolist(), vectors, strict=True))

    def start(self, queries: list[int], labels: Labels, plays: PlaySplit) -> None:
        """Begin the second pass with the queries' track numbers.

        A user's query is the mean of the tracks played.
        """
        vectors = np.array([self._query_vectors[position] for position in queries])
        self._retrieval = RetrievalEvaluator(vectors, np.array(queries), labels, self.system.clusters)
        if plays.before:
            tastes = [
                np.mean([self._query_vectors[position] for position in tracks], axis=0)
                for tracks in plays.before
            ]
            self._recommendations = TopK(np.array(tastes), K)
            self._next_tracks = plays.after

    def add(self, values: np.ndarray, positions: np.ndarray, is_played: np.ndarray) -> None:
        """Second pass: add candidates (n, columns); `is_played` (users, n) are not recommended."""
        _, candidates = self._vectors(values, positions)
        self.retrieval.add(candidates, positions)
        if self._recommendations is not None:
            self._recommendations.add(candidates, positions, is_played)

    @property
    def retrieval(self) -> RetrievalEvaluator:
        """The evaluator of the second pass."""
        assert self._retrieval is not None
        return self._retrieval

    def scores(self) -> dict[str, np.ndarray]:
        """Return the scores that intervals and the gate read, by metric, after both passes."""
        scores = self.retrieval.scores()
        if self._recommendations is not None:
            scores |= ranking_scores(self._recommendations.positions, self._next_tracks)
        return {name: scores[name] for name in (*GENRE_METRICS, *PLAY_METRICS) if name in scores}

    def metrics(self) -> dict[str, float]:
        """Return the metrics after both passes; those of `scores` with their 95 % intervals."""
        metrics = self.retrieval.metrics()
        if self._recommendations is not None:
            metrics |= mean_scores(ranking_scores(self._recommendations.positions, self._next_tracks))
        for name, values in self.scores().items():
            metrics[f"{name}_ci_low"], metrics[f"{name}_ci_high"] = bootstrap_interval(values)
        return metrics

    def _vectors(self, values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position_of = {column: number for number, column in enumerate(self.columns)}
        return self.system.to_vectors(values[:, [position_of[c] for c in self.system.columns]], positions)
