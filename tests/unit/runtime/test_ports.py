"""A free port is found, and a port in use is refused or avoided."""

import socket

import pytest

from jobs.errors import InputError
from jobs.runtime import ports


@pytest.fixture
def port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_requested_port_is_returned_if_free():
    port = ports.free_port(None, 0, taken=())
    assert ports.is_free(port)
    assert ports.free_port(port, 8080, taken=()) == port


def test_requested_port_in_use_is_refused(port_in_use):
    assert not ports.is_free(port_in_use)
    with pytest.raises(InputError, match=f"expected port {port_in_use} .* to be free, found it in use"):
        ports.free_port(port_in_use, 8080, taken=())


def test_usual_port_in_use_gives_another(port_in_use):
    assert ports.free_port(None, port_in_use, taken=()) != port_in_use


def test_taken_port_is_not_given_twice():
    usual = ports.free_port(None, 0, taken=())
    assert ports.free_port(None, usual, taken=()) == usual
    assert ports.free_port(None, usual, taken=(usual,)) != usual
