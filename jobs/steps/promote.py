"""The quality gate: a challenger becomes champion unless its metrics are worse than the champion's.

The metric is genre precision@10 (artist-filtered, as in `evaluate`) where tracks have genres; where plays are
known instead, next-play recall@10; with neither, silhouette, recall@10 of the index and coverage, each by
itself.
"""

import argparse
from dataclasses import dataclass
from typing import Any

from jobs.errors import InputError, StepError
from jobs.lake.storage import open_lake
from jobs.model import registry, tracking
from jobs.model.registry import SystemMetrics
from jobs.online import publisher
from jobs.progress import StepResult

# With fewer evaluated queries genre precision is not used: one neighbour more or less would decide.
MIN_EVALUATED_QUERIES = 10
UNLABELLED_METRICS = ("silhouette", "index_recall_at_10", "coverage")


@dataclass(frozen=True)
class Decision:
    """Whether a version passes the gate, and the reason, which begins with "passed" or "refused"."""

    passed: bool
    reason: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "version", nargs="?", metavar="VERSION", help="model version to promote (default: the challenger)"
    )
    parser.add_argument("--force", action="store_true", help="promote even if the quality gate fails")
    parser.add_argument(
        "--allow-refusal",
        action="store_true",
        help="exit 0 when the gate refuses or there is no challenger; leave publishing to the publish step",
    )
    add_margin_argument(parser)


def add_margin_argument(parser: argparse.ArgumentParser) -> None:
    """Add --margin."""
    parser.add_argument(
        "--margin",
        type=float,
        default=0.02,
        help="how far a challenger's metric may fall below the champion's (default 0.02)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Promote one version and publish it. Raises StepError with the gate's reason if it is refused."""
    lake = open_lake(arguments)
    tracking.connect(arguments.mlflow, lake.root)
    aliases = registry.aliases()
    number = arguments.version or aliases.get(registry.CHALLENGER)
    if arguments.allow_refusal:
        reason = "no challenger: the champion stays"
        if number:
            reason = gate(str(number), margin=arguments.margin, force=arguments.force)
        return StepResult({"champion": registry.aliases().get(registry.CHAMPION, "none"), "gate": reason})
    # A version that was promoted and could not be published (killed, disk full) is the champion by now: the
    # same command publishes it.
    number = number or aliases.get(registry.CHAMPION)
    if number is None:
        raise InputError("expected a model to promote, found none; `segue cluster` trains one")
    reason = gate(str(number), margin=arguments.margin, force=arguments.force)
    if registry.aliases().get(registry.CHAMPION) != str(number):
        raise StepError(
            f"version {number} is not promoted: {reason}; the champion stays (--force promotes anyway)"
        )
    published = publisher.publish_champion(lake, master=arguments.master, mongo_uri=arguments.mongo)
    return StepResult({**published.counts, "gate": reason})


def promote_as_step(arguments: argparse.Namespace) -> StepResult:
    """Apply the gate as a step of `segue run`: a refusal is a result, and the champion stays.

    The registry must be connected; `cluster` has done so.
    """
    reason = gate(arguments.model_version, margin=arguments.margin)
    return StepResult({"champion": registry.aliases()[registry.CHAMPION], "gate": reason})


def gate(number: str, *, margin: float, force: bool = False) -> str:
    """Make a version champion if it passes the gate.

    Return the reason, which becomes a tag of the version.
    """
    if not margin >= 0:  # also for nan, which would let every challenger pass
        raise InputError(f"--margin: expected 0 or more, found {margin}")
    version = registry.version(number)
    champion = registry.aliases().get(registry.CHAMPION)
    if champion == number:
        return version.tags.get("gate", "passed: it is the champion")
    if force:
        decision = Decision(True, "passed: forced")
    elif champion is None:
        decision = Decision(True, "passed: there was no champion")
    else:
        decision = _compare_with_champion(version, champion, margin)
    registry.set_tags(version, gate=decision.reason)
    if decision.passed:
        registry.set_tags(version, rolled_back="")
        registry.set_champion(number)
    return decision.reason


def _compare_with_champion(version: Any, champion: str, margin: float) -> Decision:
    if "rolled_back" in version.tags:
        return Decision(False, f"refused: it was rolled back on {version.tags['rolled_back']}")
    if version.tags.get("compared_with") != champion:  # evaluated beside another champion, or none
        return Decision(
            False,
            f"refused: not evaluated beside the champion, version {champion}; "
            f"run `segue evaluate --model-version {version.version}`",
        )
    return decide(registry.evaluation(version), margin)


def decide(metrics: SystemMetrics, margin: float) -> Decision:
    """Return whether the model's metrics are at most `margin` below the champion's."""
    model = metrics.get("model")
    champion = metrics.get("champion")
    if not model:
        return Decision(False, "refused: it was not evaluated; run `segue evaluate`")
    if not champion:
        return Decision(True, "passed: the champion cannot be compared on these tracks")
    compared = []
    worse = []
    for name in _deciding_metrics(model, champion):
        value = model.get(name, 0.0)
        champion_value = champion.get(name, 0.0)
        text = f"{name.replace('_', ' ')} {value:.3f}, the champion's {champion_value:.3f}"
        compared.append(text)
        if value < champion_value - margin:
            worse.append(text)
    outcome = "refused" if worse else "passed"
    return Decision(not worse, f"{outcome}: {', '.join(worse or compared)}, margin {margin:g}")


def _deciding_metrics(model: dict[str, float], champion: dict[str, float]) -> tuple[str, ...]:
    """Return the names of the metrics that the gate compares."""
    n_queries = min(model["evaluated_queries"], champion["evaluated_queries"])
    if n_queries >= MIN_EVALUATED_QUERIES and "genre_precision_at_10" in model:
        return ("genre_precision_at_10",)
    if "next_play_recall_at_10" in model:
        return ("next_play_recall_at_10",)
    return UNLABELLED_METRICS
