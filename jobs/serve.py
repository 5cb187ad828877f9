"""Serve the player: the page, its API, and the APIs of other players, over one lake."""

import argparse
import logging
import socket
from typing import Any

from jobs import settings
from jobs.errors import InputError, StepError

# Seconds that open streams get to end when the server is told to.
_GRACE_S = 2


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


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until told to end. InputError for a port that is taken."""
    import uvicorn

    from serving import app

    lake = settings.lake_path(arguments.lake)
    if not lake.is_dir():
        raise InputError(
            f"--lake: expected the folder of a lake, found none at {lake}; `segue run --library DIR` makes one"
        )
    try:
        listening = socket.create_server((arguments.host, arguments.port), backlog=2048)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"expected {arguments.host}:{arguments.port} to be free, found: {error}; name another --port"
        ) from error
    application = app.create(lake, mongo=arguments.mongo, kafka=arguments.kafka)
    configuration = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=arguments.behind_tls,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=32 * 1024,
    )
    logging.getLogger("segue").info("http://%s:%d", *listening.getsockname()[:2])
    server = uvicorn.Server(configuration)
    server.run(sockets=[listening])
    if not server.started:
        raise StepError("expected the server to start, found it ended; the lines above say why")
    return {}
