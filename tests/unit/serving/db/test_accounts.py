"""Users, sessions and app passwords."""

import sqlite3
import stat

import pytest

from jobs.errors import InputError
from serving.db.accounts import Accounts
from serving.db.database import Database


@pytest.fixture
def accounts(tmp_path):
    database = Database(tmp_path)
    yield Accounts(database)
    database.close()


def test_session_needs_the_right_password(accounts):
    accounts.add("anna", "a good password", admin=True)
    assert accounts.login("anna", "another one") is accounts.login("nobody", "a good password") is None
    token = accounts.login("anna", "a good password")
    assert accounts.user_by_session(token).name == "anna" and accounts.user_by_session(token).admin
    assert accounts.user_by_session(token + "x") is None
    accounts.logout(token)
    assert accounts.user_by_session(token) is None


def test_file_has_no_password_and_no_session_token(accounts, tmp_path):
    accounts.add("anna", "a good password")
    token = accounts.login("anna", "a good password")
    folder = tmp_path / "accounts"
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"a good password" not in written and token.encode() not in written and b"$argon2id$" in written
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["", "Anna", "a b", "../x", "local", "a" * 65, "-x"])
def test_invalid_name_is_refused(accounts, name):
    with pytest.raises(InputError, match="expected a name"):
        accounts.add(name, "a good password")


def test_name_in_use_and_short_password_are_refused(accounts):
    accounts.add("anna", "a good password")
    with pytest.raises(InputError, match="nobody has"):
        accounts.add("anna", "another password")
    with pytest.raises(InputError, match="8 to 200 characters, found 3"):
        accounts.add("bert", "abc")


def test_new_password_ends_sessions_removal_ends_all(accounts):
    accounts.add("anna", "a good password")
    token = accounts.login("anna", "a good password")
    accounts.set_password("anna", "a better password")
    assert accounts.user_by_session(token) is None
    secret = accounts.add_app_password("anna", "phone").secret
    assert accounts.user_by_app_password(secret).name == "anna"
    accounts.remove("anna")
    assert accounts.user_by_app_password(secret) is None and not accounts.has_users()


def test_removed_name_needs_restore(accounts):
    """Likes and plays are kept under it."""
    accounts.add("anna", "a good password")
    accounts.remove("anna")
    with pytest.raises(InputError, match="expected a new name, found 'anna'.*--restore"):
        accounts.add("anna", "another password")
    accounts.add("anna", "another password", restore=True)
    assert accounts.check_password("anna", "another password")
    accounts.add("bert", "a good password")


def test_app_password_is_revoked_by_its_user_alone(accounts):
    made = accounts.add_app_password("anna", "phone")
    assert not accounts.remove_app_password("bert", made.password_id)
    assert accounts.remove_app_password("anna", made.password_id) and accounts.app_passwords("anna") == []


def test_accounts_survive_a_process_that_does_not_close(tmp_path):
    database = Database(tmp_path)
    Accounts(database).add("anna", "a good password")
    copy = sqlite3.connect(
        tmp_path / "accounts" / "accounts.db"
    )  # as another process sees it, the first never closed
    assert copy.execute("SELECT name FROM users").fetchall() == [("anna",)]
    database.close()
