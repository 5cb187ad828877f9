"""Serve the player: the page, its API, and the APIs of other players, over one lake."""

import argparse
import logging

from jobs import settings
from jobs.errors import InputError, StepError
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--port", type=int, default=8000, help="default %(default)s")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; others than this machine are served only once there is a user (default %(default)s)",
    )
    parser.add_argument(
        "--behind-tls",
        action="store_true",
        help="a reverse proxy on this machine speaks TLS and sets X-Forwarded-Proto and X-Forwarded-For",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Serve until told to end. InputError for a port that is taken."""
    from serving import app, http_server

    lake = settings.lake_path(arguments.lake)
    if not lake.is_dir():
        raise InputError(
            f"--lake: expected the folder of a lake, found none at {lake}; `segue run --library DIR` makes one"
        )
    try:
        listening = http_server.bind(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"expected {arguments.host}:{arguments.port} to be free, found: {error}; name another --port"
        ) from error
    made = http_server.build_server(
        app.create_app(lake, mongo=arguments.mongo, kafka=arguments.kafka), behind_tls=arguments.behind_tls
    )
    logging.getLogger("segue").info("http://%s:%d", *listening.getsockname()[:2])
    made.run(sockets=[listening])
    if not made.started:
        raise StepError("expected the server to start, found it ended; the lines above say why")
    return StepResult()
