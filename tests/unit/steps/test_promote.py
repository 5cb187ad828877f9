"""The quality gate as a step: which rule a version gets, and what becomes of the aliases."""

import numpy as np
import pytest
from mlflow import MlflowClient

from jobs.cli import parse
from jobs.errors import InputError, StepError
from jobs.model import registry
from jobs.model.query_scores import QueryScores
from jobs.steps import promote

GENRES = [f"genre {number % 8}" for number in range(80)]
METRICS = {
    "evaluated_queries": 80,
    "genre_precision_at_10": 0.5,
    "genre_map": 0.5,
    "silhouette": 0.1,
    "index_recall_at_10": 0.98,
    "coverage": 0.9,
}


def log_evaluation(number, compared_with, *, difference=0.0):
    """Log an evaluation of a version beside a champion, whose score on every query is half."""
    scores = {}
    for system, score in (("model", 0.5 + difference), ("champion", 0.5)):
        values = np.full(80, score)
        scores[system] = {"genre_map": values, "genre_precision_at_10": values}
    registry.log_evaluation(
        registry.version(number),
        {"model": METRICS, "champion": METRICS},
        compared_with=compared_with,
        evaluation_digest="x",
        scores=QueryScores(scores=scores, track_ids=GENRES, genres=GENRES),
    )


def log_recipe(number, recipe):
    """Log the settings of a version's training."""
    run_id = registry.version(number).run_id
    for name, value in (("recipe", recipe), ("dimensions", 96), ("tracks", 100 * int(number))):
        MlflowClient().log_param(run_id, name, value)


def test_evaluation_beside_another_champion_is_refused(models):
    """Version 1 was evaluated when there was no champion; then 2 became champion by hand."""
    registry.log_evaluation(
        registry.version("1"), {"model": METRICS}, compared_with="", evaluation_digest="x"
    )
    registry.set_champion("2")
    refused = "refused: not evaluated beside the champion, version 2; run `segue evaluate --model-version 1`"
    with pytest.raises(StepError, match=refused):
        promote.main(parse(["promote", "1", "--lake", str(models)]))
    registry.set_challenger("1")
    nightly = parse(["promote", "--allow-refusal", "--lake", str(models)])
    assert promote.main(nightly).counts == {"champion": "2", "gate": refused}
    log_evaluation("1", "2")
    assert promote.main(nightly).counts["champion"] == "1"


@pytest.mark.parametrize(
    ("recipe", "difference", "margin", "passed"),
    [
        ("timbre", 0.0, None, True),  # a refresh: other tracks, same settings
        ("timbre", -0.03, None, False),
        ("fma518", 0.0, None, False),
        ("fma518", 0.01, None, True),
        ("fma518", 0.0, 0.02, True),
        ("fma518", -0.03, 0.02, False),
    ],
)
def test_other_settings_must_be_better(models, recipe, difference, margin, passed):
    log_recipe("1", "timbre")
    log_recipe("2", recipe)
    registry.set_champion("1")
    log_evaluation("2", "1", difference=difference)
    reason = promote.gate("2", margin=margin)
    assert reason.startswith("passed" if passed else "refused")
    assert registry.version("2").tags["gate"] == reason
    assert registry.aliases()["champion"] == ("2" if passed else "1")


def test_evaluation_of_an_older_segue_is_refused(models):
    """Its run has no scores of each query."""
    registry.set_champion("1")
    version = registry.version("2")
    metrics = {"model": METRICS, "champion": METRICS}
    MlflowClient().log_dict(version.run_id, metrics, "evaluation.json")
    registry.set_tags(version, evaluation_digest="x", compared_with="1")
    reason = promote.gate("2", margin=None)
    assert reason == "refused: the scores of its queries are missing; run `segue evaluate`"


@pytest.mark.parametrize("margin", ["-0.1", "nan"])
def test_margin_below_zero_is_bad_input(models, margin):
    with pytest.raises(InputError, match=f"--margin: expected 0 or more, found {margin}"):
        promote.main(parse(["promote", "1", f"--margin={margin}", "--lake", str(models)]))
