"""What the import stores of rows that are no listens, and what it refuses before anything is sent."""

import argparse
import json

import pytest

from jobs.commands import import_plays
from jobs.errors import InputError
from jobs.plays.listens import RejectedRow


def test_rejected_rows_are_stored_for_each_file_and_replaced(tmp_path):
    folder = tmp_path / "rejected_listens"
    history = tmp_path / "s.json"
    row = RejectedRow("s.json", 3, "no time", "expected a time, found None", '{"ts": "\udce4"}')
    import_plays.write_rejected(folder, history, [row, row])
    import_plays.write_rejected(folder, tmp_path / "other" / "s.json", [row])
    import_plays.write_rejected(folder, history, [row])
    files = sorted(folder.iterdir())
    assert len(files) == 2 and all(file.name.startswith("s.json-") for file in files)
    for file in files:
        (stored,) = (json.loads(line) for line in file.read_text("utf-8").splitlines())
        assert (stored["row"], stored["reason"]) == (3, "no time") and "udce4" in stored["content"]
    import_plays.write_rejected(folder, history, [])
    assert len(list(folder.iterdir())) == 1


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
