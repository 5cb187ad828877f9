"""System methods, and what a client may be: any version, any user's avatar."""

import io

import pytest
from PIL import Image

from serving.avatars import avatar


@pytest.mark.parametrize("version", ["0.9.9", "1.16.1", "2.0.0", "x"])
def test_version_of_a_client_is_not_judged(call, version):
    assert call("ping", v=version)["status"] == "ok"


def test_avatar_is_drawn_and_always_the_same(ask):
    answer = ask("getAvatar", username="anna")
    assert Image.open(io.BytesIO(answer.content)).size == (300, 300)
    assert (
        answer.content
        == ask("getAvatar", username="anna").content
        != ask("getAvatar", username="bert").content
    )
    again = ask("getAvatar", username="anna", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content
    for name in ("", "Ω", "🎧", "x" * 10_000):
        assert avatar(name)[:4] == b"\x89PNG"


def test_user_has_every_role(call):
    user = call("getUser")["user"]
    assert user["videoConversionRole"] is False and user["shareRole"] is True


def test_extensions_are_announced(call):
    names = {each["name"] for each in call("getOpenSubsonicExtensions")["openSubsonicExtensions"]}
    assert {
        "indexBasedQueue",
        "playbackReport",
        "topSongsByArtistId",
        "transcodeOffset",
        "transcoding",
    } <= names
