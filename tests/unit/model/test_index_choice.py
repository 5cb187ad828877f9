"""Which index is chosen: by measured cost, and exact search where nothing else can be cheaper."""

from dataclasses import replace

import numpy as np

from jobs.model import index_choice
from jobs.model.clustered_vectors import ClusteredVectors
from jobs.model.embedding import l2_normalize, nearest_cluster
from jobs.model.index_choice import MeasuredIndex, choose_index
from jobs.model.search_index import IndexSettings


def clustered(n_tracks, dimensions=48, groups=40):
    rng = np.random.default_rng(0)
    centers = l2_normalize(rng.standard_normal((groups, dimensions)))
    points = centers[rng.integers(groups, size=n_tracks)] + 0.07 * rng.standard_normal((n_tracks, dimensions))
    vectors = l2_normalize(points)
    clusters = nearest_cluster(vectors, centers)
    order = np.argsort(clusters, kind="stable")
    numbers, sizes = np.unique(clusters, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ids = np.array([str(row).encode() for row in order])
    return ClusteredVectors(ids, vectors[order], starts, numbers)


def test_small_collection_gets_exact_search_without_a_measurement():
    choice = choose_index(clustered(300), nprobe=3)
    assert choice.settings == IndexSettings("exact") and not choice.measured
    assert choice.reason == "300 tracks, exact up to 5,000"


def test_larger_collection_is_measured(monkeypatch):
    monkeypatch.setattr(index_choice, "_MAX_SAMPLE", 1_000)
    choice = choose_index(clustered(6_000), nprobe=4)
    exact, ivf = choice.measured[:2]
    assert (exact.settings.kind, exact.recall) == ("exact", 1.0)
    assert ivf.settings == IndexSettings("ivf", 4) and ivf.recall > 0.9
    assert "exact" in choice.reason and "ivf" in choice.reason and "hnsw" in choice.reason
    assert all(each.single_s > 0 and each.batch_s > 0 for each in choice.measured)


MEASURED = MeasuredIndex(
    settings=IndexSettings("exact"), recall=1.0, build_s=0.0, single_s=0.01, batch_s=0.01, private_bytes=0
)


def test_less_simple_index_must_be_cheaper_by_the_margin_and_find_enough():
    ivf = replace(MEASURED, settings=IndexSettings("ivf", 9), single_s=0.004, batch_s=0.009)
    assert index_choice._best([MEASURED, ivf], 100) == MEASURED  # 0.7 s are no reason
    assert index_choice._best([MEASURED, ivf], 1_000) == ivf
    assert index_choice._best([MEASURED, replace(ivf, single_s=0.005)], 1_000) == MEASURED
    assert index_choice._best([MEASURED, replace(ivf, recall=0.96)], 1_000) == MEASURED
    # Building it counts: 20 s for a thousand tracks.
    graph = replace(MEASURED, settings=IndexSettings("hnsw", 64), single_s=1e-4, batch_s=1e-4, build_s=20.0)
    assert index_choice._best([MEASURED, ivf, graph], 1_000) == ivf
    assert index_choice._best([MEASURED, ivf, graph], 100_000) == graph


def test_graph_is_built_over_all_tracks_only_if_it_can_win(monkeypatch):
    vectors = clustered(6_000)
    monkeypatch.setattr(index_choice, "_MAX_SAMPLE", 1_000)
    monkeypatch.setattr(index_choice, "_MIN_SAVED_S", 0.0)
    monkeypatch.setattr(index_choice, "_graph_at_least_s", lambda *_: 0.0)
    kinds = [each.settings.kind for each in choose_index(vectors, nprobe=4).measured]
    assert kinds == ["exact", "ivf", "hnsw"]
    monkeypatch.setattr(index_choice, "_graph_at_least_s", lambda *_: 1e9)
    choice = choose_index(vectors, nprobe=4)
    assert [each.settings.kind for each in choice.measured] == ["exact", "ivf"]
    assert choice.reason.endswith("hnsw at least 1000000000")
