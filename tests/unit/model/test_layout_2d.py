"""The map: tracks that sound alike lie together."""

import numpy as np

from jobs.model import layout_2d


def planted(groups, each, dimensions=8):
    random = np.random.default_rng(1)
    centres = np.eye(dimensions)[:groups].repeat(each, axis=0)
    vectors = centres + random.normal(0, 0.05, centres.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), np.arange(
        groups
    ).repeat(each)


def share_beside_their_own(points, groups):
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return (groups[distances.argmin(axis=1)] == groups).mean()


def test_alike_is_near_and_everything_is_on_the_map():
    vectors, groups = planted(4, 30)
    points = layout_2d.layout_2d(vectors)
    assert points.shape == (120, 2) and np.abs(points).max() <= 1
    assert share_beside_their_own(points, groups) > 0.95
    assert (points == layout_2d.layout_2d(vectors)).all()


def test_tracks_beyond_those_placed_go_where_they_sound_alike(monkeypatch):
    monkeypatch.setattr(layout_2d, "_PLACED", 60)
    vectors, groups = planted(4, 50)
    points = layout_2d.layout_2d(vectors)
    assert share_beside_their_own(points, groups) > 0.95 and len(np.unique(points, axis=0)) > 150


def test_a_handful_of_tracks_has_a_map_too():
    assert layout_2d.layout_2d(planted(2, 1)[0]).tolist() == [[-0.5, 0], [0.5, 0]]
    assert layout_2d.layout_2d(np.zeros((0, 8), np.float32)).shape == (0, 2)
