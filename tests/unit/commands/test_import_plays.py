"""What the import refuses before anything is sent."""

import argparse

import pytest

from jobs.commands import import_plays
from jobs.errors import InputError


@pytest.mark.parametrize(
    ("name", "is_valid"), [("UTC", True), ("Europe/Berlin", True), ("Mars", False), ("../x", False)]
)
def test_timezone_is_checked(name, is_valid):
    parser = argparse.ArgumentParser()
    import_plays.add_arguments(parser)
    given = parser.parse_args(["x.csv", "--timezone", name]).timezone
    if is_valid:
        assert str(import_plays._timezone(given)) == name
        return
    with pytest.raises(InputError, match="--timezone: expected a zone as in Europe/Berlin"):
        import_plays._timezone(given)


def test_history_without_user_is_refused_before_anything_is_sent(tmp_path):
    (tmp_path / "s.csv").write_text("artist,track,date\nA,B,21 Nov 2021 20:15\n")
    import_plays._check(tmp_path / "s.csv", "rob")
    with pytest.raises(InputError, match="--user: expected the user"):
        import_plays._check(tmp_path / "s.csv", None)
