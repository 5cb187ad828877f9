"""Internet radio stations: one list for all, changed by admins."""

import pytest


def stations(call, **values):
    return call("getInternetRadioStations", **values)["internetRadioStations"]["internetRadioStation"]


def test_station_is_added_changed_and_deleted(call):
    call(
        "createInternetRadioStation",
        name="One 🎧",
        streamUrl="http://127.0.0.1:9/a",
        homepageUrl="https://127.0.0.1",
    )
    (station,) = stations(call)
    assert station == {
        **station,
        "name": "One 🎧",
        "streamUrl": "http://127.0.0.1:9/a",
        "homePageUrl": "https://127.0.0.1",
    }
    call("updateInternetRadioStation", id=station["id"], name="Two", streamUrl="http://127.0.0.1:9/b")
    assert stations(call) == [{"id": station["id"], "name": "Two", "streamUrl": "http://127.0.0.1:9/b"}]
    assert call("deleteInternetRadioStation", id=station["id"])["status"] == "ok"
    assert (
        stations(call) == [] and call("deleteInternetRadioStation", id=station["id"])["error"]["code"] == 70
    )


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("x", "file:///etc/passwd"),
        ("x", "javascript:alert(1)"),
        ("x", "http://"),
        ("x", "http://["),
        (" ", "http://a"),
    ],
)
def test_invalid_station_is_refused(call, name, url):
    answer = call("createInternetRadioStation", name=name, streamUrl=url)
    assert answer["error"]["message"].startswith(("streamUrl: expected", "name: expected"))


def test_only_an_admin_changes_stations(call, state):
    state.accounts.add("anna", "a good password", admin=True, restore=True)
    state.accounts.add("bert", "a good password", restore=True)
    given = {"name": "x", "streamUrl": "http://127.0.0.1"}
    assert call("createInternetRadioStation", user="bert", **given)["error"]["code"] == 50
    assert call("createInternetRadioStation", user="anna", **given)["status"] == "ok"
    assert [each["name"] for each in stations(call, user="bert")] == ["x"]
    for name in ("anna", "bert"):
        state.accounts.remove(name)
