"""Free TCP ports of this machine (127.0.0.1)."""

import socket
from collections.abc import Collection
from contextlib import suppress

from jobs.errors import InputError


def free_port(requested: int | None, usual: int, taken: Collection[int]) -> int:
    """Return the requested port; without one the usual port, or any free one if that is in use.

    Parameters
    ----------
    requested
        The port that the user asked for, or None.
    usual
        The port to prefer if none is requested; 0 for any.
    taken
        Ports that are free but promised to another service.

    Raises
    ------
    InputError
        The requested port is in use.
    """
    for port in [requested] if requested else [usual, 0]:
        found = _bind(port)
        if found is not None and found not in taken:
            return found
    raise InputError(
        f"expected port {requested} of 127.0.0.1 to be free, found it in use; choose another one"
    )


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    return _bind(port) is not None


def _bind(port: int) -> int | None:
    """Bind a port for a moment (0: any); return its number, or None if it is in use."""
    with socket.socket() as probe, suppress(OSError):
        # A port whose connections have just been closed counts as free, as for the servers themselves.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
    return None
