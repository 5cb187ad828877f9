"""Manage the player's users and their app passwords, and copies of the database that has them."""

import argparse
import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import settings
from jobs.commands import accounts_copies
from jobs.errors import InputError, StepError
from jobs.progress import StepResult

if TYPE_CHECKING:
    from serving.db.accounts import Accounts
    from serving.db.database import Database

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

    forward = _add_action(
        actions, "forward", "forward a user's plays to ListenBrainz or Last.fm from now on, or stop"
    )
    forward.add_argument("service", choices=("listenbrainz", "lastfm"))
    forward.add_argument(
        "--token-file",
        metavar="FILE",
        help="read ListenBrainz' user token from the first line of FILE, or of stdin if - (default: ask)",
    )
    forward.add_argument(
        "--stop", action="store_true", help="forward nothing any more, and forget what waits"
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
        if arguments.action == "forward":
            _forward(database, accounts, arguments)
        else:
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


def _forward(database: "Database", accounts: "Accounts", arguments: argparse.Namespace) -> None:
    from serving.db.accounts import LOCAL_USER
    from serving.db.forwarding import Destination, Forwarding

    names = dict(accounts.list_users()) or {LOCAL_USER: False}
    if arguments.name not in names:
        raise InputError(f"expected the name of a user, found {arguments.name!r}")
    to = Destination(arguments.name, arguments.service)
    forwarding = Forwarding(database)
    if arguments.stop:
        forwarding.remove(to)
    elif arguments.service == "lastfm":
        forwarding.set_token(to, _log_in_at_lastfm())
    else:
        forwarding.set_token(to, _read_token(arguments.token_file))


def _log_in_at_lastfm() -> str:
    """Return a session key that the user has allowed on Last.fm's page. InputError or StepError for none."""
    import requests

    from serving.lastfm_service import LastFm, LastFmError

    service = LastFm(**settings.lastfm())
    if not service.is_configured:
        raise InputError("expected SEGUE_LASTFM_KEY and SEGUE_LASTFM_SECRET of your API account, found none")
    try:
        token, page = service.login_page()
        print(f"  open and allow  {page}")
        print("  then press Enter", flush=True)
        sys.stdin.readline()
        return service.session_key(token)
    except (LastFmError, requests.RequestException) as error:
        found = str(error) if isinstance(error, LastFmError) else type(error).__name__
        raise StepError(
            f"expected a session of Last.fm, found {found[:200]!r}; run the command again"
        ) from error


def _read_token(file: str | None) -> str:
    token = _read_line(file, "--token-file") if file is not None else _ask("token")
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,128}", token):
        raise InputError(
            "expected ListenBrainz' user token, 8 to 128 letters, digits and dashes; found another text"
        )
    return token


def _read_line(file: str, option: str) -> str:
    """Return the first line of a file, or of stdin for `-`."""
    try:
        if file == "-":
            return sys.stdin.readline().rstrip("\r\n")
        return Path(file).expanduser().read_text().split("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option}: expected a file that can be read as text, found {error}") from error


def _ask(what: str) -> str:
    """Return what is typed on the terminal, unseen."""
    if not sys.stdin.isatty():
        raise InputError(
            f"expected a terminal to ask for the {what}, found none; give --{what}-file - and pipe it in"
        )
    return getpass.getpass(f"{what}: ")


def _read_password(file: str | None) -> str:
    """Return the password from a file's first line, from stdin (`-`), or from the terminal (None)."""
    if file is not None:
        return _read_line(file, "--password-file")
    password = _ask("password")
    if getpass.getpass("once more: ") != password:
        raise InputError("expected the same password twice, found two different ones")
    return password
