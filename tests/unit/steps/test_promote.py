import pytest

from jobs.cli import parse
from jobs.errors import StepError
from jobs.model import registry
from jobs.steps import promote
from jobs.steps.promote import decide

LABELLED = {
    "judged_queries": 50,
    "genre_precision_at_10": 0.5,
    "silhouette": 0.1,
    "recall_at_10": 0.98,
    "coverage": 0.9,
}
UNLABELLED = {**LABELLED, "judged_queries": 0}


@pytest.mark.parametrize(
    ("own", "its", "passes", "told"),
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
        ({}, {"silhouette": 0.9}, True, "passed: genre precision"),  # labels go first
        ({"plays_recall_at_10": 0.1}, {"plays_recall_at_10": 0.9}, True, "passed: genre precision"),
        ({"judged_queries": 9}, {"coverage": 0.95}, False, "refused: coverage 0.900, the champion's 0.950"),
    ],
)
def test_the_gate(own, its, passes, told):
    passed, reason = decide({"model": LABELLED | own, "champion": LABELLED | its}, 0.02)
    assert passed == passes and reason.startswith(told) and reason.endswith("margin 0.02")


def test_without_labels_the_index_decides_and_names_what_is_worse():
    worse = UNLABELLED | {"silhouette": 0.05, "recall_at_10": 0.9}
    passed, reason = decide({"model": worse, "champion": UNLABELLED}, 0.02)
    assert not passed and "silhouette 0.050" in reason and "recall" in reason and "coverage" not in reason
    assert decide({"model": worse, "champion": UNLABELLED}, 0.1)[0]
    assert decide({"model": UNLABELLED, "champion": UNLABELLED}, 0)[0]


def test_plays_decide_where_there_are_no_labels():
    passed, reason = decide(
        {
            "model": UNLABELLED | {"plays_recall_at_10": 0.1},
            "champion": UNLABELLED | {"plays_recall_at_10": 0.2},
        },
        0.02,
    )
    assert not passed and reason.startswith("refused: plays recall")


def test_nothing_measured_is_refused_and_nothing_to_compare_passes():
    assert decide({}, 0.02)[1].startswith("refused: it was never evaluated")
    assert decide({"model": LABELLED}, 0.02)[0]


def test_figures_of_before_the_present_champion_are_refused(models):
    """Version 1 was measured when there was no champion; 2 became it by hand."""
    figures = {"model": LABELLED, "champion": LABELLED}
    registry.log_evaluation(registry.version("1"), {"model": LABELLED}, evaluated_beside="", evaluated="x")
    registry.set_champion("2")
    refused = "refused: not measured beside the champion, version 2; run `segue evaluate --model-version 1`"
    with pytest.raises(StepError, match=refused):
        promote.main(parse(["promote", "1", "--lake", str(models)]))
    registry.set_challenger("1")
    night = parse(["promote", "--gate", "--lake", str(models)])
    assert promote.main(night).counts == {"champion": "2", "gate": refused}
    registry.log_evaluation(registry.version("1"), figures, evaluated_beside="2", evaluated="x")
    assert promote.main(night).counts["champion"] == "1"
