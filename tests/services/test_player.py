"""The player in a real browser, over the real store, broker and stream: what is played is heard of, and changes the page."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from argparse import Namespace
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import libsonic
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from kafka import KafkaConsumer

from jobs import atlas, broker, local, mongo, recommend, stream_status, topics
from jobs.tables import EMBEDDINGS
from tests import browser, planted_lake
from tests.services.conftest import SEGUE, environment

# Milliseconds that a machine under load may take over what takes milliseconds.
PATIENCE = 20_000


def publish(database, lake):
    """What `segue publish` writes, of the planted vectors."""
    rows = lake.arrow(EMBEDDINGS).to_pylist()
    vectors, ids = np.array([row["embedding"] for row in rows]), [row["track_id"] for row in rows]
    similar = []
    for row, scores in zip(rows, vectors @ vectors.T, strict=True):
        order = [n for n in np.argsort(-scores) if ids[n] != row["track_id"]][:20]
        items = [{"track_id": ids[n], "score": float(scores[n])} for n in order]
        similar.append({"_id": f"1:{row['track_id']}", "items": items, "cluster": row["cluster"]})
    mongo.upsert(database["similar"], similar)
    champion = {"_id": "champion", "model_version": "1", "tracks": len(ids), "digest": "planted"}
    champion["published_at"] = datetime.now(UTC)
    mongo.upsert(database["settings"], [champion])
    atlas.bring(database, lake, "1", "planted")


def start(folder, name, *words):
    out = (folder / f"{name}.log").open("wb")
    return subprocess.Popen([SEGUE, *words], env=environment(folder), stdout=out, stderr=out, start_new_session=True)


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return found


def healthy(address):
    with suppress(OSError), urllib.request.urlopen(f"{address}/api/health", timeout=5) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return planted_lake.make(tmp_path_factory.mktemp("player") / "lake", seconds=8.0)


@pytest.fixture(scope="module")
def services(lake):
    """The address of the player, with MongoDB, Kafka and the stream behind it."""
    with ExitStack() as stack, socket.socket() as probe:
        uri = stack.enter_context(local.mongo_at(None, lake.root))
        stack.enter_context(broker.kafka_at(None, lake.root))
        with mongo.database(uri) as database:
            publish(database, lake)
        recommend.main(Namespace(lake=str(lake.root), mongo=uri, master="local[1]"))
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        running = [
            start(lake.root, "stream", "stream"),
            start(lake.root, "serving", "serve", "--port", str(port)),
        ]
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: healthy(address))
            wait_for(lambda: stream_status.is_alive(lake.root))
            yield address
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(services, chromium):
    """The page in Chromium, with every line of its console kept."""
    page = chromium[1].new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
    page.goto(services)
    page.wait_for_selector("#start")
    return page


@pytest.fixture(scope="module")
def sent(lake):
    """Return a function that gives the events in Kafka so far, oldest first."""
    consumer = KafkaConsumer(
        topics.PLAYS,
        bootstrap_servers=broker.find(lake.root),
        auto_offset_reset="earliest",
        group_id=None,
        consumer_timeout_ms=300,
    )
    found = []

    def read():
        found.extend(json.loads(message.value) for message in consumer)
        return found

    yield read
    consumer.close()


def until(page, condition, arg=None):
    """Wait until a JavaScript function of `arg` is true. Playwright's own waits would need the page to allow eval."""
    return wait_for(lambda: page.evaluate(condition, arg), PATIENCE / 1000)


def recommended(page):
    return page.evaluate("segue.recommended.map((item) => item.track.id + item.reason)")


def changed(page, before):
    until(
        page,
        "before => JSON.stringify(segue.recommended.map((item) => item.track.id + item.reason)) !== before",
        arg=json.dumps(before, separators=(",", ":"), ensure_ascii=False),
    )


def test_the_curated_list_greets_and_plays(page):
    cards = page.locator("#cards .card")
    assert cards.count() >= 8
    page.click("#start")
    until(page, "() => segue.playing && segue.audio.currentTime > 0.5")
    first = page.evaluate("segue.audio.currentTime")
    until(page, "first => segue.audio.currentTime > first + 0.5", arg=first)
    assert page.locator(".bar .big").get_attribute("aria-label") == "Pause"


def test_seeking_goes_where_the_bar_is_pulled(page):
    page.locator(".bar .seek input").evaluate("bar => { bar.value = 500; bar.dispatchEvent(new Event('input')); }")
    until(page, "() => segue.audio.currentTime >= 4 && !segue.audio.seeking")
    assert page.evaluate("segue.audio.currentTime") < 5.5


def test_a_track_that_ends_reaches_kafka_and_changes_the_page_by_itself(page, sent):
    """How long it takes is in docs/player.md; here only that nobody asks for it."""
    playing, before = page.evaluate("segue.track.id"), recommended(page)
    page.evaluate("segue.seek(segue.duration - 0.4)")
    until(page, "id => segue.track.id !== id && segue.playing", arg=playing)
    changed(page, before)
    events = wait_for(lambda: [e for e in sent() if e["event"] == "finished"])
    assert (events[0]["track_id"], events[0]["user_id"]) == (playing, "local")
    assert [e["event"] for e in sent() if e["track_id"] == playing][:2] == ["started", "finished"]
    reasons = page.locator(".next .recommended .why").all_inner_texts()
    assert any("sounds like" in reason for reason in reasons)


def test_a_skip_reaches_kafka_with_its_position(page, sent):
    until(page, "() => segue.started")
    skipped = page.evaluate("segue.track.id")
    page.click(".bar [aria-label=Next]")
    (event,) = wait_for(lambda: [e for e in sent() if e["event"] == "skipped"])
    assert event["track_id"] == skipped and 0 <= event["position_s"] <= 8


def test_like_and_dislike_act(page, sent, services):
    liked = page.evaluate("segue.track.id")
    before = recommended(page)
    page.click(".bar [data-heart]")
    page.wait_for_selector(".bar [data-heart][aria-pressed=true]")
    wait_for(lambda: [e for e in sent() if (e["event"], e["track_id"]) == ("liked", liked)])
    changed(page, before)
    row = page.locator(".next .recommended .line").first
    unwanted = row.get_attribute("data-track")
    row.locator("[aria-haspopup=menu]").click()
    page.get_by_role("menuitem", name="Dislike").click()
    until(page, "id => !segue.suggestions.some((item) => item.track.id === id)", arg=unwanted)
    wait_for(lambda: [e for e in sent() if (e["event"], e["track_id"]) == ("disliked", unwanted)])
    page.evaluate("location.hash = '#/liked'")
    page.wait_for_selector(f"main [data-track={liked}]")


def test_search_finds_while_it_is_typed(page):
    page.fill("#q", "artist 6 song c")
    page.wait_for_selector("main [data-track=t32]")
    assert page.locator("main .line").count() == 1
    page.fill("#q", "<img src=x onerror=alert(1)>")
    page.wait_for_selector("main .empty")


def test_the_map_plays_what_is_clicked(page, services):
    with urllib.request.urlopen(f"{services}/api/map") as answer:
        shown = json.loads(answer.read())
    assert len(shown["ids"]) == 40
    page.evaluate("location.hash = '#/map'")
    canvas = page.locator(".mapbox canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    number = shown["ids"].index("t38")
    place = [((shown[axis][number] + 1.08) / 2.16) * box[size] for axis, size in (("x", "width"), ("y", "height"))]
    canvas.click(position={"x": place[0], "y": place[1]})
    until(page, "() => segue.track.id === 't38' && segue.playing")


def test_a_reload_resumes_queue_and_position(page):
    page.evaluate("segue.play([{track: segue.track}, ...segue.suggestions.slice(0, 2)])")
    until(page, "() => segue.playing && segue.audio.currentTime > 0.1")
    page.evaluate("segue.seek(3)")
    until(page, "() => segue.audio.currentTime > 3.2")
    page.evaluate("segue.pause()")
    queue = page.evaluate("segue.queue.map((item) => item.track.id)")
    page.reload()
    page.wait_for_selector("main > *")
    assert page.evaluate("segue.queue.map((item) => item.track.id)") == queue
    assert 3 <= page.evaluate("segue.position") < 8
    page.click(".bar .big")
    until(page, "() => segue.playing && segue.audio.currentTime > 3")


def test_a_missing_file_does_not_end_the_evening(page, lake):
    page.evaluate("segue.pause()")
    gone = lake.root / "audio" / "64k" / "t20.wav"
    held = gone.read_bytes()
    gone.unlink()
    try:
        page.evaluate("fetch('/api/tracks/t20').then((a) => a.json()).then((track) => segue.play([{track}]))")
        until(page, "() => segue.track && segue.track.id !== 't20' && segue.playing")
    finally:
        gone.write_bytes(held)


def test_the_keyboard_alone_is_enough(page):
    page.evaluate("document.activeElement.blur()")
    until(page, "() => segue.playing")
    page.keyboard.press("k")
    until(page, "() => !segue.playing")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", "search/artist", "map", "history", "settings"])
def test_axe_finds_nothing(page, place, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # a fading line has no contrast
    page.evaluate("place => (location.hash = `#/${place}`)", place)
    page.wait_for_selector("main > *")
    page.wait_for_timeout(150)
    found = Axe().run(page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


def test_a_phone_has_all_of_it_and_nothing_beside_it(services, chromium):
    playwright, program = chromium
    page = program.new_context(**playwright.devices["Pixel 7"]).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(services)
    page.tap("#start")
    until(page, "() => segue.playing")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.tap(".bar .open")
    page.wait_for_selector("#sheet[open] .front")
    assert page.locator("#sheet .big").bounding_box()["width"] >= 44
    assert page.evaluate("document.querySelector('#sheet').scrollWidth <= innerWidth")
    assert not Axe().run(page).response["violations"]
    page.close()


def test_the_page_is_light(services, chromium):
    """150 KiB without audio and covers is the goal; nothing is fetched from elsewhere."""
    page = chromium[1].new_context().new_page()
    sizes = {}
    page.on("response", lambda r: sizes.update({r.url: int(r.headers.get("content-length", 0))}))
    page.goto(services)
    page.wait_for_selector("#start")
    page.close()
    assert len(sizes) > 8 and all(url.startswith(services) for url in sizes)
    assert sum(size for url, size in sizes.items() if "/cover" not in url) < 150 * 1024


def test_the_console_is_silent(page):
    assert [line for line in page.said if "404" not in line and "t20" not in line] == []


# --- other players ---


@pytest.fixture(scope="module")
def secret(services):
    body = json.dumps({"label": "py-sonic"}).encode()
    request = urllib.request.Request(f"{services}/api/clients", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())["secret"]


@pytest.fixture(scope="module")
def subsonic(services, secret):
    host, _, port = services.rpartition(":")
    return libsonic.Connection(host, "local", secret, port=int(port), appName="test", apiVersion="1.16.1")


def test_a_subsonic_client_browses_and_plays(subsonic):
    assert subsonic.ping()
    assert subsonic.getLicense()["license"]["valid"]
    assert subsonic.getMusicFolders()["musicFolders"]["musicFolder"][0]["id"] == 1
    artists = [each for index in subsonic.getArtists()["artists"]["index"] for each in index["artist"]]
    assert [each["name"] for each in artists] == [f"Artist {n}" for n in range(8)]
    assert subsonic.getIndexes()["indexes"]["index"][0]["artist"] == artists
    albums = subsonic.getArtist(artists[3]["id"])["artist"]["album"]
    songs = subsonic.getAlbum(albums[0]["id"])["album"]["song"]
    assert [song["id"] for song in songs] == [f"t{n}" for n in range(15, 20)]
    assert subsonic.getSong("t16")["song"]["title"] == "Song B of 3"
    assert len(subsonic.getAlbumList2("alphabeticalByName", size=500)["albumList2"]["album"]) == 8
    assert subsonic.stream("t16").read(4) == b"RIFF"
    assert subsonic.getCoverArt(albums[0]["id"]).read(2) == b"\xff\xd8"
    assert len(subsonic.getRandomSongs(7)["randomSongs"]["song"]) == 7
    found = subsonic.search3("artist 4")["searchResult3"]
    assert [each["name"] for each in found["artist"]] == ["Artist 4"] and len(found["song"]) == 5


def test_a_subsonic_client_gets_what_sounds_alike_and_what_is_recommended(subsonic):
    near = subsonic.getSimilarSongs2("t00", 4)["similarSongs2"]["song"]
    assert {song["artist"] for song in near} == {"Artist 0"}  # as planted
    (playlist,) = subsonic.getPlaylists()["playlists"]["playlist"]
    assert playlist["name"] == "Recommended for you" and playlist["songCount"] > 5
    assert len(subsonic.getPlaylist(playlist["id"])["playlist"]["entry"]) == playlist["songCount"]


def test_what_a_subsonic_client_scrobbles_feeds_the_stream(subsonic, sent):
    subsonic.scrobble("t35", submission=False)
    subsonic.scrobble("t35", submission=True, listenTime=int(time.time()))
    subsonic.star(["t35"])
    events = wait_for(lambda: len(of := [e["event"] for e in sent() if e["track_id"] == "t35"]) >= 3 and of)
    assert events == ["started", "finished", "liked"]
    assert "t35" in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]
    subsonic.unstar(["t35"])
    assert "t35" not in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]


def test_opensubsonics_extensions_answer(services, secret):
    def call(method, **values):
        query = "&".join(f"{name}={value}" for name, value in {"f": "json", "v": "1.16.1", "c": "t", **values}.items())
        with urllib.request.urlopen(f"{services}/rest/{method}?{query}") as answer:
            return json.loads(answer.read())["subsonic-response"]

    names = {each["name"] for each in call("getOpenSubsonicExtensions")["openSubsonicExtensions"]}
    assert names == {"apiKeyAuthentication", "formPost", "sonicSimilarity"}
    match = call("getSonicSimilarTracks", id="t00", count=4, apiKey=secret)["sonicMatch"]
    assert {each["entry"]["artist"] for each in match} == {"Artist 0"} and match[0]["similarity"] > 0.8
    path = call("findSonicPath", startSongId="t00", endSongId="t39", count=6, apiKey=secret)["sonicMatch"]
    assert [path[0]["entry"]["id"], path[-1]["entry"]["id"], len(path)] == ["t00", "t39", 6]
    assert call("ping", apiKey="wrong")["error"]["code"] == 44
    assert call("ping", u="local", p="wrong")["error"]["code"] == 40
    assert call("getSong", apiKey=secret)["error"]["code"] == 10
    assert call("getSong", id="none", apiKey=secret)["error"]["code"] == 70
