"""The map: similar tracks are near."""

import numpy as np

from jobs.model import layout_2d


def planted(groups, tracks_per_group, dimensions=8):
    rng = np.random.default_rng(1)
    centers = np.eye(dimensions)[:groups].repeat(tracks_per_group, axis=0)
    vectors = centers + rng.normal(0, 0.05, centers.shape)
    unit_vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit_vectors, np.arange(groups).repeat(tracks_per_group)


def fraction_beside_own_group(points, groups):
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return (groups[distances.argmin(axis=1)] == groups).mean()


def test_similar_tracks_are_near_and_the_map_is_deterministic():
    vectors, groups = planted(4, 30)
    points = layout_2d.layout_2d(vectors)
    assert points.shape == (120, 2) and np.abs(points).max() <= 1
    assert fraction_beside_own_group(points, groups) > 0.95
    assert (points == layout_2d.layout_2d(vectors)).all()


def test_tracks_beyond_the_limit_are_near_similar_ones(monkeypatch):
    monkeypatch.setattr(layout_2d, "_MAX_TSNE_VECTORS", 60)
    vectors, groups = planted(4, 50)
    points = layout_2d.layout_2d(vectors)
    assert fraction_beside_own_group(points, groups) > 0.95
    assert len(np.unique(points, axis=0)) > 150


def test_few_tracks_have_a_map():
    assert layout_2d.layout_2d(planted(2, 1)[0]).tolist() == [[-0.5, 0], [0.5, 0]]
    assert layout_2d.layout_2d(np.zeros((0, 8), np.float32)).shape == (0, 2)
