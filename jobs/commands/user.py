"""Who may listen: add, list, change and remove users; app passwords for their clients."""

import argparse
import getpass
import sys
from pathlib import Path
from typing import Any

from jobs import settings
from jobs.errors import InputError
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "action", choices=("add", "password", "remove", "list", "client"), help="client: an app password"
    )
    parser.add_argument("name", nargs="?", help="letters a-z, digits, dots, dashes")
    parser.add_argument("--admin", action="store_true", help="add: may add and remove users on the page, too")
    parser.add_argument(
        "--again", action="store_true", help="add: somebody who was removed, with the likes and plays of then"
    )
    parser.add_argument(
        "--label", default="client", help="client: what the app password is for (default %(default)s)"
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="read the password from the file's first line, - for stdin; asked for otherwise",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Do it; return the count of users. InputError for names and passwords that cannot be."""
    from serving.db.accounts import Accounts
    from serving.db.database import Database

    lake = settings.lake_path(arguments.lake)
    if not lake.is_dir():
        raise InputError(f"--lake: expected the folder of a lake, found none at {lake}")
    if arguments.action != "list" and not arguments.name:
        raise InputError(f"expected a name, as in `segue user {arguments.action} anna`, found none")
    ledger = Database(lake)
    try:
        return _act(Accounts(ledger), arguments)
    finally:
        ledger.close()


def _act(accounts: Any, arguments: argparse.Namespace) -> StepResult:
    from serving.db.accounts import validate_name

    if arguments.action == "list":
        for name, admin in accounts.list_users():
            print(f"  {name}{'  admin' if admin else ''}")
    elif arguments.action == "add":
        validate_name(arguments.name)
        accounts.add(
            arguments.name, _password(arguments.password_file), admin=arguments.admin, again=arguments.again
        )
    elif arguments.action == "password":
        accounts.set_password(arguments.name, _password(arguments.password_file))
    elif arguments.action == "remove":
        accounts.remove(arguments.name)
    else:
        if arguments.name not in dict(accounts.list_users()):
            raise InputError(f"expected the name of a user, found {arguments.name!r}")
        print(f"  app password  {accounts.add_app_password(arguments.name, arguments.label).secret}")
    return StepResult({"users": len(accounts.list_users())})


def _password(file: str | None) -> str:
    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if file is not None:
        try:
            return Path(file).read_text().split("\n")[0]
        except OSError as error:
            raise InputError(f"--password-file: expected a file that can be read, found {error}") from error
    if not sys.stdin.isatty():
        raise InputError(
            "expected a terminal to ask for the password, found none; give --password-file - and pipe it in"
        )
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise InputError("expected the same password twice, found two")
    return password
