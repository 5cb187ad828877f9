"""The rule by which a challenger replaces the champion: a paired test on the queries that both answered.

A model of the champion's own settings, trained on another collection (a refresh), has to be not worse: with
95 % confidence no more than a margin below the champion. A model of other settings (another recipe) has to be
better, by a one-sided test at the level of 5 %. Where a margin is given by hand, not worse is enough for it
too.

Genre MAP is compared where tracks have genres, and precision@10 must not be worse in any case; where plays
are known instead, next-play recall@10. With neither, nothing measures quality, and silhouette, recall@10 of
the index and coverage may each be at most the margin below the champion's.
"""

from dataclasses import dataclass

import numpy as np

from jobs.model.metrics import SystemMetrics
from jobs.model.query_scores import GENRE_METRICS, PairedDifferences, QueryScores
from jobs.model.significance import lower_bound, sign_flip_p

# Of the tests: in at most this fraction of the cases an equally good recipe passes as better.
LEVEL = 0.05
DEFAULT_MARGIN = 0.02

# With fewer evaluated queries genre metrics are not used: one neighbour more or less would decide.
MIN_EVALUATED_QUERIES = 10
# With fewer genres (or users) no signs are rare enough for the level: 2^-4 is above 5 %.
MIN_UNITS = 5

UNLABELLED_METRICS = ("silhouette", "index_recall_at_10", "coverage")

# For rounding: scores are stored with six decimals.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Decision:
    """Whether a version passes the gate, and the reason, which begins with "passed" or "refused"."""

    passed: bool
    reason: str


def decide(
    metrics: SystemMetrics, scores: QueryScores, *, is_refresh: bool, margin: float | None = None
) -> Decision:
    """Return whether the system `model` replaces the system `champion`.

    Parameters
    ----------
    metrics
        Of one evaluation of both.
    scores
        Their scores on each query of that evaluation.
    is_refresh
        Whether both have the same settings.
    margin
        How far a metric may fall below the champion's; None: 0.02 for a refresh, else it has to be better.
    """
    model = metrics.get("model")
    champion = metrics.get("champion")
    if not model:
        return Decision(False, "refused: it was not evaluated; run `segue evaluate`")
    if not champion:
        return Decision(True, "passed: the champion cannot be compared on these tracks")
    deciding = _deciding_metrics(model, champion)
    if deciding == UNLABELLED_METRICS:
        return _compare_unlabelled(model, champion, DEFAULT_MARGIN if margin is None else margin)
    must_be_better = margin is None and not is_refresh
    margin = DEFAULT_MARGIN if margin is None else margin
    decisions = []
    for number, name in enumerate(deciding):
        differences = scores.compare(name)
        if differences is None:
            return Decision(False, "refused: the scores of its queries are missing; run `segue evaluate`")
        if must_be_better and number == 0:
            outcome = _test_better(differences, _unit_name(name))
        else:
            outcome = _test_not_worse(differences, margin, _unit_name(name))
        decisions.append(Decision(outcome.passed, f"{_values(name, model, champion)}: {outcome.reason}"))
    refusal = next((decision for decision in decisions if not decision.passed), None)
    if refusal is not None:
        return Decision(False, f"refused: {refusal.reason}")
    return Decision(True, f"passed: {decisions[0].reason}")


def _deciding_metrics(model: dict[str, float], champion: dict[str, float]) -> tuple[str, ...]:
    """Return the names of the metrics that the gate compares, the one that may have to be better first."""
    n_queries = min(model["evaluated_queries"], champion["evaluated_queries"])
    if n_queries >= MIN_EVALUATED_QUERIES and "genre_map" in model:
        return ("genre_map", "genre_precision_at_10")
    if "next_play_recall_at_10" in model:
        return ("next_play_recall_at_10",)
    return UNLABELLED_METRICS


def _test_better(differences: PairedDifferences, unit: str) -> Decision:
    """Return whether the model is better than chance explains."""
    n_units = len(np.unique(differences.units))
    if n_units < MIN_UNITS:
        needed = f"{MIN_UNITS} are needed to test other settings"
        return Decision(False, f"{n_units} {unit} are too few, {needed}; the champion stays")
    p = sign_flip_p(differences.differences, differences.units)
    outcome = "better" if p <= LEVEL else "not shown to be better"
    return Decision(p <= LEVEL, f"{outcome} (p {p:.3f}, level {LEVEL:g}, {n_units} {unit})")


def _test_not_worse(differences: PairedDifferences, margin: float, unit: str) -> Decision:
    """Return whether the model is at most `margin` worse.

    Where the scores vary so much that not even equal means could show it, the means decide.
    """
    n_units = len(np.unique(differences.units))
    mean = differences.mean
    bound = -np.inf
    if n_units >= MIN_UNITS:
        bound = lower_bound(differences.differences, differences.units, level=LEVEL)
    if bound >= -margin - _EPSILON:
        return Decision(True, f"not worse, at least {bound:+.3f} at {1 - LEVEL:.0%}, margin {margin:g}")
    is_within = mean >= -margin - _EPSILON
    if is_within and mean - bound > margin:
        count = f"{len(differences.differences)} queries in {n_units} {unit}"
        return Decision(True, f"{count} are too few for a test, the means decide, margin {margin:g}")
    detail = f"may be {bound:+.3f} at {1 - LEVEL:.0%}" if is_within else "worse"
    return Decision(False, f"{detail}, margin {margin:g}")


def _compare_unlabelled(model: dict[str, float], champion: dict[str, float], margin: float) -> Decision:
    compared = []
    worse = []
    for name in UNLABELLED_METRICS:
        text = _values(name, model, champion)
        compared.append(text)
        if model.get(name, 0.0) < champion.get(name, 0.0) - margin:
            worse.append(text)
    outcome = "refused" if worse else "passed"
    return Decision(not worse, f"{outcome}: {', '.join(worse or compared)}, margin {margin:g}")


def _values(name: str, model: dict[str, float], champion: dict[str, float]) -> str:
    return (
        f"{name.replace('_', ' ')} {model.get(name, 0.0):.3f}, the champion's {champion.get(name, 0.0):.3f}"
    )


def _unit_name(metric: str) -> str:
    return "genres" if metric in GENRE_METRICS else "users"
