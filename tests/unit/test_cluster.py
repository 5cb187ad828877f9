import pytest

from jobs.cluster import choose, parse_grid
from jobs.errors import InputError


def test_the_grid_lies_around_the_root():
    assert parse_grid(None, 400) == [5, 10, 20, 40, 80]


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
    assert choose({2: 0.9, 8: 0.3, 10: 0.5, 20: 0.4, 50: 0.1}, 100) == 10


def test_the_smaller_k_of_equals_and_any_k_where_none_is_near():
    assert choose({8: 0.5, 12: 0.5}, 100) == 8
    assert choose({2: 0.1, 3: 0.2}, 10_000) == 3
