"""The quality gate."""

import pytest

from jobs.cli import parse
from jobs.errors import InputError, StepError
from jobs.model import registry
from jobs.steps import promote
from jobs.steps.promote import decide

LABELLED = {
    "evaluated_queries": 50,
    "genre_precision_at_10": 0.5,
    "silhouette": 0.1,
    "index_recall_at_10": 0.98,
    "coverage": 0.9,
}
UNLABELLED = {**LABELLED, "evaluated_queries": 0}


@pytest.mark.parametrize(
    ("model", "champion", "passed", "reason"),
    [
        (
            {},
            {"genre_precision_at_10": 0.55},
            False,
            "refused: genre precision at 10 0.500, the champion's 0.550",
        ),
        (
            {},
            {"genre_precision_at_10": 0.51},
            True,
            "passed: genre precision at 10 0.500, the champion's 0.510",
        ),
        ({}, {"silhouette": 0.9}, True, "passed: genre precision"),  # genres come first
        (
            {"next_play_recall_at_10": 0.1},
            {"next_play_recall_at_10": 0.9},
            True,
            "passed: genre precision",
        ),
        (
            {"evaluated_queries": 9},
            {"coverage": 0.95},
            False,
            "refused: coverage 0.900, the champion's 0.950",
        ),
    ],
)
def test_gate_compares_with_the_champion(model, champion, passed, reason):
    decision = decide({"model": LABELLED | model, "champion": LABELLED | champion}, 0.02)
    assert decision.passed == passed
    assert decision.reason.startswith(reason) and decision.reason.endswith("margin 0.02")


def test_unlabelled_gate_names_the_worse_metrics():
    worse = UNLABELLED | {"silhouette": 0.05, "index_recall_at_10": 0.9}
    decision = decide({"model": worse, "champion": UNLABELLED}, 0.02)
    assert not decision.passed
    assert "silhouette 0.050" in decision.reason and "index recall" in decision.reason
    assert "coverage" not in decision.reason
    assert decide({"model": worse, "champion": UNLABELLED}, 0.1).passed
    assert decide({"model": UNLABELLED, "champion": UNLABELLED}, 0).passed


def test_next_play_recall_decides_without_labels():
    metrics = {
        "model": UNLABELLED | {"next_play_recall_at_10": 0.1},
        "champion": UNLABELLED | {"next_play_recall_at_10": 0.2},
    }
    decision = decide(metrics, 0.02)
    assert not decision.passed and decision.reason.startswith("refused: next play recall")


def test_model_without_evaluation_is_refused():
    assert decide({}, 0.02).reason.startswith("refused: it was not evaluated")


def test_champion_that_cannot_be_compared_lets_pass():
    assert decide({"model": LABELLED}, 0.02).passed


def test_evaluation_beside_another_champion_is_refused(models):
    """Version 1 was evaluated when there was no champion; then 2 became champion by hand."""
    metrics = {"model": LABELLED, "champion": LABELLED}
    registry.log_evaluation(
        registry.version("1"), {"model": LABELLED}, compared_with="", evaluation_digest="x"
    )
    registry.set_champion("2")
    refused = "refused: not evaluated beside the champion, version 2; run `segue evaluate --model-version 1`"
    with pytest.raises(StepError, match=refused):
        promote.main(parse(["promote", "1", "--lake", str(models)]))
    registry.set_challenger("1")
    nightly = parse(["promote", "--allow-refusal", "--lake", str(models)])
    assert promote.main(nightly).counts == {"champion": "2", "gate": refused}
    registry.log_evaluation(registry.version("1"), metrics, compared_with="2", evaluation_digest="x")
    assert promote.main(nightly).counts["champion"] == "1"


@pytest.mark.parametrize("margin", ["-0.1", "nan"])
def test_margin_below_zero_is_bad_input(models, margin):
    with pytest.raises(InputError, match=f"--margin: expected 0 or more, found {margin}"):
        promote.main(parse(["promote", "1", f"--margin={margin}", "--lake", str(models)]))
