"""Manage the player's users and their app passwords, and copies of the database that has them."""

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import settings
from jobs.commands import accounts_copies
from jobs.errors import InputError
from jobs.progress import StepResult

if TYPE_CHECKING:
    from serving.db.accounts import Accounts

_BACKUP_HELP = f"copy the accounts database into the lake, which keeps {accounts_copies.MAX_COPIES} copies"
_NAME_HELP = "user name: letters a-z, digits, dots, dashes and underscores"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-parser for each action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = _add_action(actions, "add", "add a user")
    add.add_argument("--admin", action="store_true", help="allow the user to manage users on the page")
    add.add_argument(
        "--restore", action="store_true", help="add a removed user again, with the likes and plays of before"
    )
    _add_password_argument(add)

    password = _add_action(actions, "password", "set a user's password")
    _add_password_argument(password)

    app_password = _add_action(actions, "app-password", "create an app password for a user's other player")
    app_password.add_argument(
        "--label",
        default="client",
        help="name of the other player, as the page lists it (default %(default)s)",
    )

    _add_action(actions, "remove", "remove a user; the likes and plays stay")

    _add_lake_action(actions, "backup", _BACKUP_HELP)
    _add_lake_action(actions, "recover", "take the newest copy from the lake, where there is no database yet")

    _add_lake_action(actions, "list", "list the users")


def _add_action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    """Add the sub-parser of an action on one user; return it."""
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument("name", help=_NAME_HELP)
    settings.add_arguments(parser)
    return parser


def _add_lake_action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> None:
    """Add the sub-parser of an action on the whole database."""
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    settings.add_arguments(parser)


def _add_password_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="read the password from the first line of FILE, or of stdin if - (default: ask on the terminal)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Run the action; return the count of users. InputError for an unusable name or password."""
    from serving.db.accounts import Accounts
    from serving.db.database import Database

    lake = settings.lake_path(arguments.lake)
    if settings.lake_store(arguments.lake) is not None:
        lake.mkdir(parents=True, exist_ok=True)
    if not lake.is_dir():
        raise InputError(f"--lake: expected the folder of a lake, found none at {lake}")
    if arguments.action == "recover":
        from jobs.lake.storage import open_lake

        print(f"  recovered    {accounts_copies.recover(open_lake(arguments))}")
    database = Database(lake)
    try:
        accounts = Accounts(database)
        _run_action(accounts, arguments)
        return StepResult({"users": len(accounts.list_users())})
    finally:
        database.close()


def _run_action(accounts: "Accounts", arguments: argparse.Namespace) -> None:
    from serving.db.accounts import validate_name

    match arguments.action:
        case "add":
            validate_name(arguments.name)  # before the password is asked for
            password = _read_password(arguments.password_file)
            accounts.add(arguments.name, password, admin=arguments.admin, restore=arguments.restore)
        case "password":
            accounts.set_password(arguments.name, _read_password(arguments.password_file))
        case "app-password":
            if arguments.name not in dict(accounts.list_users()):
                raise InputError(f"expected the name of a user, found {arguments.name!r}")
            app_password = accounts.add_app_password(arguments.name, arguments.label)
            print(f"  app password  {app_password.secret}")
        case "remove":
            accounts.remove(arguments.name)
        case "backup":
            from jobs.lake.storage import open_lake

            print(f"  copy         {accounts_copies.write(open_lake(arguments))}")
        case "list":
            for name, is_admin in accounts.list_users():
                print(f"  {name}{'  admin' if is_admin else ''}")


def _read_password(file: str | None) -> str:
    """Return the password from a file's first line, from stdin (`-`), or from the terminal (None)."""
    if file is not None:
        try:
            if file == "-":
                return sys.stdin.readline().rstrip("\r\n")
            return Path(file).expanduser().read_text().split("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"--password-file: expected a file that can be read as text, found {error}"
            ) from error
    if not sys.stdin.isatty():
        raise InputError(
            "expected a terminal to ask for the password, found none; give --password-file - and pipe it in"
        )
    password = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != password:
        raise InputError("expected the same password twice, found two different ones")
    return password
