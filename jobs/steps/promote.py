"""The gate: a challenger becomes champion where it is not worse than the champion on the same tracks, and goes online.

Where tracks have genres, the figure is genre precision@10 (artist-filtered, as in `evaluate`); where plays are known
instead, recall@10 of what was heard next; with neither, silhouette, recall@10 of the index and coverage, each by itself.
"""

import argparse

from jobs.errors import InputError, StepError
from jobs.lake.storage import open_lake
from jobs.model import registry
from jobs.online import publisher
from jobs.progress import StepResult

Metrics = dict[str, dict[str, float]]

# Fewer judged tracks than this say nothing: one neighbour more or less would decide.
MIN_EVALUATED_QUERIES = 10
UNLABELLED_METRICS = ("silhouette", "recall_at_10", "coverage")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "version", nargs="?", metavar="VERSION", help="of the model (default: the challenger)"
    )
    parser.add_argument("--force", action="store_true", help="whatever the gate says")
    parser.add_argument(
        "--gate",
        action="store_true",
        help="as a step of a batch: a refusal is no failure, no challenger neither, and `publish` brings it online",
    )
    add_margin_argument(parser)


def add_margin_argument(parser: argparse.ArgumentParser) -> None:
    """Add --margin."""
    parser.add_argument(
        "--margin",
        type=float,
        default=0.02,
        help="by which a challenger's figure may be below (default 0.02)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Promote one version and bring it online; StepError with the gate's reason where it is refused."""
    lake = open_lake(arguments)
    registry.connect(arguments.mlflow, lake.root)
    aliases = registry.aliases()
    number = arguments.version or aliases.get(registry.CHALLENGER)
    if arguments.gate:
        reason = (
            gate(str(number), margin=arguments.margin, force=arguments.force)
            if number
            else "nothing new: the champion serves on"
        )
        return StepResult({"champion": registry.aliases().get(registry.CHAMPION, "none"), "gate": reason})
    # What was promoted and then could not go online (killed, disk full) is the champion by now: the same command goes on.
    number = number or aliases.get(registry.CHAMPION)
    if number is None:
        raise InputError("expected a model to promote, found none; `segue cluster` trains one")
    reason = gate(str(number), margin=arguments.margin, force=arguments.force)
    if registry.aliases().get(registry.CHAMPION) != str(number):
        raise StepError(
            f"version {number} is not promoted: {reason}; the champion serves on (--force overrides)"
        )
    published = publisher.publish_champion(lake, master=arguments.master, mongo_uri=arguments.mongo)
    return StepResult({**published.counts, "gate": reason})


def promote_as_step(arguments: argparse.Namespace) -> StepResult:
    """Let a version through the gate or not, as a step of `segue run`: a refusal is a result, the champion serves on."""
    reason = gate(arguments.model_version, margin=arguments.margin)
    return StepResult({"champion": registry.aliases()[registry.CHAMPION], "gate": reason})


def gate(number: str, *, margin: float, force: bool = False) -> str:
    """Make a version champion if it passes, and return the reason, which is a tag of the version as well."""
    if margin < 0:
        raise InputError(f"--margin: expected 0 or more, found {margin}")
    version, champion = registry.version(number), registry.aliases().get(registry.CHAMPION)
    if champion == number:
        return version.tags.get("gate", "passed: it is the champion")
    if force:
        passed, reason = True, "passed: forced"
    elif champion is None:
        passed, reason = True, "passed: there was no champion"
    elif "rolled_back" in version.tags:
        passed, reason = False, f"refused: it was rolled back on {version.tags['rolled_back']}"
    elif version.tags.get("evaluated_beside") != champion:  # it was another one then, or none
        told = f"not measured beside the champion, version {champion}; run `segue evaluate --model-version {number}`"
        passed, reason = False, f"refused: {told}"
    else:
        passed, reason = decide(registry.evaluation(version), margin)
    registry.set_tags(version, gate=reason, **({"rolled_back": ""} if passed else {}))
    if passed:
        registry.set_champion(number)
    return reason


def decide(figures: Metrics, margin: float) -> tuple[bool, str]:
    """Return whether the model passes beside the champion, and why."""
    model, champion = figures.get("model"), figures.get("champion")
    if not model:
        return False, "refused: it was never evaluated; run `segue evaluate`"
    if not champion:
        return True, "passed: the champion cannot be compared on these tracks"
    judged = min(model["judged_queries"], champion["judged_queries"])
    metrics: tuple[str, ...] = UNLABELLED_METRICS
    if judged >= MIN_EVALUATED_QUERIES and "genre_precision_at_10" in model:
        metrics = ("genre_precision_at_10",)
    elif "plays_recall_at_10" in model:
        metrics = ("plays_recall_at_10",)
    pairs = [(metric, model.get(metric, 0.0), champion.get(metric, 0.0)) for metric in metrics]
    worse = [pair for pair in pairs if pair[1] < pair[2] - margin]
    told = ", ".join(
        f"{m.replace('_', ' ')} {own:.3f}, the champion's {its:.3f}" for m, own, its in worse or pairs
    )
    return not worse, f"{'refused' if worse else 'passed'}: {told}, margin {margin:g}"
