"""`segue user` as an administrator types it."""

import io
import shutil

import pytest

from jobs.cli import main
from jobs.commands import accounts_copies
from jobs.lake.storage import lake_at
from serving.db.accounts import Accounts
from serving.db.database import Database
from serving.db.forwarding import Destination, Forwarding
from serving.lastfm_service import LastFm

SERVICE = {"address": "http://127.0.0.1:9/", "page": "https://page.example/"}


@pytest.fixture
def user(tmp_path, monkeypatch, capsys):
    """Return a function that runs `segue user …` and returns its exit status and output."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = main(["user", *arguments, "--lake", str(tmp_path)])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def test_user_is_added_listed_changed_and_removed(user, tmp_path):
    added = user("add", "anna", "--admin", "--password-file", "-", stdin="a good password\n")
    assert added == (0, "user: 1 users\n")
    assert "anna  admin" in user("list")[1]
    user("password", "anna", "--password-file", "-", stdin="another good one\n")
    status, output = user("app-password", "anna", "--label", "phone")
    database = Database(tmp_path)
    accounts = Accounts(database)
    assert accounts.login("anna", "another good one")
    assert not accounts.login("anna", "a good password")
    assert status == 0 and accounts.user_by_app_password(output.split()[2]).name == "anna"
    database.close()
    assert user("remove", "anna") == (0, "user: 0 users\n")


def test_removed_user_is_added_again_only_with_restore(user):
    add = ("add", "anna", "--password-file", "-")
    user(*add, stdin="a good password\n")
    user("remove", "anna")
    status, output = user(*add, stdin="a good password\n")
    assert status == 2 and "segue user add anna --restore" in output
    assert user(*add, "--restore", stdin="a good password\n") == (0, "user: 1 users\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["add", "Ä", "--password-file", "-"], "a good password", "expected a name of 1 to 64"),
        (["add", "anna", "--password-file", "-"], "short", "8 to 200 characters, found 5"),
        (["add", "anna", "--password-file", "/nowhere"], "", "expected a file"),
        (["add", "anna"], "", "expected a terminal"),
        (["remove", "bert"], "", "expected the name of a user"),
        (["app-password", "bert"], "", "expected the name of a user"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(user, arguments, stdin, message):
    status, output = user(*arguments, stdin=stdin)
    assert status == 2 and message in output and output.count("\n") == 1


def test_password_file_that_is_no_text_is_bad_input(user, tmp_path):
    (tmp_path / "image").write_bytes(b"\xff\xd8")
    status, output = user("add", "anna", "--password-file", str(tmp_path / "image"))
    assert (
        status == 2
        and "--password-file: expected a file that can be read as text" in output
        and output.count("\n") == 1
    )


@pytest.mark.parametrize("arguments", [["add"], ["app-password"], []])
def test_missing_name_or_action_is_refused(capsys, arguments):
    with pytest.raises(SystemExit) as exit_info:
        main(["user", *arguments])
    assert exit_info.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_database_is_copied_and_recovered(request, tmp_path, monkeypatch, capsys, kind):
    address = str(tmp_path / "lake")
    if kind == "store":
        address = request.getfixturevalue("store_url")
        monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "lake"))
    (tmp_path / "lake").mkdir()

    def user(*arguments):
        status = main(["user", *arguments, "--lake", address])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    assert "expected a copy of the accounts database in the lake, found none" in user("recover")[1]
    (tmp_path / "password").write_text("a good password")
    add = ("--password-file", str(tmp_path / "password"))
    user("add", "anna", *add)
    database = Database(tmp_path / "lake")  # serving has it open
    Accounts(database).add("bert", "another password", admin=False, restore=False)
    names = [user("backup")[1].split()[1] for _ in range(accounts_copies.MAX_COPIES + 2)]
    user("add", "carl", *add)
    database.close()
    copies = lake_at(address).files.copies()
    assert copies == names[2:]
    status, output = user("recover")
    assert status == 2 and "expected no accounts database, found" in output
    shutil.move(tmp_path / "lake" / "accounts", tmp_path / "lost")
    assert user("recover")[0] == 0
    listed = user("list")[1]
    assert "anna" in listed and "bert" in listed and "carl" not in listed
    assert (tmp_path / "lake" / "accounts" / "accounts.db").stat().st_mode & 0o077 == 0


def test_plays_are_forwarded_to_listenbrainz_until_stopped(user, tmp_path):
    user("add", "anna", "--password-file", "-", stdin="a good password\n")
    to = Destination("anna", "listenbrainz")

    def token():
        database = Database(tmp_path)
        found = Forwarding(database).token(to)
        database.close()
        return found

    assert user("forward", *to, "--token-file", "-", stdin="user-token-1\n") == (0, "user: 1 users\n")
    assert token() == "user-token-1"
    for arguments, stdin, message in (
        (("anna", "listenbrainz", "--token-file", "-"), "a b\n", "user token"),
        (("anna", "listenbrainz"), "", "expected a terminal to ask for the token"),
        (("bert", "listenbrainz", "--token-file", "-"), "user-token-2\n", "found 'bert'"),
        (("anna", "lastfm"), "", "SEGUE_LASTFM_KEY"),
    ):
        status, output = user("forward", *arguments, stdin=stdin)
        assert status == 2 and message in output, output
    assert token() == "user-token-1"
    user("forward", *to, "--stop")
    assert token() is None


def test_plays_are_forwarded_to_last_fm_once_it_was_allowed(user, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.settings.lastfm", lambda: {**SERVICE, "key": "k", "secret": "s"})
    monkeypatch.setattr(LastFm, "login_page", lambda _: ("login", "https://page.example/?token=login"))
    monkeypatch.setattr(LastFm, "session_key", lambda _, token: f"session of {token}")
    status, output = user("forward", "local", "lastfm", stdin="\n")
    assert status == 0 and "https://page.example/?token=login" in output and "session of" not in output
    database = Database(tmp_path)
    assert Forwarding(database).token(Destination("local", "lastfm")) == "session of login"
    database.close()
    monkeypatch.undo()
    monkeypatch.setattr("jobs.settings.lastfm", lambda: {**SERVICE, "key": "k", "secret": "s"})
    status, output = user("forward", "local", "lastfm", stdin="\n")
    assert status == 1 and "found 'ConnectionError'" in output
