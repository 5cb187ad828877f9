"""The gate: not worse for the champion's own settings, better for others, by the scores of each query."""

import numpy as np
import pytest

from jobs.model.quality_gate import decide
from jobs.model.query_scores import QueryScores

N_GENRES = 8
GENRES = np.arange(160) % N_GENRES
METRICS = {
    "evaluated_queries": 160,
    "genre_precision_at_10": 0.5,
    "genre_map": 0.5,
    "silhouette": 0.1,
    "index_recall_at_10": 0.98,
    "coverage": 0.9,
}
UNLABELLED = {**METRICS, "evaluated_queries": 0}
BOTH = {"model": METRICS, "champion": METRICS}


def make_scores(map_differences, precision_differences=0.0, genres=GENRES):
    """Return scores whose differences are as given; those of the champion vary from query to query."""
    champion = 0.5 + 0.2 * np.random.default_rng(0).uniform(-1, 1, len(genres))
    scores = {
        "model": {
            "genre_map": champion + map_differences,
            "genre_precision_at_10": champion + precision_differences,
        },
        "champion": {"genre_map": champion, "genre_precision_at_10": champion},
    }
    return QueryScores(
        scores=scores, track_ids=[str(n) for n in range(len(genres))], genres=[f"genre {g}" for g in genres]
    )


def noise(size=0.1, seed=1):
    differences = size * np.random.default_rng(seed).standard_normal(len(GENRES))
    return differences - differences.mean()


@pytest.mark.parametrize(
    ("is_refresh", "margin", "differences", "passed", "reason"),
    [
        (True, None, 0.0, True, "not worse, at least +0.000 at 95%, margin 0.02"),
        (True, None, -0.01, True, "not worse, at least -0.010 at 95%, margin 0.02"),
        (True, None, -0.03, False, "worse, margin 0.02"),
        (True, 0.0, 0.0, True, "not worse"),
        (True, 0.0, -0.001, False, "worse, margin 0"),
        (False, None, 0.0, False, "not shown to be better (p 1.000, level 0.05, 8 genres)"),
        (False, None, 0.01, True, "better (p 0.004, level 0.05, 8 genres)"),
        (False, 0.02, 0.0, True, "not worse"),
        (False, 0.02, -0.03, False, "worse, margin 0.02"),
    ],
)
def test_rule(is_refresh, margin, differences, passed, reason):
    decision = decide(BOTH, make_scores(differences), is_refresh=is_refresh, margin=margin)
    assert decision.passed == passed
    start = "passed" if passed else "refused"
    assert decision.reason.startswith(f"{start}: genre map 0.500, the champion's 0.500: {reason}")
    assert "\n" not in decision.reason


def test_noise_promotes_no_other_recipe():
    """Differences without a direction, 200 times: as many pass as the level says."""
    n_passed = sum(
        decide(
            BOTH,
            make_scores(0.1 * np.random.default_rng(seed).standard_normal(len(GENRES))),
            is_refresh=False,
        ).passed
        for seed in range(200)
    )
    assert n_passed <= 200 * 0.05 + 1.645 * np.sqrt(200 * 0.05 * 0.95)


def test_gain_in_one_genre_alone_promotes_no_other_recipe():
    differences = np.where(GENRES == 0, 0.5, 0.0)
    decision = decide(BOTH, make_scores(differences), is_refresh=False)
    assert not decision.passed and "p 0.500" in decision.reason


def test_precision_at_10_guards_a_better_map():
    decision = decide(BOTH, make_scores(0.05, -0.05), is_refresh=False)
    assert not decision.passed
    assert decision.reason.startswith("refused: genre precision at 10") and "worse" in decision.reason
    assert decide(BOTH, make_scores(0.05, -0.01), is_refresh=False).passed


def test_undecided_refresh_passes_only_where_queries_are_too_few():
    """A mean within the margin and a bound outside: with little noise it is refused, with much it passes."""
    little = decide(BOTH, make_scores(noise(0.08) - 0.015), is_refresh=True)
    assert not little.passed and "may be -0.02" in little.reason
    much = decide(BOTH, make_scores(noise(0.6) - 0.015), is_refresh=True)
    assert much.passed
    assert "160 queries in 8 genres are too few for a test, the means decide, margin 0.02" in much.reason


def test_few_genres_refuse_another_recipe_and_pass_a_refresh():
    genres = np.arange(40) % 4
    scores = make_scores(np.full(40, 0.1), genres=genres)
    decision = decide(BOTH, scores, is_refresh=False)
    assert not decision.passed
    assert "4 genres are too few, 5 are needed to test other settings; the champion stays" in decision.reason
    refresh = decide(BOTH, scores, is_refresh=True)
    assert refresh.passed and "40 queries in 4 genres are too few for a test" in refresh.reason


def test_few_evaluated_queries_are_not_used():
    few = METRICS | {"evaluated_queries": 9}
    decision = decide({"model": few, "champion": few | {"coverage": 0.95}}, QueryScores(), is_refresh=True)
    assert not decision.passed
    assert decision.reason == "refused: coverage 0.900, the champion's 0.950, margin 0.02"


def test_unlabelled_gate_names_the_worse_metrics():
    worse = UNLABELLED | {"silhouette": 0.05, "index_recall_at_10": 0.9}
    metrics = {"model": worse, "champion": UNLABELLED}
    decision = decide(metrics, QueryScores(), is_refresh=True)
    assert not decision.passed
    assert "silhouette 0.050" in decision.reason and "index recall" in decision.reason
    assert "coverage" not in decision.reason
    assert decide(metrics, QueryScores(), is_refresh=True, margin=0.1).passed
    same = {"model": UNLABELLED, "champion": UNLABELLED}
    assert decide(same, QueryScores(), is_refresh=False, margin=0).passed


def test_next_play_recall_decides_without_labels():
    recall = np.random.default_rng(0).uniform(0, 0.5, 30)
    scores = {
        "model": {"next_play_recall_at_10": recall},
        "champion": {"next_play_recall_at_10": recall + 0.1},
    }
    metrics = {
        system: UNLABELLED | {"next_play_recall_at_10": float(values["next_play_recall_at_10"].mean())}
        for system, values in scores.items()
    }
    decision = decide(metrics, QueryScores(scores=scores), is_refresh=True)
    assert not decision.passed and decision.reason.startswith("refused: next play recall")
    swapped = QueryScores(scores={"model": scores["champion"], "champion": scores["model"]})
    better = decide(metrics, swapped, is_refresh=False)
    assert better.passed and "30 users" in better.reason


def test_model_without_evaluation_is_refused():
    assert decide({}, QueryScores(), is_refresh=True).reason.startswith("refused: it was not evaluated")


def test_evaluation_without_scores_is_refused():
    """Segue before 0.2 did not store them."""
    decision = decide(BOTH, QueryScores(), is_refresh=True)
    assert not decision.passed and decision.reason.endswith("are missing; run `segue evaluate`")


def test_champion_that_cannot_be_compared_lets_pass():
    assert decide({"model": METRICS}, QueryScores(), is_refresh=False).passed


def test_scores_survive_their_file():
    scores = make_scores(noise())
    read = QueryScores.from_json(scores.to_json())
    np.testing.assert_allclose(
        read.compare("genre_map").differences, scores.compare("genre_map").differences, atol=1e-6
    )
    np.testing.assert_array_equal(read.compare("genre_map").units, scores.compare("genre_map").units)
    assert read.compare("next_play_recall_at_10") is None
