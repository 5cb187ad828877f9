"""What Feishin and Supersonic send, request by request: no answer is an error, and each is as documented.

The files in `sequences/` are of recorded sessions; in braces are ids of the library, in the order in which
the session met them. A line has the HTTP method, Subsonic's method and parameters, then a Range or a body.
"""

import hashlib
import json
import time
from pathlib import Path
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest

from serving.subsonic.system import UNSUPPORTED
from tests.unit.serving.subsonic import tagged_library
from tests.unit.serving.subsonic.schema import ENDPOINTS, HEAD, NAMESPACE, fields

FOLDER = Path(__file__).with_name("sequences")
# Where the ids of what a session makes are in the answers.
MADE = {"createPlaylist": "playlist", "getInternetRadioStations": "internetRadioStation"}


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    with serve(tagged_library.make(tmp_path_factory.mktemp("sequences"))) as client:
        client.state.producer.send = lambda _: None
        client.state.accounts.add("anna", "a good password", admin=True)
        yield client


class Session:
    """One client's session: it logs in as the client does and fills in the ids."""

    def __init__(self, client, name, form):
        self._client, self._form = client, form
        _, second, *self.lines = (FOLDER / f"{name}.txt").read_text().splitlines()
        secret = client.state.accounts.add_app_password("anna", name).secret
        token = hashlib.md5(f"{secret}salt".encode()).hexdigest()
        login = dict(word.split("=") for word in second.split()[1:])
        self._login = {"u": "anna", "s": "salt", "t": token, "f": form, **login}
        catalog = client.state.catalog
        tracks = [track.track_id for track in catalog.tracks]
        self._ids = {"song": tracks, "album": list(catalog.albums), "artist": list(catalog.artists)}
        self._ids |= {"playlist": [], "station": []}
        self._words = {"genre": "Folk", "artist": "The Lanterns", "time": str(int(1000 * time.time()))}

    def _filled(self, value):
        if not value.startswith("{"):
            return value
        kind, _, number = value.strip("{}").partition(":")
        return self._ids[kind][int(number) % len(self._ids[kind])] if number else self._words[kind]

    def send(self, line):
        """Send a line's request; return the method's name and the answer."""
        request, _, more = line.partition("\t")
        http_method, name, *query = request.split(" ")
        values = dict(self._login)
        for key, value in parse_qsl("".join(query), keep_blank_values=True):
            values[key] = [*values.get(key, []), self._filled(value)]
        address = f"/rest/{name}"
        if more.startswith("{"):
            answer = self._client.post(address, params=values, json=json.loads(more))
        elif http_method == "POST":
            answer = self._client.post(address, data=values)
        else:
            headers = {"Range": more.removeprefix("Range: ")} if more else {}
            answer = self._client.get(address, params=values, headers=headers)
        return name.removesuffix(".view"), answer

    def take_ids(self, name, answer):
        """Remember the ids of playlists and stations that the session has made."""
        if name not in MADE:
            return
        kind = {"playlist": "playlist", "internetRadioStation": "station"}[MADE[name]]
        if self._form == "xml":
            ids = [each.get("id", "") for each in ElementTree.fromstring(answer.content).iter()]
            found = [each for each in ids if each.startswith("pl-") or (each and kind == "station")]
        else:
            content = answer.json()["subsonic-response"]
            stations = content.get("internetRadioStations", {}).get("internetRadioStation", [])
            found = [content["playlist"]["id"]] if kind == "playlist" else [each["id"] for each in stations]
        self._ids[kind] += [each for each in found if each not in self._ids[kind]]


def problems_of(name, answer, form):
    """Return what of an answer is wrong."""
    if name in UNSUPPORTED:
        return [] if answer.status_code in (501, 410) else [f"{name}: {answer.status_code}"]
    if ENDPOINTS[name] == "binary":
        is_right = answer.status_code in (200, 206) and len(answer.content) > 100
        is_right = is_right and answer.headers["content-type"].startswith(("audio/", "image/"))
        return [] if is_right else [f"{name}: {answer.status_code} {answer.content[:200]!r}"]
    if form == "xml":
        root = ElementTree.fromstring(answer.content)
        is_right = root.get("status") == "ok" and root.tag == f"{NAMESPACE}subsonic-response"
        return [] if is_right else [f"{name}: {answer.text[:300]}"]
    content = answer.json()["subsonic-response"]
    if content["status"] != "ok":
        return [f"{name}: {content}"]
    return fields({k: v for k, v in content.items() if k not in HEAD}, ENDPOINTS[name], name, set())


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("name", ["feishin", "supersonic"])
def test_recorded_session_is_answered_without_an_error(client, name, form):
    session = Session(client, name, form)
    wrong, count = [], 0
    for line in session.lines:
        if line.startswith("#"):
            continue
        method, answer = session.send(line)
        wrong += [f"{problem} ({line[:80]})" for problem in problems_of(method, answer, form)]
        session.take_ids(method, answer)
        count += 1
    assert count > 90 and not wrong, "\n".join(wrong)
