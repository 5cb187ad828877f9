"""`segue user` as an admin types it."""

import io

import pytest

from jobs.cli import main
from serving.db.accounts import Accounts
from serving.db.database import Database


@pytest.fixture
def user(tmp_path, monkeypatch, capsys):
    def run(*words, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        status = main(["user", *words, "--lake", str(tmp_path)])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_users_are_added_listed_changed_and_removed(user, tmp_path):
    assert user("add", "anna", "--admin", "--password-file", "-", typed="a good password\n") == (
        0,
        "user: 1 users\n",
    )
    assert "anna  admin" in user("list")[1]
    user("password", "anna", "--password-file", "-", typed="another good one\n")
    status, said = user("client", "anna", "--label", "phone")
    ledger = Database(tmp_path)
    accounts = Accounts(ledger)
    assert accounts.login("anna", "another good one") and not accounts.login("anna", "a good password")
    assert status == 0 and accounts.user_by_app_password(said.split()[2]).name == "anna"
    ledger.close()
    assert user("remove", "anna") == (0, "user: 0 users\n")


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["add"], "", "expected a name"),
        (["add", "Ä", "--password-file", "-"], "a good password", "expected a name of 1 to 64"),
        (["add", "anna", "--password-file", "-"], "short", "8 to 200 characters, found 5"),
        (["add", "anna", "--password-file", "/nowhere"], "", "expected a file"),
        (["add", "anna"], "", "expected a terminal"),
        (["remove", "bert"], "", "expected the name of a user"),
        (["client", "bert"], "", "expected the name of a user"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(user, words, typed, said):
    status, told = user(*words, typed=typed)
    assert status == 2 and said in told and told.count("\n") == 1
