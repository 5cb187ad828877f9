"""Serve the player over one lake: the page, its API, and the APIs of other players."""

import argparse
import logging

from jobs import settings
from jobs.errors import InputError, StepError
from jobs.progress import StepResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--port", type=int, default=8000, help="player port (default %(default)s)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default %(default)s); others are served only once there is a user",
    )
    parser.add_argument(
        "--behind-tls",
        action="store_true",
        help="trust X-Forwarded-Proto and X-Forwarded-For from a TLS proxy on this machine",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Serve until SIGTERM or SIGINT. InputError if the port is taken or there is no lake."""
    from serving import app, http_server

    lake = settings.lake_path(arguments.lake)
    if not lake.is_dir() and settings.lake_store(arguments.lake) is None:
        raise InputError(
            f"--lake: expected the folder of a lake, found none at {lake}; "
            "`segue run --library DIR` creates one"
        )
    try:
        listening_socket = http_server.bind(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"expected {arguments.host}:{arguments.port} to be free, found: {error}; choose another --port"
        ) from error
    store = settings.lake_store(arguments.lake)
    application = app.create_app(lake, store=store, mongo=arguments.mongo, kafka=arguments.kafka)
    server = http_server.build_server(application, behind_tls=arguments.behind_tls)
    host, port = listening_socket.getsockname()[:2]
    logging.getLogger("segue").info("http://%s:%d", host, port)
    server.run(sockets=[listening_socket])
    if not server.started:
        raise StepError("expected the server to start, found it ended; see the lines above")
    return StepResult()
