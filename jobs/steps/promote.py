"""The quality gate: a challenger becomes champion if it passes the paired test of `model.quality_gate`.

A model of the champion's settings must not be worse, one of other settings must be better. The reason becomes
a tag of the version.
"""

import argparse
import dataclasses
from typing import Any

from jobs.errors import InputError, StepError
from jobs.lake.storage import open_lake
from jobs.model import registry, tracking
from jobs.model.neural import NeuralConfig
from jobs.model.quality_gate import Decision, decide
from jobs.online import publisher
from jobs.progress import StepResult

# Parameters of a run that are a model's settings, those of a network included. The rest was measured, or
# follows from the collection, such as k.
_SETTINGS = ("recipe", "recipe_version", "dimensions", *(f.name for f in dataclasses.fields(NeuralConfig)))


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
        help="how far a metric may fall below the champion's (default 0.02 for a model of the champion's "
        "settings; one of other settings must be better, unless a margin is given)",
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


def gate(number: str, *, margin: float | None, force: bool = False) -> str:
    """Make a version champion if it passes the gate.

    Return the reason, which becomes a tag of the version.
    """
    if margin is not None and not margin >= 0:  # also for nan, which would let every challenger pass
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


def _compare_with_champion(version: Any, champion: str, margin: float | None) -> Decision:
    if "rolled_back" in version.tags:
        return Decision(False, f"refused: it was rolled back on {version.tags['rolled_back']}")
    if version.tags.get("compared_with") != champion:  # evaluated beside another champion, or none
        return Decision(
            False,
            f"refused: not evaluated beside the champion, version {champion}; "
            f"run `segue evaluate --model-version {version.version}`",
        )
    return decide(
        registry.evaluation(version),
        registry.query_scores(version),
        is_refresh=_settings(version) == _settings(registry.version(champion)),
        margin=margin,
    )


def _settings(version: Any) -> dict[str, str | None]:
    """Return what a version's model was trained with, whatever the collection."""
    parameters = registry.run_parameters(version)
    return {name: parameters.get(name) for name in _SETTINGS}
