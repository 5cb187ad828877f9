"""The table of an evaluation."""

from jobs.model.evaluation_report import report

GENRE = {
    f"{name}{suffix}": 0.476
    for name in ("genre_precision_at_10", "genre_map", "genre_r_precision")
    for suffix in ("", "_ci_low", "_ci_high", "_any_artist")
}
MODEL = {
    **GENRE,
    "evaluated_queries": 2000,
    "k_occurrence_skew": 12.345,
    "anti_hub_fraction": 0.25,
    "index_recall_at_10": 0.98,
    "scanned_fraction": 0.125,
    "silhouette": 0.1,
}


def test_table_fits_eighty_columns():
    systems = ("model", "champion", "mfcc_mean", "popularity", "random")
    plays = {"next_play_recall_at_10": 0.1, "next_play_ndcg_at_10": 0.05}
    text = report({**dict.fromkeys(systems, MODEL), "ceiling": GENRE, "collaborative": plays})
    lines = text.splitlines()
    assert max(map(len, lines)) <= 79
    assert lines[0].startswith("2,000 queries by genre")
    assert [line.split()[0] for line in lines[2:9]] == [*systems, "ceiling", "any"]
    assert lines[2].split()[:4] == ["model", "0.476", "[0.48", "0.48]"]
    assert lines[9].startswith("skew: hubness")
    assert "index: recall@10 0.980, scanned fraction 0.125, silhouette 0.100" in lines
    assert lines[-1].split() == ["collaborative", "0.100", "0.050"]


def test_collection_without_genres_has_hubness_alone():
    text = report({"model": {"evaluated_queries": 0, "k_occurrence_skew": 1.5, "anti_hub_fraction": 0.0}})
    assert text.splitlines()[2].split() == ["model", "-", "-", "-", "1.50", "0.00"]
    assert text.endswith("no held-out plays")


def test_empty_evaluation_has_a_table():
    assert report({}).startswith("0 queries")
