"""Fixtures: a server over a small lake, MongoDB and Kafka away, and calls of Subsonic's methods.

A module with another lake overrides `lake` or, with `serve`, `client`.
"""

from contextlib import contextmanager

import pytest

from tests import synthetic_lake


@pytest.fixture(scope="session")
def serve():
    """Return a context manager: a client of a server over a lake; `client.state` is the server's state."""
    from starlette.testclient import TestClient

    from serving import app

    @contextmanager
    def serve(lake):
        created = app.create_app(lake.root, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
        with TestClient(created, base_url="http://127.0.0.1") as client:
            client.state = client.app.app.state.app_state
            yield client

    return serve


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("serving") / "lake", seconds=0.1)


@pytest.fixture(scope="module")
def client(serve, lake):
    with serve(lake) as client:
        yield client


@pytest.fixture
def state(client):
    return client.state


@pytest.fixture
def sent(client, monkeypatch):
    """The events that were given to the producer; the limit of them as new afterwards."""
    sent = []
    monkeypatch.setattr(client.state.producer, "send", sent.append)
    yield sent
    client.state.event_limit._levels.clear()


@pytest.fixture
def ask(client):
    """Return a function that calls a method of Subsonic's as a user."""
    accounts = client.state.accounts

    def ask(method, /, *, user="local", headers=None, json=None, path="/rest/", **values):
        passwords = accounts.app_passwords(user) or [accounts.add_app_password(user, "test")]
        given = {"u": user, "p": passwords[0].secret, "f": "json", **values}
        if json is not None:
            return client.post(f"{path}{method}", params=given, json=json, headers=headers)
        return client.get(f"{path}{method}", params=given, headers=headers)

    return ask


@pytest.fixture
def call(ask):
    """Return a function that returns a method's answer."""
    return lambda method, /, **values: ask(method, **values).json()["subsonic-response"]
