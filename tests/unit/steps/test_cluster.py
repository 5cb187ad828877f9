import numpy as np
import pyarrow as pa
import pytest

from jobs.cli import parse
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDERS, VECTORS
from jobs.lake.storage import Lake
from jobs.model.ivf_index import Calibration
from jobs.steps import cluster, embed
from jobs.steps.cluster import KMeansTrial, best_trial, parse_grid
from tests import synthetic_features


def tried(k, silhouette, share, seed=0):
    return KMeansTrial(
        k, seed, np.zeros((k, 2)), np.full(k, 1000 // k), silhouette, Calibration(1, 0.99, share)
    )


def test_the_grid_lies_around_the_root():
    assert parse_grid(None, 400) == [10, 20, 30, 40, 80]


@pytest.mark.parametrize("tracks", [1, 2, 3, 4, 7])
def test_small_libraries_have_a_grid_too(tracks):
    grid = parse_grid(None, tracks)
    assert grid and min(grid) == 2 and max(grid) <= max(tracks - 1, 2)


def test_a_grid_by_hand():
    assert parse_grid("16, 8,8", 5) == [8, 16]
    with pytest.raises(InputError, match="--k: expected numbers from 2.*found '1,8'"):
        parse_grid("1,8", 5)
    with pytest.raises(InputError, match="--k"):
        parse_grid("many", 5)


def test_silhouette_alone_does_not_choose():
    assert best_trial([tried(2, 0.5, 1.0), tried(20, 0.3, 0.2), tried(250, 0.1, 0.1)]).k == 20


def test_cost_alone_does_not_choose():
    assert best_trial([tried(20, 0.6, 0.2), tried(40, 0.2, 0.1)]).k == 20


def test_centroids_are_compared_too():
    assert tried(100, 0.1, 0.25).scanned_fraction == pytest.approx(0.35)


def test_the_smaller_k_and_the_first_seed_of_equals():
    assert best_trial([tried(8, 0.5, 0.3), tried(4, 0.496, 0.3)]).k == 4
    assert best_trial([tried(8, 0.5, 0.3, seed=1), tried(8, 0.5, 0.3, seed=0)]).seed == 0


def test_vectors_of_another_recipe_are_refused_and_embed_brings_both_together(tmp_path, monkeypatch):
    """`embed` was killed between EMBEDDERS and VECTORS; then it runs with the arguments that the vectors are of."""

    def written(master, lake, training, embedder, embedder_id):
        rows = [{"embedder_id": embedder_id, "track_id": i, "embedding": [1.0]} for i, _ in training.keys]
        lake.commit_arrow(VECTORS, pa.Table.from_pylist(rows, schema=VECTORS.arrow_schema()).to_batches())

    def killed(*_):
        raise KeyboardInterrupt

    lake = Lake(tmp_path)
    synthetic_features.write(lake)
    at = ("--lake", str(tmp_path))
    monkeypatch.setattr(embed, "_write", written)
    first = embed.main(parse(["embed", *at]))
    assert (
        first.counts["new"] == len(lake.read_arrow(VECTORS))
        and embed.main(parse(["embed", *at])).counts["new"] == 0
    )
    monkeypatch.setattr(embed, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        embed.main(parse(["embed", "--dimensions", "2", *at]))
    with pytest.raises(StepError, match="VECTORS of what is in EMBEDDERS.*run `segue embed`"):
        cluster.main(parse(["cluster", *at]))
    monkeypatch.setattr(embed, "_write", written)
    assert embed.main(parse(["embed", *at])) == first
    for table in (EMBEDDERS, VECTORS):
        assert set(lake.read_arrow(table, "embedder_id")["embedder_id"].to_pylist()) == {
            first["embedder"]
        }
