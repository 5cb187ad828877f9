"""What is evaluated: held-out artists where a network was trained, and the challenger beside the champion."""

import numpy as np
import pytest

from jobs.cli import parse
from jobs.lake.feature_columns import MODEL_INPUT_COLUMNS
from jobs.lake.storage import Lake
from jobs.model import fitting, neural, registry
from jobs.model.ivf_index import Clusters
from jobs.model.neural_labels import TEST, cv_fold
from jobs.steps import evaluate
from tests import synthetic_features


@pytest.fixture
def network(models, monkeypatch):
    """Write planted tracks, and make every version a network that adds nothing; return the lake's option."""
    synthetic_features.write(Lake(models))
    columns = MODEL_INPUT_COLUMNS["fma518+1"]
    _, features = synthetic_features.rows(0, noise=1.0)
    values = np.array([[row[name] for name in columns] for row in features])
    embedder, _ = fitting.fit_embedder(values, columns, recipe="fma518", dimensions=8)
    zero_layers = tuple((np.zeros((8, 8)), np.zeros(8)) for _ in range(2))
    centroids = embedder.apply(values)[: synthetic_features.N_GENRES]
    loaded = (neural.add_network(embedder, zero_layers), Clusters(centroids, 1))
    monkeypatch.setattr(registry, "load", lambda version: loaded)
    return ["--lake", str(models)]


@pytest.mark.parametrize("spell", [lambda artist: "", str.upper], ids=["no artist", "upper case"])
def test_network_is_evaluated_on_held_out_artists(network, tmp_path, spell):
    """The folds are those of the tags, however the file spells the artists."""
    file = tmp_path / "labels.csv"
    tracks, _ = synthetic_features.rows(0, noise=1.0)
    lines = (f"{track['track_id']},Rock,{spell(track['artist'])}\n" for track in tracks)
    file.write_text("track_id,genre,artist\n" + "".join(lines))
    evaluate.main(parse(["evaluate", "--labels", str(file), *network]))
    n_queries = registry.evaluation(registry.version(None))["model"]["evaluated_queries"]
    assert n_queries == sum(cv_fold(track["artist"]) == TEST for track in tracks) > 0


def test_newest_version_is_evaluated_without_a_challenger(network):
    assert evaluate.main(parse(["evaluate", *network])).model_version == "3"


def test_challenger_is_evaluated_beside_the_champion(network):
    registry.set_champion("2")
    registry.set_challenger("1")
    assert evaluate.main(parse(["evaluate", *network])).model_version == "1"
    assert registry.version("1").tags["compared_with"] == "2"
    metrics = registry.evaluation(registry.version("1"))
    assert {"model", "champion", "ceiling"} < set(metrics)
    assert metrics["ceiling"]["genre_map"] == 1 >= metrics["model"]["genre_map_ci_high"]
    scores = registry.query_scores(registry.version("1"))
    for system in ("model", "champion"):
        mean = scores.scores[system]["genre_map"].mean()
        assert mean == pytest.approx(metrics[system]["genre_map"], abs=1e-5)
    assert len(scores.track_ids) == len(scores.genres) == metrics["model"]["evaluated_queries"]
    np.testing.assert_array_equal(scores.compare("genre_map").differences, 0)  # both are the same network


def test_evaluation_is_printed_as_a_table(network):
    result = evaluate.main(parse(["evaluate", *network]))
    assert "ceiling" in result.details and max(map(len, result.details.splitlines())) < 80
    assert result.counts["evaluated queries"] > 0
    assert evaluate.main(parse(["evaluate", *network])).details == result.details  # read from MLflow
