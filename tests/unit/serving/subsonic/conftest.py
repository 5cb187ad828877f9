"""Fixtures: a server over the synthetic lake, MongoDB and Kafka away, and calls of Subsonic's methods."""

import pytest
from starlette.testclient import TestClient

from serving import app
from tests import synthetic_lake


@pytest.fixture(scope="package")
def client(tmp_path_factory):
    lake = synthetic_lake.make(tmp_path_factory.mktemp("subsonic") / "lake", seconds=0.1)
    created = app.create_app(lake.root, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    with TestClient(created, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def state(client):
    return client.app.app.state.app_state


@pytest.fixture
def sent(state, monkeypatch):
    """The events that were given to the producer."""
    sent = []
    monkeypatch.setattr(state.producer, "send", sent.append)
    return sent


@pytest.fixture
def ask(client, state):
    """Return a function that calls a method as a user."""

    def ask(method, /, *, user="local", headers=None, json=None, **values):
        passwords = state.accounts.app_passwords(user) or [state.accounts.add_app_password(user, "test")]
        given = {"u": user, "p": passwords[0].secret, "f": "json", **values}
        address = f"/rest/{method}"
        if json is not None:
            return client.post(address, params=given, json=json)
        return client.get(address, params=given, headers=headers)

    return ask


@pytest.fixture
def call(ask):
    """Return a function that returns a method's answer."""
    return lambda method, /, **values: ask(method, **values).json()["subsonic-response"]
